import { allNodes, isVoter } from './configuration.ts'
import type { RaftLog } from './log.ts'
import type { RaftOptions } from './options.ts'
import type { Outgoing } from './outgoing.ts'
import { Progress } from './progress.ts'
import { jointIndex, jointVote } from './quorum.ts'
import { type Configuration, invariant, type Message, type NodeId, type SnapshotMeta } from './types.ts'

/**
 * What a leader knows of the log of each node, and what it sends them: entries, the commit index, or a snapshot to whom the
 * entries it needs are gone. It keeps no leader's state beside that: who leads and what is committed is decided elsewhere.
 */
export class Replication {
  readonly progress = new Map<NodeId, Progress>()
  readonly #options: Pick<RaftOptions, 'id' | 'appendBytesMax' | 'window' | 'learnerHeartbeatTicks'>
  readonly #log: RaftLog
  readonly #outgoing: Outgoing
  /** The latest snapshot. */
  readonly #snapshot: () => SnapshotMeta

  constructor(
    options: Pick<RaftOptions, 'id' | 'appendBytesMax' | 'window' | 'learnerHeartbeatTicks'>,
    log: RaftLog,
    outgoing: Outgoing,
    snapshot: () => SnapshotMeta,
  ) {
    this.#options = options
    this.#log = log
    this.#outgoing = outgoing
    this.#snapshot = snapshot
  }

  // ---- whom it concerns ----------------------------------------------------------------------------------------

  /** Follows the configuration: forgets who left, and knows nothing yet of who came. `active`: those were heard of. */
  sync(configuration: Configuration, active: boolean): void {
    const members = new Set(allNodes(configuration))
    for (const id of this.progress.keys()) if (!members.has(id)) this.progress.delete(id)
    for (const id of members) {
      if (this.progress.has(id)) continue
      const progress = new Progress(this.#log.lastIndex + 1, active, this.#options.window)
      if (id === this.#options.id) progress.matchIndex = Math.min(this.#log.stableIndex, this.#log.lastIndex)
      this.progress.set(id, progress)
    }
  }

  /** Forgets everything it knew of anybody. */
  reset(configuration: Configuration, active: boolean): void {
    this.progress.clear()
    this.sync(configuration, active)
  }

  /** This node leads from now on: it knows its own log. */
  elected(): void {
    const own = this.progress.get(this.#options.id)
    if (own === undefined) return
    own.becomeReplicate()
    own.recentActive = true
  }

  // ---- what a quorum has ---------------------------------------------------------------------------------------

  /** Up to where a quorum has the log. */
  quorumIndex(configuration: Configuration): number {
    return jointIndex(configuration, (id) => this.progress.get(id)?.matchIndex ?? 0)
  }

  /** The position that a quorum has reached, where this node itself has reached `own`. */
  quorumPosition(configuration: Configuration, own: number, reached: (progress: Progress) => number): number {
    return jointIndex(configuration, (id) => {
      const progress = this.progress.get(id)
      return id === this.#options.id ? own : progress === undefined ? 0 : reached(progress)
    })
  }

  /** True if a quorum was heard of since the last check. */
  checkQuorum(configuration: Configuration): boolean {
    const self = this.#options.id
    const active = new Map([...this.progress].map(([id, p]) => [id, id === self || p.recentActive]))
    if (jointVote(configuration, active) !== 'won') return false
    for (const [id, progress] of this.progress) if (id !== self) progress.recentActive = false
    return true
  }

  /** True if those that are not `unreachable` could be no quorum. */
  isCutOff(configuration: Configuration, unreachable: ReadonlySet<NodeId>): boolean {
    const reachable = new Map([...this.progress.keys()].map((id) => [id, !unreachable.has(id)]))
    return jointVote(configuration, reachable) === 'lost'
  }

  // ---- sending -------------------------------------------------------------------------------------------------

  /** One unit of time passed. */
  tick(): void {
    for (const progress of this.progress.values()) progress.heartbeatElapsed++
  }

  /**
   * Sends a heartbeat to every voter, and to learners that are due or lack something. `context`: position of the reads that
   * an answer confirms. `lease`: it asks for one.
   */
  broadcastHeartbeat(configuration: Configuration, context: number, lease: boolean): void {
    const { lastIndex, committedIndex } = this.#log
    for (const [id, progress] of this.progress) {
      if (id === this.#options.id) continue
      const isDue = progress.heartbeatElapsed >= this.#options.learnerHeartbeatTicks
      if (!isDue && !isVoter(configuration, id) && progress.hasEverything(lastIndex, committedIndex)) continue
      progress.heartbeatElapsed = 0
      // Never more than the follower is known to have: the raw commit index could be beyond its log.
      const commit = Math.min(progress.matchIndex, this.#log.committedIndex)
      this.#outgoing.send('heartbeat', id, { commit, context, lease })
    }
  }

  /** Sends everybody what it needs next, if only the commit index. */
  broadcastAppend(): void {
    for (const id of this.progress.keys()) if (id !== this.#options.id) this.sendAppend(id, true)
  }

  /** Sends everybody what entries it needs next. */
  broadcastEntries(): void {
    for (const id of this.progress.keys()) this.sendAppend(id, false)
  }

  /** Sends what the follower needs next. False if nothing was sent. `whenEmpty` sends even without entries. */
  sendAppend(to: NodeId, whenEmpty: boolean): boolean {
    const log = this.#log
    const progress = this.progress.get(to)
    if (progress === undefined || to === this.#options.id || progress.isPaused()) return false
    const index = progress.nextIndex - 1
    const logTerm = log.termAt(index)
    if (logTerm === undefined) return this.#sendSnapshot(to, progress)
    const windowFull = progress.state === 'replicate' && progress.isWindowFull()
    const entries = windowFull
      ? []
      : log.slice(progress.nextIndex, log.lastIndex, this.#options.appendBytesMax)
    if (entries.length === 0 && !whenEmpty) return false
    this.#outgoing.send('append', to, { index, logTerm, entries, commit: log.committedIndex })
    progress.sentEntries(
      entries.length,
      entries.reduce((sum, entry) => sum + entry.data.length, 0),
    )
    progress.sentCommit = log.committedIndex
    return entries.length > 0
  }

  #sendSnapshot(to: NodeId, progress: Progress): boolean {
    if (!progress.recentActive) return false
    const snapshot = this.#snapshot()
    invariant(snapshot.index >= this.#log.snapshotIndex, 'compacted entries are covered by a snapshot')
    progress.becomeSnapshot(snapshot.index)
    this.#outgoing.send('snapshot', to, { snapshot })
    return true
  }

  // ---- answers -------------------------------------------------------------------------------------------------

  /** The follower's log does not meet what it was sent: looks further back. */
  refused(message: Message, progress: Progress): void {
    const hint =
      message.logTerm > 0
        ? this.#log.findConflict(message.rejectHint, message.logTerm).index
        : message.rejectHint
    if (!progress.refuse(message.index, hint)) return
    if (progress.state === 'replicate') progress.becomeProbe()
    this.sendAppend(message.from, true)
  }

  /** The follower has the log up to `index`. False if that says nothing new. */
  acknowledged(index: number, progress: Progress): boolean {
    const news = progress.acknowledge(index)
    if (!news && !(progress.state === 'probe' && progress.matchIndex === index)) return false
    if (progress.state === 'probe') progress.becomeReplicate()
    else if (progress.state === 'replicate') progress.freeUpTo(index)
    else if (progress.matchIndex + 1 >= this.#log.firstIndex) {
      // Any acknowledgement that meets the log ends the wait, whichever snapshot brought the follower there.
      progress.becomeProbe()
      progress.becomeReplicate()
    }
    return true
  }

  /** Sends the follower what the window has room for since it acknowledged. */
  goOn(to: NodeId, progress: Progress, wasPaused: boolean): void {
    if (wasPaused || progress.sentCommit < Math.min(progress.matchIndex, this.#log.committedIndex))
      this.sendAppend(to, true)
  }

  /** Fills the window that an acknowledgement opened; each pass moves nextIndex forward. */
  fillWindow(to: NodeId): void {
    while (this.sendAppend(to, false)) {
      // Until nothing more fits.
    }
  }

  /** A follower answered a heartbeat: what was sent may have been lost. */
  heartbeatAnswered(message: Message, progress: Progress): void {
    progress.recentActive = true
    progress.paused = false
    if (progress.matchIndex < this.#log.lastIndex || progress.state === 'probe')
      this.sendAppend(message.from, true)
    if (message.lease) progress.leaseAck = Math.max(progress.leaseAck, message.context)
  }

  // ---- what the transport reports ------------------------------------------------------------------------------

  /** What was sent optimistically to `id` may be lost. */
  unreachable(id: NodeId): void {
    const progress = this.progress.get(id)
    if (progress?.state === 'replicate') progress.becomeProbe()
  }

  /** The snapshot sent to `id` arrived or failed. Replication resumes with the next heartbeat. */
  snapshotEnded(id: NodeId, ok: boolean): void {
    const progress = this.progress.get(id)
    if (progress?.state !== 'snapshot') return
    if (!ok) progress.pendingSnapshot = 0
    progress.becomeProbe()
    progress.paused = true
  }
}
