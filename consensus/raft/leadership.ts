import { changeConfiguration, encodeChange, isJoint, isVoter } from './configuration.ts'
import type { RaftLog } from './log.ts'
import type { RaftOptions } from './options.ts'
import type { Outgoing } from './outgoing.ts'
import type { Progress } from './progress.ts'
import { ReadQueue } from './read-queue.ts'
import { Replication } from './replication.ts'
import { Transfer } from './transfer.ts'
import type {
  ConfigChange,
  Configuration,
  EntryType,
  Message,
  NodeId,
  ProposeResult,
  SnapshotMeta,
} from './types.ts'

/** What a leader sees of its node; it changes none of it but the log. */
export interface LedNode {
  readonly term: number
  readonly configuration: Configuration
  readonly log: RaftLog
  readonly latestSnapshot: SnapshotMeta
}

/**
 * What only a leader does: it takes proposals, commits what a quorum has, confirms reads, changes the configuration and hands
 * over. Call its methods, but `reset`, only while the node leads. Whether it leads is decided elsewhere.
 */
export class Leadership {
  readonly replication: Replication
  readonly transfer = new Transfer()
  readonly reads = new ReadQueue()
  readonly #options: RaftOptions
  readonly #node: LedNode
  readonly #log: RaftLog
  readonly #outgoing: Outgoing
  #heartbeatElapsed = 0
  /** No change of the configuration may be proposed before this index is applied. */
  #pendingConfigIndex = 0
  #uncommittedBytes = 0

  constructor(options: RaftOptions, node: LedNode, outgoing: Outgoing) {
    this.#options = options
    this.#node = node
    this.#log = node.log
    this.#outgoing = outgoing
    this.replication = new Replication(options, node.log, outgoing, () => node.latestSnapshot)
  }

  /** Bytes of the entries of this leader that no quorum has yet. */
  get uncommittedBytes(): number {
    return this.#uncommittedBytes
  }

  /** The role or the term changes: nothing of an earlier leadership counts any more. `active`: see `Replication.sync`. */
  reset(active: boolean): void {
    this.#heartbeatElapsed = 0
    this.transfer.end()
    this.#pendingConfigIndex = 0
    this.#uncommittedBytes = 0
    this.reads.fail()
    this.replication.reset(this.#node.configuration, active)
  }

  /** Begins, with an entry of its own term (paper §8). */
  begin(): void {
    this.transfer.elected()
    this.replication.elected()
    this.#pendingConfigIndex = this.#log.lastIndex
    this.#appendOwn([{ type: 'normal', data: new Uint8Array(0) }])
    this.replication.broadcastAppend()
  }

  /** One unit of time passed. */
  tick(): void {
    this.transfer.tick(this.#options.electionTicks)
    this.#heartbeatElapsed++
    this.replication.tick()
    if (this.#heartbeatElapsed >= this.#options.heartbeatTicks) this.broadcastHeartbeat()
    this.maybeLeaveJoint()
  }

  // ---- proposals -----------------------------------------------------------------------------------------------

  /** Adds entries to the log. */
  propose(payloads: readonly Uint8Array[]): ProposeResult {
    if (this.transfer.to !== '') return { dropped: 'transferring' }
    if (this.#uncommittedBytes > this.#options.uncommittedBytesMax) return { dropped: 'overloaded' }
    const result = { index: this.#log.lastIndex + 1, term: this.#node.term }
    this.#appendOwn(payloads.map((data) => ({ type: 'normal', data })))
    this.replication.broadcastAppend()
    return result
  }

  /** Proposes a change of the configuration, unless one is under way or this leader has committed nothing yet. */
  proposeChange(change: ConfigChange): ProposeResult {
    if (this.transfer.to !== '') return { dropped: 'transferring' }
    const { configuration, term } = this.#node
    const leaving = change.steps.length === 0
    const pending = this.#pendingConfigIndex > this.#log.appliedIndex || !this.#committedInTerm()
    if (pending || leaving !== isJoint(configuration)) return { dropped: 'change-pending' }
    changeConfiguration(configuration, change)
    const result = { index: this.#log.lastIndex + 1, term }
    this.#pendingConfigIndex = result.index
    this.#appendOwn([{ type: 'config', data: encodeChange(change) }])
    this.replication.broadcastAppend()
    return result
  }

  /** Tried again with every tick: a leadership transfer may have been in the way. */
  maybeLeaveJoint(): void {
    if (this.#node.configuration.autoLeave) this.proposeChange({ steps: [] })
  }

  #appendOwn(payloads: readonly { readonly type: EntryType; readonly data: Uint8Array }[]): void {
    const { term } = this.#node
    const first = this.#log.lastIndex + 1
    this.#log.append(payloads.map(({ type, data }, i) => ({ index: first + i, term, type, data })))
    for (const { data } of payloads) this.#uncommittedBytes += data.length
  }

  // ---- what a quorum has ---------------------------------------------------------------------------------------

  #committedInTerm(): boolean {
    return this.#log.termAt(this.#log.committedIndex) === this.#node.term
  }

  /** Commits what a quorum has, but only through an entry of the own term (paper §5.4.2, catalogue B1). */
  #maybeCommit(): boolean {
    const log = this.#log
    const index = this.replication.quorumIndex(this.#node.configuration)
    if (index <= log.committedIndex || log.termAt(index) !== this.#node.term) return false
    for (let i = log.committedIndex + 1; i <= index; i++) {
      this.#uncommittedBytes -= log.entryAt(i)?.data.length ?? 0
    }
    this.#uncommittedBytes = Math.max(0, this.#uncommittedBytes)
    log.commitTo(index)
    this.reads.unpark(log.committedIndex)
    this.#confirmReads()
    return true
  }

  /** The leader's own log is durable up to `index`. */
  persisted(id: NodeId, index: number): void {
    if (this.replication.progress.get(id)?.acknowledge(index) && this.#maybeCommit())
      this.replication.broadcastAppend()
  }

  /** Another configuration applies from now on. */
  configured(): void {
    const { configuration } = this.#node
    if (this.transfer.to !== '' && !isVoter(configuration, this.transfer.to)) this.transfer.end()
    if (this.#maybeCommit()) this.replication.broadcastAppend()
    else this.replication.broadcastEntries()
    this.#confirmReads()
  }

  // ---- answers of followers ------------------------------------------------------------------------------------

  /** Takes an answer to an append or a heartbeat. */
  step(message: Message): void {
    const progress = this.replication.progress.get(message.from)
    if (progress === undefined) return
    if (message.type === 'appendResponse') {
      progress.recentActive = true
      if (message.reject) this.replication.refused(message, progress)
      else this.#acknowledged(message, progress)
    } else if (message.type === 'heartbeatResponse') {
      this.replication.heartbeatAnswered(message, progress)
      if (message.context > progress.readAck) {
        progress.readAck = message.context
        this.#confirmReads()
      }
    }
  }

  #acknowledged({ from, index }: Message, progress: Progress): void {
    const wasPaused = progress.isPaused()
    if (!this.replication.acknowledged(index, progress)) return
    if (this.#maybeCommit()) this.replication.broadcastAppend()
    else this.replication.goOn(from, progress, wasPaused)
    this.replication.fillWindow(from)
    if (from === this.transfer.to && progress.matchIndex === this.#log.lastIndex)
      this.#outgoing.send('timeoutNow', from, {})
  }

  // ---- reads ---------------------------------------------------------------------------------------------------

  /** Asks for confirmation of a read. `wantsLease`: whoever confirms is asked for a lease too. */
  readIndex(id: number, wantsLease: boolean): void {
    const asksLease = wantsLease && this.#options.leaseReads && !this.transfer.leaseForfeited
    if (!this.#committedInTerm()) {
      this.reads.park(id, asksLease)
      return
    }
    this.reads.add(id, this.#log.committedIndex, asksLease)
    this.#confirmReads()
  }

  #confirmReads(): void {
    const { configuration } = this.#node
    const own = this.reads.position
    const confirmed = this.replication.quorumPosition(configuration, own, ({ readAck }) => readAck)
    const leased = this.transfer.leaseForfeited
      ? 0
      : this.replication.quorumPosition(configuration, own, ({ leaseAck }) => leaseAck)
    this.reads.confirm(confirmed, leased)
  }

  broadcastHeartbeat(): void {
    this.#heartbeatElapsed = 0
    this.reads.roundSent()
    this.replication.broadcastHeartbeat(
      this.#node.configuration,
      this.reads.position,
      this.reads.wantsLease(),
    )
  }

  // ---- handing over --------------------------------------------------------------------------------------------

  /** Hands leadership to `to`. False if that node cannot take over. */
  handOver(to: NodeId): boolean {
    const progress = this.replication.progress.get(to)
    if (progress === undefined || !this.#node.configuration.voters.includes(to)) return false
    this.transfer.begin(to)
    if (progress.matchIndex === this.#log.lastIndex) this.#outgoing.send('timeoutNow', to, {})
    else this.replication.sendAppend(to, true)
    return true
  }
}
