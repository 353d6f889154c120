import { answerAppend } from './append.ts'
import { askForVotes, type CampaignKind } from './campaign.ts'
import { allVoters, changeConfiguration, decodeChange, isVoter } from './configuration.ts'
import { ElectionTimer } from './election-timer.ts'
import { Leadership } from './leadership.ts'
import { RaftLog } from './log.ts'
import type { RaftOptions, RaftState } from './options.ts'
import { Outgoing } from './outgoing.ts'
import type { Progress } from './progress.ts'
import { jointVote } from './quorum.ts'
import {
  type ConfigChange,
  type Configuration,
  type Entry,
  type HardState,
  invariant,
  LostEntriesError,
  type Message,
  type MessageType,
  type NodeId,
  type PersistToken,
  type ProposeResult,
  type Ready,
  type Role,
  type SnapshotMeta,
} from './types.ts'

/**
 * One Raft node as a pure state machine: input is one call (`tick`, `step`, `propose`, …), output a `Ready`. No I/O, no
 * clock, no randomness but the injected one. A configuration change takes effect when it is applied.
 *
 * Sources: Ongaro & Ousterhout, "In Search of an Understandable Consensus Algorithm" (paper); Ongaro's thesis for
 * transfer (3.10), stickiness (4.2.3), ReadIndex (6.4) and pre-vote (9.6).
 */
export class Raft {
  readonly id: NodeId
  readonly log: RaftLog
  term: number
  vote: NodeId
  leader: NodeId = ''
  role: Role = 'follower'
  configuration: Configuration
  /** How often this node asked for pre-votes and votes, and how often it won, since its start. */
  readonly campaigns = { preVotes: 0, elections: 0, won: 0 }
  readonly #options: RaftOptions
  readonly #timer: ElectionTimer
  readonly #leadership: Leadership
  readonly #votes = new Map<NodeId, boolean>()
  /** False while this node's disk takes no writes: an election it wins would leave the cluster without a leader. */
  canCampaign = true
  readonly #outgoing: Outgoing
  #snapshot: SnapshotMeta
  #pendingSnapshot: SnapshotMeta | null = null
  #reportedHardState: HardState

  constructor(options: RaftOptions, state: RaftState) {
    invariant(options.heartbeatTicks < options.electionTicks, 'heartbeats are more frequent than elections')
    invariant(options.learnerHeartbeatTicks < options.electionTicks, 'learners hear of their leader')
    this.id = options.id
    this.#options = options
    this.term = state.hardState.term
    this.vote = state.hardState.vote
    this.#reportedHardState = state.hardState
    this.#snapshot = state.snapshot
    this.configuration = state.snapshot.configuration
    this.log = new RaftLog(
      state.logStart,
      state.entries,
      Math.max(state.hardState.commit, state.snapshot.index),
    )
    this.log.applyingIndex = state.snapshot.index
    this.log.appliedIndex = state.snapshot.index
    this.#timer = new ElectionTimer(options, options.leaseReads && this.term > 0)
    this.#outgoing = new Outgoing(this.id, () => this.term)
    this.#leadership = new Leadership(options, this, this.#outgoing)
    this.#becomeFollower(this.term, '')
  }

  /** True if this node takes part in elections. */
  isVoter(): boolean {
    return isVoter(this.configuration, this.id)
  }

  /**
   * True on a leader that has applied an entry of its own term: with it, everything its predecessors committed is applied
   * too, so it knows who is in the configuration.
   */
  isCurrent(): boolean {
    return this.role === 'leader' && this.log.termAt(this.log.appliedIndex) === this.term
  }

  /** What this node, while it leads, knows of the log of each. */
  get progress(): ReadonlyMap<NodeId, Progress> {
    return this.#leadership.replication.progress
  }

  /** To whom this leader hands over, '' if to nobody. */
  get transferTo(): NodeId {
    return this.#leadership.transfer.to
  }

  /** `Transfer.leaseForfeited`: true if this leader may hold no lease in this term any more. */
  get leaseForfeited(): boolean {
    return this.#leadership.transfer.leaseForfeited
  }

  /** Bytes of the entries of this leader that no quorum has yet. */
  get uncommittedBytes(): number {
    return this.#leadership.uncommittedBytes
  }

  /** Rounds of heartbeats sent for the sake of a read, since the start. */
  get readRounds(): number {
    return this.#leadership.reads.rounds
  }

  get latestSnapshot(): SnapshotMeta {
    return this.#snapshot
  }

  // ---- inputs ------------------------------------------------------------------------------------------------

  /** One unit of time passed. */
  tick(): void {
    this.#timer.tick()
    if (this.role === 'leader') this.#tickLeader()
    else if (this.#timer.isDue && this.#mayCampaign() && !this.#leaseBinds()) this.#campaign('preVote')
  }

  /** Starts an election now, as if the timeout had passed. */
  campaign(): void {
    if (this.role !== 'leader' && this.#mayCampaign() && !this.#leaseBinds()) this.#campaign('preVote')
  }

  /**
   * Evidence (a closed connection, a verdict of the failure detector) says that the current leader is gone. This node
   * campaigns soon, and no longer refuses candidates for that leader's sake. A leader that lives is not disrupted: most
   * nodes still hear it, keep refusing, and its next message restores its lease here.
   */
  leaderUnreachable(): void {
    if (this.role !== 'follower' || this.leader === '' || this.leader === this.id) return
    this.#timer.leaderLost()
  }

  /** Adds entries to the log if this node leads. */
  propose(payloads: readonly Uint8Array[]): ProposeResult {
    if (this.role !== 'leader' || !this.progress.has(this.id)) return { dropped: 'not-leader' }
    invariant(payloads.length > 0, 'a proposal holds something')
    return this.#leadership.propose(payloads)
  }

  /**
   * Proposes a change of the configuration. Refused while another is under way, and until an entry of this leader's term
   * is committed (catalogue B2, B3). Throws InvariantError for a change that makes no sense.
   */
  proposeChange(change: ConfigChange): ProposeResult {
    if (this.role !== 'leader') return { dropped: 'not-leader' }
    return this.#leadership.proposeChange(change)
  }

  /**
   * Asks for confirmation of a read; the answer comes as a ReadState with this id. False if this node does not lead.
   * `wantsLease`: whoever confirms is asked for a lease too.
   */
  readIndex(id: number, wantsLease = false): boolean {
    if (this.role !== 'leader') return false
    this.#leadership.readIndex(id, wantsLease)
    return true
  }

  /** Hands leadership to `to`, a voter. False if this node does not lead or `to` cannot take over. */
  transferLeadership(to: NodeId): boolean {
    return this.role === 'leader' && to !== this.id && this.#leadership.handOver(to)
  }

  /**
   * The driver cannot reach these nodes at all. A leader that is left without a quorum steps down now rather than at the
   * next quorum check, so that clients hear "no leader" instead of waiting.
   */
  quorumUnreachable(unreachable: ReadonlySet<NodeId>): void {
    if (this.role === 'leader' && this.#leadership.replication.isCutOff(this.configuration, unreachable))
      this.#becomeFollower(this.term, '')
  }

  /** Gives leadership up for the others to take. False if this node does not lead or is the only voter. */
  stepDown(): boolean {
    if (this.role !== 'leader' || allVoters(this.configuration).length === 1) return false
    this.#becomeFollower(this.term, '')
    return true
  }

  /** The transport could not deliver to `id`: what was sent optimistically may be lost. */
  reportUnreachable(id: NodeId): void {
    if (this.role === 'leader') this.#leadership.replication.unreachable(id)
  }

  /** The snapshot sent to `id` arrived or failed. Replication resumes with the next heartbeat. */
  reportSnapshot(id: NodeId, ok: boolean): void {
    if (this.role === 'leader') this.#leadership.replication.snapshotEnded(id, ok)
  }

  /** The driver saved a snapshot of the applied state and wants entries up to `compactTo` forgotten. */
  snapshotSaved(meta: SnapshotMeta, compactTo: number): void {
    if (meta.index <= this.#snapshot.index) return
    this.#snapshot = meta
    this.log.compact(Math.min(compactTo, meta.index))
  }

  // ---- outputs -----------------------------------------------------------------------------------------------

  #hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.committedIndex }
  }

  #hardStateChanged(): boolean {
    const { term, vote, commit } = this.#reportedHardState
    return term !== this.term || vote !== this.vote || commit !== this.log.committedIndex
  }

  hasReady(): boolean {
    return (
      !this.#outgoing.isEmpty() ||
      this.log.hasUnstable() ||
      this.log.hasCommitted() ||
      this.#pendingSnapshot !== null ||
      this.#leadership.reads.hasDone() ||
      this.#leadership.reads.needsRound() ||
      this.#hardStateChanged()
    )
  }

  /** Takes everything there is to do. See Ready for the order the driver must keep. */
  ready(): Ready {
    if (this.role === 'leader' && this.#leadership.reads.needsRound()) this.#leadership.broadcastHeartbeat()
    const hardState = this.#hardStateChanged() ? this.#hardState() : null
    const { term, vote } = this.#reportedHardState
    const entries = this.log.takeUnstable()
    const snapshot = this.#pendingSnapshot
    const mustSync = entries.length > 0 || snapshot !== null || term !== this.term || vote !== this.vote
    if (hardState !== null) this.#reportedHardState = hardState
    const ready: Ready = {
      hardState,
      mustSync,
      entries,
      snapshot,
      ...this.#outgoing.take(),
      committed: this.log.takeCommitted(this.#options.applyBytesMax),
      reads: this.#leadership.reads.takeDone(),
      token: {
        epoch: this.log.epoch,
        lastIndex: this.log.takenIndex,
        snapshotIndex: snapshot?.index ?? 0,
      },
    }
    this.#pendingSnapshot = null
    return ready
  }

  /**
   * The write of a Ready is durable. Ignored for the log if it was truncated since: example A→B→A: entry A is written,
   * replaced by B, then by A again; the first write's completion must not vouch for A while B is on its way to the disk.
   */
  persisted(token: PersistToken): void {
    if (token.epoch !== this.log.epoch) return
    this.log.stableIndex = Math.max(this.log.stableIndex, token.lastIndex)
    if (this.role === 'leader') this.#leadership.persisted(this.id, this.log.stableIndex)
  }

  /** Everything up to `index` is applied. A leader then leaves a joint configuration it has entered. */
  applied(index: number): void {
    this.log.applied(index)
    if (this.role === 'leader') this.#leadership.maybeLeaveJoint()
  }

  /** Applies a committed configuration entry, in log order with the others. */
  applyConfiguration(entry: Entry): Configuration {
    invariant(entry.type === 'config', 'only configuration entries change the configuration')
    this.#setConfiguration(changeConfiguration(this.configuration, decodeChange(entry.data)))
    return this.configuration
  }

  // ---- messages ----------------------------------------------------------------------------------------------

  /** Handles one message, of a peer or of this node itself (its own vote after it was made durable). */
  step(message: Message): void {
    const isVoteRequest = message.type === 'preVote' || message.type === 'vote'
    if (isVoteRequest && !message.transfer && this.#leaseBinds()) return
    if (message.term > this.term) {
      // Stickiness (thesis 4.2.3): while a leader is heard, nobody can depose it with a higher term.
      if (isVoteRequest && !message.transfer && this.#leaderHolds()) return
      const keepsTerm = message.type === 'preVote' || (message.type === 'preVoteResponse' && !message.reject)
      if (!keepsTerm) {
        const fromLeader = ['append', 'heartbeat', 'snapshot'].includes(message.type)
        this.#becomeFollower(message.term, fromLeader ? message.from : '')
      }
    } else if (message.term < this.term) {
      this.#stepOldTerm(message)
      return
    }
    const isRefusal =
      message.reject && (message.type === 'voteResponse' || message.type === 'preVoteResponse')
    if (isRefusal) this.#learnCommit(message)
    if (message.type === 'vote' || message.type === 'preVote') this.#handleVoteRequest(message)
    else if (this.role === 'leader') this.#stepLeader(message)
    else this.#stepFollower(message)
  }

  /** Without these two answers a node with a higher term never finds back (catalogue B15). */
  #stepOldTerm(message: Message): void {
    if (message.type === 'append' || message.type === 'heartbeat') {
      this.#outgoing.send('appendResponse', message.from, { reject: false, index: 0 })
    } else if (message.type === 'preVote') {
      this.#outgoing.sendAfterPersist('preVoteResponse', message.from, { reject: true })
    }
  }

  /** A lease that this node granted, or may have granted before it was started, forbids it to vote. */
  #leaseBinds(): boolean {
    return this.#timer.leaseGranted && this.role !== 'leader' && allVoters(this.configuration).length > 1
  }

  #leaderHolds(): boolean {
    if (this.role === 'leader') return true
    return this.leader !== '' && this.#timer.leaderHolds
  }

  #handleVoteRequest(message: Message): void {
    const isPre = message.type === 'preVote'
    const type: MessageType = isPre ? 'preVoteResponse' : 'voteResponse'
    const free = this.vote === '' && this.leader === ''
    const mayVote = this.vote === message.from || free || (isPre && message.term > this.term)
    if (mayVote && this.log.isUpToDate(message.index, message.logTerm)) {
      // A grant carries the term asked for: for a pre-vote that is the candidate's next term.
      this.#outgoing.sendAfterPersist(type, message.from, { term: message.term })
      if (!isPre) {
        this.#timer.restart()
        this.vote = message.from
      }
    } else {
      const commit = this.log.committedIndex
      const logTerm = this.log.termAt(commit) ?? 0
      this.#outgoing.sendAfterPersist(type, message.from, { reject: true, commit, logTerm })
    }
  }

  /**
   * A refusal tells how far the refuser knows the log to be committed. Without it two nodes can wait for each other for
   * ever: n1 and n2 vote, n2 leads, commits its own removal, steps down and no longer campaigns; n1 has the entry but was
   * not told that it is committed, so it needs the vote of n2, whose log is longer. An entry both have is committed for
   * both (log matching, paper §5.3).
   */
  #learnCommit({ commit, logTerm }: Message): void {
    if (logTerm > 0 && this.log.matches(commit, logTerm)) this.log.commitTo(commit)
  }

  #stepFollower(message: Message): void {
    switch (message.type) {
      case 'append':
      case 'heartbeat':
      case 'snapshot':
        if (this.role !== 'follower') this.#becomeFollower(this.term, message.from)
        this.#heardLeader(message.from)
        if (message.type === 'append')
          this.#outgoing.sendAfterPersist('appendResponse', message.from, answerAppend(this.log, message))
        else if (message.type === 'heartbeat') this.#handleHeartbeat(message)
        else this.#handleSnapshot(message)
        break
      case 'preVoteResponse':
        if (this.role === 'pre-candidate') this.#handleVoteResponse(message)
        break
      case 'voteResponse':
        if (this.role === 'candidate') this.#handleVoteResponse(message)
        break
      case 'timeoutNow':
        if (this.role === 'follower' && this.#mayCampaign()) this.#campaign('transfer')
        break
      default:
        break
    }
  }

  #heardLeader(from: NodeId): void {
    invariant(
      this.leader === '' || this.leader === from,
      `two leaders in term ${this.term}: ${this.leader}, ${from}`,
    )
    this.#timer.heardLeader()
    this.leader = from
  }

  #handleHeartbeat(message: Message): void {
    const { commit } = message
    // A leader sends no more than this node has acknowledged to it.
    if (commit > this.log.lastIndex) throw new LostEntriesError(commit, this.log.lastIndex)
    this.log.commitTo(commit)
    const lease = message.lease && this.#options.leaseReads
    if (lease) this.#timer.grantLease()
    this.#outgoing.send('heartbeatResponse', message.from, { context: message.context, lease })
  }

  #handleSnapshot(message: Message): void {
    const { snapshot } = message
    invariant(snapshot !== null, 'a snapshot message carries its description')
    // A node that was just added is not in the configuration of an older snapshot; the entries behind it bring it in.
    const useful = snapshot.index > this.log.committedIndex
    if (useful && !this.log.matches(snapshot.index, snapshot.term)) {
      this.log.restore(snapshot)
      this.#snapshot = snapshot
      this.#pendingSnapshot = snapshot
      this.configuration = snapshot.configuration
      this.#syncReplication()
    } else if (useful) {
      this.log.commitTo(snapshot.index)
    }
    this.#outgoing.sendAfterPersist('appendResponse', message.from, { index: this.log.committedIndex })
  }

  #handleVoteResponse(message: Message): void {
    if (!this.#votes.has(message.from)) this.#votes.set(message.from, !message.reject)
    const result = jointVote(this.configuration, this.#votes)
    if (result === 'won') {
      if (this.role === 'pre-candidate') this.#campaign('vote')
      else this.#becomeLeader()
    } else if (result === 'lost') {
      // The vote of this term stays: clearing it on a same-term step-down elects two leaders (catalogue B7).
      this.#becomeFollower(this.term, '')
    }
  }

  #stepLeader(message: Message): void {
    const fromLeader =
      message.type === 'append' || message.type === 'heartbeat' || message.type === 'snapshot'
    invariant(!fromLeader, `two leaders in term ${this.term}: ${this.id}, ${message.from}`)
    this.#leadership.step(message)
  }

  // ---- roles -------------------------------------------------------------------------------------------------

  #reset(term: number): void {
    if (term !== this.term) {
      invariant(term > this.term, 'the term never decreases')
      this.term = term
      this.vote = ''
    }
    this.leader = ''
    this.#timer.reset()
    this.#votes.clear()
    this.#leadership.reset(this.role === 'leader')
  }

  #becomeFollower(term: number, leader: NodeId): void {
    this.#reset(term)
    this.role = 'follower'
    this.leader = leader
  }

  #becomeLeader(): void {
    invariant(this.role === 'candidate', 'only a candidate becomes leader')
    this.campaigns.won++
    this.#reset(this.term)
    this.role = 'leader'
    this.leader = this.id
    this.#leadership.begin()
  }

  #mayCampaign(): boolean {
    return (
      this.canCampaign && this.isVoter() && this.#pendingSnapshot === null && !this.log.hasUnappliedChange()
    )
  }

  #campaign(kind: CampaignKind): void {
    if (kind === 'preVote') {
      this.campaigns.preVotes++
      this.#reset(this.term)
      this.role = 'pre-candidate'
    } else {
      this.campaigns.elections++
      this.#reset(this.term + 1)
      this.role = 'candidate'
      this.vote = this.id
    }
    const { id, log, configuration } = this
    const term = kind === 'preVote' ? this.term + 1 : this.term
    askForVotes(kind, { id, term, log, configuration }, this.#outgoing)
  }

  #tickLeader(): void {
    if (this.#timer.isShortestOver) {
      this.#timer.restart()
      if (!this.#leadership.replication.checkQuorum(this.configuration)) {
        this.#becomeFollower(this.term, '')
        return
      }
    }
    this.#leadership.tick()
  }

  // ---- configuration -----------------------------------------------------------------------------------------

  #setConfiguration(configuration: Configuration): void {
    this.configuration = configuration
    this.#syncReplication()
    // A candidate too: a refusal may have told it that its removal is committed, and the grants it still gets would elect it.
    if (this.role !== 'follower' && !isVoter(configuration, this.id)) this.#becomeFollower(this.term, '')
    if (this.role === 'leader') this.#leadership.configured()
  }

  #syncReplication(): void {
    this.#leadership.replication.sync(this.configuration, this.role === 'leader')
  }
}
