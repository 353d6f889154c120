import {
  allNodes,
  allVoters,
  changeConfiguration,
  decodeChange,
  EMPTY_CONFIGURATION,
  encodeChange,
  isJoint,
  isVoter,
} from './configuration.ts'
import { RaftLog } from './log.ts'
import { Progress, type WindowLimits } from './progress.ts'
import { jointIndex, jointVote } from './quorum.ts'
import { ReadQueue } from './read-queue.ts'
import {
  type ConfigChange,
  type Configuration,
  type Entry,
  type EntryType,
  type HardState,
  InvariantError,
  invariant,
  type Message,
  type MessageType,
  type NodeId,
  type PersistToken,
  type Ready,
  type Role,
  type SnapshotMeta,
} from './types.ts'

/** Settings of the protocol. Ticks are the driver's unit of time. */
export interface RaftOptions {
  readonly id: NodeId
  /** A follower that hears nothing for this many ticks up to twice as many campaigns. Default 10. */
  readonly electionTicks: number
  /** The leader sends a heartbeat this often. Default 1. Must be well below `electionTicks`. */
  readonly heartbeatTicks: number
  /** Uniform in [0, 1): draws election timeouts. */
  readonly random: () => number
  /** Entry bytes in one append. Default 1 MiB. */
  readonly appendBytesMax: number
  readonly window: WindowLimits
  /** Proposals are refused while uncommitted entries exceed this many bytes: a leader cut off must not grow for ever. */
  readonly uncommittedBytesMax: number
  /** Entry bytes handed out for application in one Ready. */
  readonly applyBytesMax: number
  /**
   * Leases for reads (thesis 6.4.1): a leader asks for them, a follower grants them. Who grants one votes for nobody for
   * `electionTicks`, whatever it hears of the leader, unless that leader hands over; after a start too, for a grant is not
   * stored. Off, a leader that is gone is replaced sooner.
   */
  readonly leaseReads: boolean
}

/** What storage held when the node started. */
export interface RaftState {
  readonly hardState: HardState
  readonly snapshot: SnapshotMeta
  /** Contiguous, starting anywhere at or before `snapshot.index + 1` … here exactly behind `logStart`. */
  readonly entries: readonly Entry[]
  /** Index and term just before the first entry; equal to the snapshot's unless a tail was kept before it. */
  readonly logStart: { readonly index: number; readonly term: number }
}

/** Where a proposal went, or why it was not taken. */
export type ProposeResult =
  | { readonly index: number; readonly term: number }
  | { readonly dropped: 'not-leader' | 'transferring' | 'overloaded' | 'change-pending' }

/** Defaults of everything but identity and randomness. */
export const RAFT_DEFAULTS = {
  electionTicks: 10,
  heartbeatTicks: 1,
  appendBytesMax: 1 << 20,
  window: { messagesMax: 256, bytesMax: 8 << 20 },
  uncommittedBytesMax: 64 << 20,
  applyBytesMax: 4 << 20,
  leaseReads: false,
} as const

const NO_HARD_STATE: HardState = { term: 0, vote: '', commit: 0 }

/** State of a node that belongs to no cluster yet. */
export const EMPTY_STATE: RaftState = {
  hardState: NO_HARD_STATE,
  snapshot: { index: 0, term: 0, configuration: EMPTY_CONFIGURATION },
  entries: [],
  logStart: { index: 0, term: 0 },
}

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
  readonly progress = new Map<NodeId, Progress>()
  /** How often this node asked for pre-votes and votes, and how often it won, since its start. */
  readonly campaigns = { preVotes: 0, elections: 0, won: 0 }
  readonly #options: RaftOptions
  readonly #reads = new ReadQueue()
  readonly #votes = new Map<NodeId, boolean>()
  /** False while this node's disk takes no writes: an election it wins would leave the cluster without a leader. */
  canCampaign = true
  #messages: Message[] = []
  #messagesAfterPersist: Message[] = []
  #electionElapsed = 0
  #heartbeatElapsed = 0
  #electionTimeout = 0
  /** Evidence from outside says that the leader is gone: its lease no longer protects it here. */
  #leaderLost = false
  /** Ticks for which this node votes for nobody: it granted the leader a lease, or may have before it was started. */
  #leaseTicks: number
  #leaseForfeited = false
  #transferTo: NodeId = ''
  /** Ticks since the transfer began. It has a time of its own: asking again must not put off the quorum check. */
  #transferElapsed = 0
  /** No change of the configuration may be proposed before this index is applied. */
  #pendingConfigIndex = 0
  #uncommittedBytes = 0
  #snapshot: SnapshotMeta
  #pendingSnapshot: SnapshotMeta | null = null
  #reportedHardState: HardState

  constructor(options: RaftOptions, state: RaftState) {
    invariant(options.heartbeatTicks < options.electionTicks, 'heartbeats are more frequent than elections')
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
    this.#leaseTicks = options.leaseReads && this.term > 0 ? options.electionTicks : 0
    this.#syncProgress()
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

  get transferTo(): NodeId {
    return this.#transferTo
  }

  /**
   * True if this leader may hold no lease in this term any more: it has asked another to take over, and whoever it asked
   * may do so at any later time, for the request can be late (catalogue B25).
   */
  get leaseForfeited(): boolean {
    return this.#leaseForfeited
  }

  /** Bytes of the entries of this leader that no quorum has yet. */
  get uncommittedBytes(): number {
    return this.#uncommittedBytes
  }

  /** Rounds of heartbeats sent for the sake of a read, since the start. */
  get readRounds(): number {
    return this.#reads.rounds
  }

  get latestSnapshot(): SnapshotMeta {
    return this.#snapshot
  }

  // ---- inputs ------------------------------------------------------------------------------------------------

  /** One unit of time passed. */
  tick(): void {
    this.#electionElapsed++
    if (this.#leaseTicks > 0) this.#leaseTicks--
    if (this.role === 'leader') this.#tickLeader()
    else if (this.#electionElapsed >= this.#electionTimeout && this.#mayCampaign() && !this.#leaseBinds()) {
      this.#electionElapsed = 0
      this.#campaign('preVote')
    }
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
    this.#leaderLost = true
    const soon = this.#electionTimeout - 1 - Math.floor(this.#options.random() * 4)
    this.#electionElapsed = Math.max(this.#electionElapsed, soon)
  }

  /** Adds entries to the log if this node leads. */
  propose(payloads: readonly Uint8Array[]): ProposeResult {
    if (this.role !== 'leader' || !this.progress.has(this.id)) return { dropped: 'not-leader' }
    if (this.#transferTo !== '') return { dropped: 'transferring' }
    if (this.#uncommittedBytes > this.#options.uncommittedBytesMax) return { dropped: 'overloaded' }
    invariant(payloads.length > 0, 'a proposal holds something')
    const result = { index: this.log.lastIndex + 1, term: this.term }
    this.#appendOwn(payloads.map((data) => ({ type: 'normal', data })))
    this.#broadcastAppend()
    return result
  }

  /**
   * Proposes a change of the configuration. Refused while another is under way, and until an entry of this leader's term
   * is committed (catalogue B2, B3). Throws InvariantError for a change that makes no sense.
   */
  proposeChange(change: ConfigChange): ProposeResult {
    if (this.role !== 'leader') return { dropped: 'not-leader' }
    if (this.#transferTo !== '') return { dropped: 'transferring' }
    const leaving = change.steps.length === 0
    const pending = this.#pendingConfigIndex > this.log.appliedIndex || !this.#committedInTerm()
    if (pending || leaving !== isJoint(this.configuration)) return { dropped: 'change-pending' }
    changeConfiguration(this.configuration, change)
    const result = { index: this.log.lastIndex + 1, term: this.term }
    this.#pendingConfigIndex = result.index
    this.#appendOwn([{ type: 'config', data: encodeChange(change) }])
    this.#broadcastAppend()
    return result
  }

  /**
   * Asks for confirmation of a read; the answer comes as a ReadState with this id. False if this node does not lead.
   * `wantsLease`: whoever confirms is asked for a lease too.
   */
  readIndex(id: number, wantsLease = false): boolean {
    if (this.role !== 'leader') return false
    const asksLease = wantsLease && this.#options.leaseReads && !this.#leaseForfeited
    if (!this.#committedInTerm()) {
      this.#reads.park(id, asksLease)
      return true
    }
    this.#reads.add(id, this.log.committedIndex, asksLease)
    this.#confirmReads()
    return true
  }

  /** Hands leadership to `to`, a voter. False if this node does not lead or `to` cannot take over. */
  transferLeadership(to: NodeId): boolean {
    if (this.role !== 'leader' || to === this.id || !this.configuration.voters.includes(to)) return false
    const progress = this.progress.get(to)
    if (progress === undefined) return false
    if (this.#transferTo !== to) this.#transferElapsed = 0
    this.#transferTo = to
    this.#leaseForfeited = true
    if (progress.matchIndex === this.log.lastIndex) this.#send('timeoutNow', to, {})
    else this.#sendAppend(to, true)
    return true
  }

  /**
   * The driver cannot reach these nodes at all. A leader that is left without a quorum steps down now rather than at the
   * next quorum check, so that clients hear "no leader" instead of waiting.
   */
  quorumUnreachable(unreachable: ReadonlySet<NodeId>): void {
    if (this.role !== 'leader') return
    const reachable = new Map([...this.progress.keys()].map((id) => [id, !unreachable.has(id)]))
    if (jointVote(this.configuration, reachable) === 'lost') this.#becomeFollower(this.term, '')
  }

  /** Gives leadership up for the others to take. False if this node does not lead or is the only voter. */
  stepDown(): boolean {
    if (this.role !== 'leader' || allVoters(this.configuration).length === 1) return false
    this.#becomeFollower(this.term, '')
    return true
  }

  /** The transport could not deliver to `id`: what was sent optimistically may be lost. */
  reportUnreachable(id: NodeId): void {
    const progress = this.progress.get(id)
    if (this.role === 'leader' && progress?.state === 'replicate') progress.becomeProbe()
  }

  /** The snapshot sent to `id` arrived or failed. Replication resumes with the next heartbeat. */
  reportSnapshot(id: NodeId, ok: boolean): void {
    const progress = this.progress.get(id)
    if (this.role !== 'leader' || progress?.state !== 'snapshot') return
    if (!ok) progress.pendingSnapshot = 0
    progress.becomeProbe()
    progress.paused = true
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
      this.#messages.length > 0 ||
      this.#messagesAfterPersist.length > 0 ||
      this.log.hasUnstable() ||
      this.log.hasCommitted() ||
      this.#pendingSnapshot !== null ||
      this.#reads.hasDone() ||
      this.#reads.needsRound() ||
      this.#hardStateChanged()
    )
  }

  /** Takes everything there is to do. See Ready for the order the driver must keep. */
  ready(): Ready {
    if (this.role === 'leader' && this.#reads.needsRound()) this.#broadcastHeartbeat()
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
      messages: this.#messages,
      messagesAfterPersist: this.#messagesAfterPersist,
      committed: this.log.takeCommitted(this.#options.applyBytesMax),
      reads: this.#reads.takeDone(),
      token: {
        epoch: this.log.epoch,
        lastIndex: this.log.takenIndex,
        snapshotIndex: snapshot?.index ?? 0,
      },
    }
    this.#pendingSnapshot = null
    this.#messages = []
    this.#messagesAfterPersist = []
    return ready
  }

  /**
   * The write of a Ready is durable. Ignored for the log if it was truncated since: example A→B→A: entry A is written,
   * replaced by B, then by A again; the first write's completion must not vouch for A while B is on its way to the disk.
   */
  persisted(token: PersistToken): void {
    if (token.epoch !== this.log.epoch) return
    this.log.stableIndex = Math.max(this.log.stableIndex, token.lastIndex)
    if (this.role !== 'leader') return
    if (this.progress.get(this.id)?.acknowledge(this.log.stableIndex) && this.#maybeCommit())
      this.#broadcastAppend()
  }

  /** Everything up to `index` is applied. A leader then leaves a joint configuration it has entered. */
  applied(index: number): void {
    this.log.applied(index)
    this.#maybeLeaveJoint()
  }

  /** Tried again with every tick: a leadership transfer may have been in the way. */
  #maybeLeaveJoint(): void {
    if (this.role === 'leader' && this.configuration.autoLeave) this.proposeChange({ steps: [] })
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
      this.#send('appendResponse', message.from, { reject: false, index: 0 })
    } else if (message.type === 'preVote') {
      this.#sendAfterPersist('preVoteResponse', message.from, { reject: true })
    }
  }

  /** A lease that this node granted, or may have granted before it was started, forbids it to vote. */
  #leaseBinds(): boolean {
    return this.#leaseTicks > 0 && this.role !== 'leader' && allVoters(this.configuration).length > 1
  }

  #leaderHolds(): boolean {
    if (this.role === 'leader') return true
    return this.leader !== '' && !this.#leaderLost && this.#electionElapsed < this.#options.electionTicks
  }

  #handleVoteRequest(message: Message): void {
    const isPre = message.type === 'preVote'
    const type: MessageType = isPre ? 'preVoteResponse' : 'voteResponse'
    const free = this.vote === '' && this.leader === ''
    const mayVote = this.vote === message.from || free || (isPre && message.term > this.term)
    if (mayVote && this.log.isUpToDate(message.index, message.logTerm)) {
      // A grant carries the term asked for: for a pre-vote that is the candidate's next term.
      this.#sendAfterPersist(type, message.from, { term: message.term })
      if (!isPre) {
        this.#electionElapsed = 0
        this.vote = message.from
      }
    } else {
      const commit = this.log.committedIndex
      const logTerm = this.log.termAt(commit) ?? 0
      this.#sendAfterPersist(type, message.from, { reject: true, commit, logTerm })
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
        if (message.type === 'append') this.#handleAppend(message)
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
    this.#electionElapsed = 0
    this.#leaderLost = false
    this.leader = from
  }

  #handleAppend(message: Message): void {
    if (message.index < this.log.committedIndex) {
      this.#sendAfterPersist('appendResponse', message.from, { index: this.log.committedIndex })
      return
    }
    const matched = this.log.tryAppend(message.index, message.logTerm, message.entries)
    if (matched !== undefined) {
      this.log.commitTo(Math.min(message.commit, matched))
      // Exactly what was checked against the leader's log, never lastIndex (catalogue B9).
      this.#sendAfterPersist('appendResponse', message.from, { index: matched })
      return
    }
    const hint = this.log.findConflict(Math.min(message.index, this.log.lastIndex), message.logTerm)
    this.#sendAfterPersist('appendResponse', message.from, {
      reject: true,
      index: message.index,
      rejectHint: hint.index,
      logTerm: hint.term ?? 0,
    })
  }

  #handleHeartbeat(message: Message): void {
    this.log.commitTo(message.commit)
    const lease = message.lease && this.#options.leaseReads
    if (lease) this.#leaseTicks = this.#options.electionTicks
    this.#send('heartbeatResponse', message.from, { context: message.context, lease })
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
      this.#syncProgress()
    } else if (useful) {
      this.log.commitTo(snapshot.index)
    }
    this.#sendAfterPersist('appendResponse', message.from, { index: this.log.committedIndex })
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
    const progress = this.progress.get(message.from)
    if (progress === undefined) return
    if (message.type === 'appendResponse') {
      progress.recentActive = true
      if (message.reject) this.#handleRefusal(message, progress)
      else this.#handleAcknowledgement(message, progress)
    } else if (message.type === 'heartbeatResponse') {
      progress.recentActive = true
      progress.paused = false
      if (progress.matchIndex < this.log.lastIndex || progress.state === 'probe')
        this.#sendAppend(message.from, true)
      if (message.lease) progress.leaseAck = Math.max(progress.leaseAck, message.context)
      if (message.context > progress.readAck) {
        progress.readAck = message.context
        this.#confirmReads()
      }
    }
  }

  #handleRefusal(message: Message, progress: Progress): void {
    const hint =
      message.logTerm > 0
        ? this.log.findConflict(message.rejectHint, message.logTerm).index
        : message.rejectHint
    if (!progress.refuse(message.index, hint)) return
    if (progress.state === 'replicate') progress.becomeProbe()
    this.#sendAppend(message.from, true)
  }

  #handleAcknowledgement(message: Message, progress: Progress): void {
    const wasPaused = progress.isPaused()
    const news = progress.acknowledge(message.index)
    if (!news && !(progress.state === 'probe' && progress.matchIndex === message.index)) return
    if (progress.state === 'probe') progress.becomeReplicate()
    else if (progress.state === 'replicate') progress.freeUpTo(message.index)
    else if (progress.matchIndex + 1 >= this.log.firstIndex) {
      // Any acknowledgement that meets the log ends the wait, whichever snapshot brought the follower there.
      progress.becomeProbe()
      progress.becomeReplicate()
    }
    if (this.#maybeCommit()) this.#broadcastAppend()
    else if (wasPaused || progress.sentCommit < Math.min(progress.matchIndex, this.log.committedIndex)) {
      this.#sendAppend(message.from, true)
    }
    while (this.#sendAppend(message.from, false)) {
      // Fills the window that the acknowledgement opened; each pass moves nextIndex forward.
    }
    if (message.from === this.#transferTo && progress.matchIndex === this.log.lastIndex) {
      this.#send('timeoutNow', message.from, {})
    }
  }

  // ---- roles -------------------------------------------------------------------------------------------------

  #reset(term: number): void {
    if (term !== this.term) {
      invariant(term > this.term, 'the term never decreases')
      this.term = term
      this.vote = ''
    }
    this.leader = ''
    this.#leaderLost = false
    this.#electionElapsed = 0
    this.#heartbeatElapsed = 0
    const { electionTicks, random } = this.#options
    this.#electionTimeout = electionTicks + Math.floor(random() * electionTicks)
    this.#transferTo = ''
    this.#pendingConfigIndex = 0
    this.#uncommittedBytes = 0
    this.#votes.clear()
    this.#reads.fail()
    this.progress.clear()
    this.#syncProgress()
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
    this.#leaseForfeited = false
    const own = this.progress.get(this.id)
    if (own !== undefined) {
      own.becomeReplicate()
      own.recentActive = true
    }
    this.#pendingConfigIndex = this.log.lastIndex
    this.#appendOwn([{ type: 'normal', data: new Uint8Array(0) }])
    this.#broadcastAppend()
  }

  #mayCampaign(): boolean {
    return this.canCampaign && this.isVoter() && this.#pendingSnapshot === null && !this.#hasUnappliedChange()
  }

  /** Who votes may be about to change: wait until it is applied (catalogue B11). */
  #hasUnappliedChange(): boolean {
    for (let index = this.log.appliedIndex + 1; index <= this.log.committedIndex; index++) {
      if (this.log.entryAt(index)?.type === 'config') return true
    }
    return false
  }

  #campaign(kind: 'preVote' | 'vote' | 'transfer'): void {
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
    const pre = kind === 'preVote'
    const term = pre ? this.term + 1 : this.term
    const type: MessageType = pre ? 'preVote' : 'vote'
    const request = {
      term,
      index: this.log.lastIndex,
      logTerm: this.log.lastTerm,
      transfer: kind === 'transfer',
    }
    for (const id of allNodes(this.configuration)) {
      if (!isVoter(this.configuration, id)) continue
      // Its own vote counts only once it is durable (catalogue B5).
      if (id === this.id) this.#sendAfterPersist(pre ? 'preVoteResponse' : 'voteResponse', id, { term })
      else if (pre) this.#send(type, id, request)
      // Nor may the others elect it before. Example: three of five vote, it leads and sends entry (9, term 4), crashes with
      // term 3 on its disk, is elected in term 4 by two of them again, and sends another entry (9, term 4). A vote is also
      // given for the log in the request: what that names must be durable too.
      else this.#sendAfterPersist(type, id, request)
    }
  }

  #tickLeader(): void {
    this.#heartbeatElapsed++
    this.#transferElapsed++
    if (this.#transferElapsed >= this.#options.electionTicks) this.#transferTo = ''
    if (this.#electionElapsed >= this.#options.electionTicks) {
      this.#electionElapsed = 0
      const active = new Map([...this.progress].map(([id, p]) => [id, id === this.id || p.recentActive]))
      if (jointVote(this.configuration, active) !== 'won') {
        this.#becomeFollower(this.term, '')
        return
      }
      for (const [id, progress] of this.progress) if (id !== this.id) progress.recentActive = false
    }
    if (this.#heartbeatElapsed >= this.#options.heartbeatTicks) this.#broadcastHeartbeat()
    this.#maybeLeaveJoint()
  }

  // ---- leader ------------------------------------------------------------------------------------------------

  #appendOwn(payloads: readonly { readonly type: EntryType; readonly data: Uint8Array }[]): void {
    this.log.append(
      payloads.map(({ type, data }, i) => ({
        index: this.log.lastIndex + 1 + i,
        term: this.term,
        type,
        data,
      })),
    )
    for (const { data } of payloads) this.#uncommittedBytes += data.length
  }

  #committedInTerm(): boolean {
    return this.log.termAt(this.log.committedIndex) === this.term
  }

  /** Commits what a quorum has, but only through an entry of the own term (paper §5.4.2, catalogue B1). */
  #maybeCommit(): boolean {
    const index = jointIndex(this.configuration, (id) => this.progress.get(id)?.matchIndex ?? 0)
    if (index <= this.log.committedIndex || this.log.termAt(index) !== this.term) return false
    for (let i = this.log.committedIndex + 1; i <= index; i++) {
      this.#uncommittedBytes -= this.log.entryAt(i)?.data.length ?? 0
    }
    this.#uncommittedBytes = Math.max(0, this.#uncommittedBytes)
    this.log.commitTo(index)
    this.#reads.unpark(this.log.committedIndex)
    this.#confirmReads()
    return true
  }

  #confirmReads(): void {
    const reached = (ack: (progress: Progress) => number) =>
      jointIndex(this.configuration, (id) => {
        const progress = this.progress.get(id)
        return id === this.id ? this.#reads.position : progress === undefined ? 0 : ack(progress)
      })
    const leased = this.#leaseForfeited ? 0 : reached(({ leaseAck }) => leaseAck)
    this.#reads.confirm(
      reached(({ readAck }) => readAck),
      leased,
    )
  }

  #broadcastAppend(): void {
    for (const id of this.progress.keys()) if (id !== this.id) this.#sendAppend(id, true)
  }

  #broadcastHeartbeat(): void {
    this.#heartbeatElapsed = 0
    this.#reads.roundSent()
    const lease = this.#reads.wantsLease()
    for (const [id, progress] of this.progress) {
      if (id === this.id) continue
      // Never more than the follower is known to have: the raw commit index could be beyond its log.
      const commit = Math.min(progress.matchIndex, this.log.committedIndex)
      this.#send('heartbeat', id, { commit, context: this.#reads.position, lease })
    }
  }

  /** Sends what the follower needs next. False if nothing was sent. `whenEmpty` sends even without entries. */
  #sendAppend(to: NodeId, whenEmpty: boolean): boolean {
    const progress = this.progress.get(to)
    if (progress === undefined || to === this.id || progress.isPaused()) return false
    const index = progress.nextIndex - 1
    const logTerm = this.log.termAt(index)
    if (logTerm === undefined) return this.#sendSnapshot(to, progress)
    const windowFull = progress.state === 'replicate' && progress.isWindowFull()
    const entries = windowFull
      ? []
      : this.log.slice(progress.nextIndex, this.log.lastIndex, this.#options.appendBytesMax)
    if (entries.length === 0 && !whenEmpty) return false
    this.#send('append', to, { index, logTerm, entries, commit: this.log.committedIndex })
    progress.sentEntries(
      entries.length,
      entries.reduce((sum, entry) => sum + entry.data.length, 0),
    )
    progress.sentCommit = this.log.committedIndex
    return entries.length > 0
  }

  #sendSnapshot(to: NodeId, progress: Progress): boolean {
    if (!progress.recentActive) return false
    const snapshot = this.#snapshot
    invariant(snapshot.index >= this.log.snapshotIndex, 'compacted entries are covered by a snapshot')
    progress.becomeSnapshot(snapshot.index)
    this.#send('snapshot', to, { snapshot })
    return true
  }

  // ---- configuration -----------------------------------------------------------------------------------------

  #setConfiguration(configuration: Configuration): void {
    this.configuration = configuration
    this.#syncProgress()
    // A candidate too: a refusal may have told it that its removal is committed, and the grants it still gets would elect it.
    if (this.role !== 'follower' && !isVoter(configuration, this.id)) this.#becomeFollower(this.term, '')
    if (this.role !== 'leader') return
    if (this.#transferTo !== '' && !isVoter(configuration, this.#transferTo)) this.#transferTo = ''
    if (this.#maybeCommit()) this.#broadcastAppend()
    else for (const id of this.progress.keys()) this.#sendAppend(id, false)
    this.#confirmReads()
  }

  #syncProgress(): void {
    const members = new Set(allNodes(this.configuration))
    for (const id of this.progress.keys()) if (!members.has(id)) this.progress.delete(id)
    for (const id of members) {
      if (this.progress.has(id)) continue
      const progress = new Progress(this.log.lastIndex + 1, this.role === 'leader', this.#options.window)
      if (id === this.id) progress.matchIndex = Math.min(this.log.stableIndex, this.log.lastIndex)
      this.progress.set(id, progress)
    }
  }

  // ---- sending -----------------------------------------------------------------------------------------------

  #message(type: MessageType, to: NodeId, fields: Partial<Message>): Message {
    if (type === 'vote' && fields.term === 0) throw new InvariantError('a vote is for a term')
    return {
      type,
      to,
      from: this.id,
      term: fields.term ?? this.term,
      index: fields.index ?? 0,
      logTerm: fields.logTerm ?? 0,
      entries: fields.entries ?? [],
      commit: fields.commit ?? 0,
      reject: fields.reject ?? false,
      rejectHint: fields.rejectHint ?? 0,
      context: fields.context ?? 0,
      transfer: fields.transfer ?? false,
      lease: fields.lease ?? false,
      snapshot: fields.snapshot ?? null,
    }
  }

  #send(type: MessageType, to: NodeId, fields: Partial<Message>): void {
    this.#messages.push(this.#message(type, to, fields))
  }

  #sendAfterPersist(type: MessageType, to: NodeId, fields: Partial<Message>): void {
    this.#messagesAfterPersist.push(this.#message(type, to, fields))
  }
}
