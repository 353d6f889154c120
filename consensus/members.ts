import type { Logger } from 'pino'
import { hasPlaceForLearner } from './admission.ts'
import type { Clock } from './clock.ts'
import { ConsensusError, refused } from './errors.ts'
import { allNodes, isVoter } from './raft/configuration.ts'
import type { Raft } from './raft/raft.ts'
import type { ConfigChange, NodeId } from './raft/types.ts'
import type { Transport } from './transport.ts'
import { isCaughtUp, nextVoterChange } from './voters.ts'

/** How the members of the cluster are kept. */
export interface MembersOptions {
  readonly nodeId: NodeId
  readonly votersTarget: number
  readonly learnersMax: number
  readonly deadVoterGraceMs: number
  readonly deadLearnerGraceMs: number
  /** Whoever answered within this time is alive as far as an operator's command is concerned. */
  readonly aliveMs: number
}

/** What keeping members works with. `raft`: null until this node belongs to a cluster. */
export interface MembersCollaborators {
  readonly raft: () => Raft | null
  readonly transport: Transport
  readonly clock: Clock
  readonly log: Logger
}

/**
 * Who belongs to the cluster and who votes: what the leader decides of itself, and what an operator asks of it. Silence is
 * measured on the leader's monotonic clock; a new leader counts from its election, so nobody is judged by an older one.
 */
export class Members {
  readonly #options: MembersOptions
  readonly #with: MembersCollaborators
  /** When each member answered last. */
  readonly #heard = new Map<NodeId, number>()

  constructor(options: MembersOptions, collaborators: MembersCollaborators) {
    this.#options = options
    this.#with = collaborators
  }

  /** Forgets who answered when: this node became leader, or was paused and could hear nobody. */
  restart(): void {
    this.#heard.clear()
  }

  /** A member answered this leader. */
  heard(id: NodeId): void {
    if (this.#with.raft()?.progress.has(id)) this.#heard.set(id, this.#with.clock.now())
  }

  #silentMs(id: NodeId, now: number): number {
    if (id === this.#options.nodeId) return 0
    const last = this.#heard.get(id) ?? now
    this.#heard.set(id, last)
    return now - last
  }

  /** Takes the next step towards the voters wanted, if there is one. Call now and then on the leader. */
  manage(raft: Raft): void {
    const { configuration, progress, log } = raft
    const { votersTarget, deadVoterGraceMs, deadLearnerGraceMs, nodeId } = this.#options
    const now = this.#with.clock.now()
    for (const id of this.#heard.keys()) if (!progress.has(id)) this.#heard.delete(id)
    const candidates = [...progress].map(([id, itsProgress]) => {
      const graceMs = isVoter(configuration, id) ? deadVoterGraceMs : deadLearnerGraceMs
      const gone = this.#silentMs(id, now) > graceMs
      return { id, caughtUp: isCaughtUp(itsProgress, log.committedIndex), gone }
    })
    const change = nextVoterChange(configuration, candidates, votersTarget, nodeId)
    if (change === null || 'dropped' in raft.proposeChange(change)) return
    this.#with.log.info({ change: change.steps }, 'changing who votes')
  }

  /** Proposes a change and answers its index. @throws ConsensusError if this node does not lead or one is under way. */
  change(change: ConfigChange): number {
    const result = this.#with.raft()?.proposeChange(change) ?? ({ dropped: 'not-leader' } as const)
    if (!('dropped' in result)) return result.index
    if (result.dropped === 'not-leader') throw notLeader()
    throw new ConsensusError(
      'CST_MEMBERSHIP_CHANGE_IN_PROGRESS',
      'another change of the members is under way',
      { retryable: true },
    )
  }

  has(id: NodeId): boolean {
    const raft = this.#with.raft()
    return raft !== null && allNodes(raft.configuration).includes(id)
  }

  /**
   * True if the cluster counts on what `id` has stored: it votes, or it has acknowledged entries to this leader. If its
   * storage is lost its votes are forgotten too, so it must not take part again under the same id (catalogue B13, B24).
   */
  mustRemember(id: NodeId): boolean {
    const raft = this.#with.raft()
    if (raft === null) return false
    return isVoter(raft.configuration, id) || (raft.progress.get(id)?.matchIndex ?? 0) > 0
  }

  /** True if this leader has a place for one more learner: `hasPlaceForLearner`. A node silent for the grace is dead. */
  hasPlace(): boolean {
    const raft = this.#with.raft()
    if (raft === null) return false
    const { votersTarget, learnersMax, deadVoterGraceMs } = this.#options
    const now = this.#with.clock.now()
    const nodes = allNodes(raft.configuration)
    const voters = nodes.filter((id) => isVoter(raft.configuration, id))
    const learners = nodes.filter((id) => !voters.includes(id))
    const living = (ids: readonly NodeId[]) =>
      ids.filter((id) => this.#silentMs(id, now) <= deadVoterGraceMs).length
    return hasPlaceForLearner({
      learners: learners.length,
      livingLearners: living(learners),
      livingVoters: living(voters),
      votersTarget,
      learnersMax,
    })
  }

  /**
   * Takes a dead node out of the configuration. Answers the index of the change. @throws ConsensusError `CST_REFUSED` for
   *   the leader, for a node that answers and when too few voters answer; `CST_NOT_LEADER`,
   *   `CST_MEMBERSHIP_CHANGE_IN_PROGRESS`
   */
  remove(id: NodeId): number {
    const raft = this.#with.raft()
    const { nodeId, aliveMs } = this.#options
    if (raft?.role !== 'leader') throw notLeader()
    if (!this.has(id)) throw refused(`${id} is not a member of the cluster`)
    if (id === nodeId) throw refused(`${id} leads the cluster: transfer leadership to another node first`)
    const now = this.#with.clock.now()
    if (this.#silentMs(id, now) < aliveMs) {
      throw refused(`${id} answers: stop it first and wait a few seconds, for a living node joins again`)
    }
    const voters = raft.configuration.voters.filter((voter) => voter !== id)
    const living = voters.filter((voter) => this.#silentMs(voter, now) < aliveMs).length
    if (2 * living <= voters.length) {
      throw refused(
        `only ${living} of the ${voters.length} voters that would stay answer, which is less than a quorum`,
      )
    }
    return this.change({ steps: [{ kind: 'remove', node: id }] })
  }

  /**
   * Hands leadership to `to`, or to the connected voter that is furthest. Answers to whom. @throws ConsensusError
   *   `CST_NOT_LEADER`, or `CST_REFUSED` if that node cannot take over or there is none
   */
  transfer(to?: NodeId): NodeId {
    const raft = this.#with.raft()
    if (raft?.role !== 'leader') throw notLeader()
    if (to === this.#options.nodeId) return to
    const heir = to ?? this.#furthest(raft)
    if (heir === undefined) throw refused('no other voter is connected that could take over')
    if (!this.has(heir)) throw refused(`${heir} is not a member of the cluster`)
    if (!raft.configuration.voters.includes(heir)) throw refused(`${heir} does not vote and cannot lead`)
    if (!this.#with.transport.isConnected(heir)) throw refused(`${heir} is not connected`)
    if (!raft.transferLeadership(heir)) throw refused(`${heir} cannot take over now`)
    return heir
  }

  #furthest(raft: Raft): NodeId | undefined {
    const [best] = [...raft.progress]
      .filter(([id]) => id !== this.#options.nodeId && raft.configuration.voters.includes(id))
      .filter(([id]) => this.#with.transport.isConnected(id))
      .sort(([, a], [, b]) => b.matchIndex - a.matchIndex)
    return best?.[0]
  }
}

function notLeader(): ConsensusError {
  return new ConsensusError('CST_NOT_LEADER', 'this node does not lead')
}
