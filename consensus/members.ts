import type { Logger } from 'pino'
import { hasPlaceForLearner } from './admission.ts'
import { AUTOPILOT_DEFAULTS, type AutopilotConfig } from './autopilot.ts'
import type { Clock } from './clock.ts'
import { ConsensusError, refused } from './errors.ts'
import { allNodes, isJoint, isVoter } from './raft/configuration.ts'
import type { Raft } from './raft/raft.ts'
import type { ConfigChange, NodeId } from './raft/types.ts'
import { Reachability } from './reachability.ts'
import { callRpc } from './rpc.ts'
import { type AskedEvery, type LeaderReport, ServerHealth } from './server-health.ts'
import type { Transport } from './transport.ts'
import { type Candidate, changeForNewVoter, isCaughtUp, nextVoterChange, VOTERS_MAX } from './voters.ts'

/** How the members of the cluster are kept. */
export interface MembersOptions {
  readonly nodeId: NodeId
  readonly votersTarget: number
  readonly learnersMax: number
  readonly deadVoterGraceMs: number
  readonly deadLearnerGraceMs: number
  /** Whoever answered within this time is alive as far as an operator's command is concerned. */
  readonly aliveMs: number
  readonly askedEvery: AskedEvery
}

/** What keeping members works with. `raft`: null until this node belongs to a cluster. */
export interface MembersCollaborators {
  readonly raft: () => Raft | null
  /** Ids of the cordoned nodes. */
  readonly cordoned: () => readonly NodeId[]
  /** What somebody has decided about looking after the servers; null if nobody has. */
  readonly autopilot: () => AutopilotConfig | null
  readonly transport: Transport
  readonly clock: Clock
  readonly log: Logger
}

/** How long the leader goes on to make a voter of the node it was told to. */
const WISH_MS = 5 * 60_000
/** How long a node that is to vote may take to answer: its connection may have to be made first. */
const ANSWER_MS = 3_000
/** Pause after a cordoned leader failed to hand leadership over: while it tries, writes wait. */
const RELIEF_RETRY_MS = 10_000

/** How the leader sees another node. */
export interface PeerHealth {
  readonly lastHeardMs: number
  readonly flaps: number
  readonly flapping: boolean
}

/**
 * Who belongs to the cluster and who votes: what the leader decides of itself, and what an operator asks of it. Silence is
 * measured on the leader's monotonic clock; a new leader counts from its election, so nobody is judged by an older one.
 */
export class Members {
  readonly #options: MembersOptions
  readonly #with: MembersCollaborators
  readonly #reachability: Reachability
  readonly #serverHealth: ServerHealth
  /** The node an operator wants to vote, while it catches up. */
  #wish: { readonly id: NodeId; readonly until: number } | null = null
  #reliefAt = Number.NEGATIVE_INFINITY

  constructor(options: MembersOptions, collaborators: MembersCollaborators) {
    this.#options = options
    this.#with = collaborators
    const { aliveMs, askedEvery } = options
    this.#serverHealth = new ServerHealth(askedEvery)
    this.#reachability = new Reachability({ silentMs: aliveMs, settleMs: aliveMs })
  }

  /** Forgets who answered when: this node became leader, or was paused and could hear nobody. */
  restart(): void {
    this.#reachability.restart()
    this.#serverHealth.restart()
    this.#reliefAt = Number.NEGATIVE_INFINITY
  }

  /** This node leads no longer: what it was told to do is the business of nobody. */
  forgetWish(): void {
    this.#wish = null
  }

  /** A member answered this leader. */
  heard(id: NodeId): void {
    if (this.#with.raft()?.progress.has(id)) this.#reachability.heard(id, this.#with.clock.now())
  }

  /** The connection to a member broke, or the failure detector gave it up. */
  lost(id: NodeId): void {
    this.#reachability.lost(id)
  }

  /** What an operator asks of a node that is to vote; undefined = the default. */
  get #settleMs(): number | undefined {
    return this.#with.autopilot()?.serverStabilizationMs
  }

  #silentMs(id: NodeId, now: number): number {
    return id === this.#options.nodeId ? 0 : this.#reachability.silentMs(id, now)
  }

  /** How this node, while it leads, sees another. */
  health(id: NodeId): PeerHealth {
    const now = this.#with.clock.now()
    return {
      lastHeardMs: this.#silentMs(id, now),
      flaps: this.#reachability.flaps(id, now),
      flapping: this.#reachability.isFlapping(id, now, this.#settleMs),
    }
  }

  #look(raft: Raft, now: number): { readonly report: LeaderReport; readonly config: AutopilotConfig } {
    const config = this.#with.autopilot() ?? AUTOPILOT_DEFAULTS
    const silentMs = (id: NodeId) => this.#silentMs(id, now)
    return { report: this.#serverHealth.look(raft, config, silentMs, this.#with.clock.wall()), config }
  }

  /** All servers as this leader sees them. @throws ConsensusError `CST_NOT_LEADER` */
  report(): LeaderReport {
    const raft = this.#with.raft()
    if (raft?.role !== 'leader') throw notLeader()
    return this.#look(raft, this.#with.clock.now()).report
  }

  /** Takes the next step towards the voters wanted, if there is one. Call now and then on the leader. */
  manage(raft: Raft): void {
    const now = this.#with.clock.now()
    this.#reachability.retain(raft.progress, now)
    const { cleanupDeadServers, minQuorum } = this.#look(raft, now).config
    if (this.#wish !== null && this.#grantWish(raft, now)) return
    const { votersTarget, nodeId } = this.#options
    const candidates = this.#candidates(raft, now)
    const pruning = { enabled: cleanupDeadServers, votersMin: minQuorum }
    const change = nextVoterChange(raft.configuration, candidates, votersTarget, nodeId, pruning)
    if (change !== null) this.#propose(raft, change)
    else this.#relieve(raft, candidates, now)
  }

  #candidates(raft: Raft, now: number): Candidate[] {
    const { deadVoterGraceMs, deadLearnerGraceMs } = this.#options
    const cordoned = new Set(this.#with.cordoned())
    return [...raft.progress].map(([id, progress]) => {
      const graceMs = isVoter(raft.configuration, id) ? deadVoterGraceMs : deadLearnerGraceMs
      return {
        id,
        caughtUp: isCaughtUp(progress, raft.log.committedIndex),
        gone: this.#silentMs(id, now) > graceMs,
        cordoned: cordoned.has(id),
        settled: this.#reachability.isSettled(id, now, this.#settleMs),
        flaps: this.#reachability.flaps(id, now),
      }
    })
  }

  #propose(raft: Raft, change: ConfigChange): boolean {
    if ('dropped' in raft.proposeChange(change)) return false
    this.#with.log.info({ change: change.steps }, 'changing who votes')
    return true
  }

  /** A cordoned leader hands leadership over as soon as another voter can take it. */
  #relieve(raft: Raft, candidates: readonly Candidate[], now: number): void {
    const { nodeId, aliveMs } = this.#options
    const isFree = raft.transferTo === '' && !isJoint(raft.configuration) && now >= this.#reliefAt
    if (!isFree || !candidates.some(({ id, cordoned }) => id === nodeId && cordoned)) return
    const able = candidates.filter(
      ({ id, cordoned, caughtUp }) => !cordoned && caughtUp && this.#silentMs(id, now) < aliveMs,
    )
    const heir = this.#furthest(raft, new Set(able.map(({ id }) => id)))
    if (heir === undefined) return
    this.#reliefAt = now + RELIEF_RETRY_MS
    if (raft.transferLeadership(heir))
      this.#with.log.info({ to: heir }, 'this node is cordoned and hands leadership over')
  }

  /** Asks the node whether it is there: a member that nobody had anything to say to lately has no connection. */
  async answers(id: NodeId): Promise<boolean> {
    if (id === this.#options.nodeId) return true
    try {
      await callRpc(this.#with.transport, id, { op: 'ping' }, { timeoutMs: ANSWER_MS })
    } catch (error) {
      this.#with.log.debug({ peer: id, err: error }, 'a node that is to vote did not answer')
      return false
    }
    this.heard(id)
    return true
  }

  /**
   * Whether there is anything to do to have this node vote: false if it does already. @throws ConsensusError as `wish` does
   */
  mayWish(id: NodeId): boolean {
    const raft = this.#with.raft()
    if (raft?.role !== 'leader') throw notLeader()
    const { configuration } = raft
    if (isJoint(configuration) || (this.#wish !== null && this.#wish.id !== id)) throw changeInProgress()
    if (configuration.voters.includes(id)) return false
    if (this.#with.cordoned().includes(id)) throw refused(`${id} is cordoned: uncordon it first`)
    const grows = configuration.voters.length < this.#options.votersTarget
    if (configuration.voters.length + (grows ? 1 : 0) > VOTERS_MAX)
      throw refused(
        `there are ${configuration.voters.length} voters, and ${VOTERS_MAX} are the most there can be`,
      )
    return true
  }

  /**
   * An operator wants this node to vote. Begins at once and goes on with every `manage` until it is done or has taken too
   * long. Answers false if the node votes already. @throws ConsensusError `CST_REFUSED` with the reason,
   *   `CST_NOT_LEADER`, `CST_MEMBERSHIP_CHANGE_IN_PROGRESS`
   */
  wish(id: NodeId): boolean {
    const raft = this.#with.raft()
    if (!this.mayWish(id) || raft === null) return false
    const now = this.#with.clock.now()
    if (!this.has(id)) this.change({ steps: [{ kind: 'addLearner', node: id }] })
    this.#wish = { id, until: now + WISH_MS }
    const learner = this.#candidates(raft, now).find((candidate) => candidate.id === id)
    if (learner?.caughtUp && !this.#grantWish(raft, now)) {
      this.#wish = null
      throw changeInProgress()
    }
    return true
  }

  /** True if it has begun a change. */
  #grantWish(raft: Raft, now: number): boolean {
    const wish = this.#wish
    if (wish === null || isJoint(raft.configuration)) return false
    const { id, until } = wish
    const candidates = this.#candidates(raft, now)
    const learner = candidates.find((candidate) => candidate.id === id)
    if (isVoter(raft.configuration, id) || now >= until || learner?.cordoned || learner?.gone) {
      this.#wish = null
      return false
    }
    if (!learner?.caughtUp) return false
    const { votersTarget, nodeId } = this.#options
    return this.#propose(raft, changeForNewVoter(raft.configuration, candidates, votersTarget, nodeId, id))
  }

  /** Proposes a change and answers its index. @throws ConsensusError if this node does not lead or one is under way. */
  change(change: ConfigChange): number {
    const result = this.#with.raft()?.proposeChange(change) ?? ({ dropped: 'not-leader' } as const)
    if (!('dropped' in result)) return result.index
    if (result.dropped === 'not-leader') throw notLeader()
    throw changeInProgress()
  }

  has(id: NodeId): boolean {
    const raft = this.#with.raft()
    return raft !== null && allNodes(raft.configuration).includes(id)
  }

  /**
   * True if the cluster counts on what `id` has stored: it votes, or it has acknowledged entries to this leader. If its
   * storage is lost its votes are forgotten too, so it must not take part again under the same id (catalogue B13, B24).
   * @throws ConsensusError `CST_NOT_LEADER` on a leader so new that who votes may have changed without its knowledge
   */
  mustRemember(id: NodeId): boolean {
    const raft = this.#with.raft()
    if (raft === null) return false
    if (!raft.isCurrent()) throw notLeader()
    return isVoter(raft.configuration, id) || (raft.progress.get(id)?.matchIndex ?? 0) > 0
  }

  /** True if this leader has a place for one more learner: `hasPlaceForLearner`. A node silent for the grace, or cordoned, counts as none. */
  hasPlace(): boolean {
    const raft = this.#with.raft()
    if (raft === null) return false
    const { votersTarget, learnersMax, deadVoterGraceMs } = this.#options
    const now = this.#with.clock.now()
    const nodes = allNodes(raft.configuration)
    const voters = nodes.filter((id) => isVoter(raft.configuration, id))
    const learners = nodes.filter((id) => !voters.includes(id))
    const cordoned = this.#with.cordoned()
    const living = (ids: readonly NodeId[]) =>
      ids.filter((id) => this.#silentMs(id, now) <= deadVoterGraceMs && !cordoned.includes(id)).length
    return hasPlaceForLearner({
      learners: learners.length,
      livingLearners: living(learners),
      livingVoters: living(voters),
      votersTarget,
      learnersMax,
    })
  }

  isVoter(id: NodeId): boolean {
    return this.#with.raft()?.configuration.voters.includes(id) ?? false
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
    const heir = to ?? this.#heir(raft)
    if (heir === undefined) throw refused('no other voter is connected that could take over')
    if (!this.has(heir)) throw refused(`${heir} is not a member of the cluster`)
    if (!raft.configuration.voters.includes(heir)) throw refused(`${heir} does not vote and cannot lead`)
    if (!this.#with.transport.isConnected(heir)) throw refused(`${heir} is not connected`)
    if (!raft.transferLeadership(heir)) throw refused(`${heir} cannot take over now`)
    return heir
  }

  /** Whom leadership goes to if nobody is named: rather not to a cordoned voter, which would hand it on. */
  #heir(raft: Raft): NodeId | undefined {
    const cordoned = this.#with.cordoned()
    const wanted = allNodes(raft.configuration).filter((id) => !cordoned.includes(id))
    return this.#furthest(raft, new Set(wanted)) ?? this.#furthest(raft)
  }

  /** The connected voter whose log is furthest, of those in `able` if that is given. */
  #furthest(raft: Raft, able?: ReadonlySet<NodeId>): NodeId | undefined {
    const [best] = [...raft.progress]
      .filter(([id]) => able === undefined || able.has(id))
      .filter(([id]) => id !== this.#options.nodeId && raft.configuration.voters.includes(id))
      .filter(([id]) => this.#with.transport.isConnected(id))
      .sort(([, a], [, b]) => b.matchIndex - a.matchIndex)
    return best?.[0]
  }
}

function changeInProgress(): ConsensusError {
  return new ConsensusError(
    'CST_MEMBERSHIP_CHANGE_IN_PROGRESS',
    'another change of the members is under way',
    { retryable: true },
  )
}

function notLeader(): ConsensusError {
  return new ConsensusError('CST_NOT_LEADER', 'this node does not lead')
}
