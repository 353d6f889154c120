import { invariant } from './types.ts'

/**
 * How the leader sends to one follower. `probe`: one append at a time until it is known where the logs agree.
 * `replicate`: optimistic, bounded by the in-flight window. `snapshot`: nothing until the snapshot arrived.
 */
export type ProgressState = 'probe' | 'replicate' | 'snapshot'

/** Bounds of the appends a leader may have under way to one follower. */
export interface WindowLimits {
  readonly messagesMax: number
  readonly bytesMax: number
}

/**
 * What the leader knows of one follower. Invariant: 0 <= matchIndex < nextIndex.
 * Source: Raft paper §5.3 (nextIndex, matchIndex); the states follow the flow-control notes of etcd's raft.
 */
export class Progress {
  matchIndex = 0
  nextIndex: number
  state: ProgressState = 'probe'
  /** Index of the snapshot on its way. */
  pendingSnapshot = 0
  /** Heard from since the last quorum check. */
  recentActive: boolean
  /** A probe is out and unanswered; or, in replicate, the window was full at the last try. */
  paused = false
  /** Largest read position this follower confirmed. */
  readAck = 0
  /** Largest read position this follower confirmed together with a lease. */
  leaseAck = 0
  /** Ticks since it was sent a heartbeat. */
  heartbeatElapsed = 0
  /** Commit index last sent, so that a follower that lags behind is told again. */
  sentCommit = 0
  readonly #limits: WindowLimits
  /** Last index and size of every append under way, oldest first. */
  #inflight: { lastIndex: number; bytes: number }[] = []
  #inflightBytes = 0

  constructor(nextIndex: number, recentActive: boolean, limits: WindowLimits) {
    this.nextIndex = nextIndex
    this.recentActive = recentActive
    this.#limits = limits
  }

  #reset(state: ProgressState): void {
    this.state = state
    this.paused = false
    this.pendingSnapshot = 0
    this.#inflight = []
    this.#inflightBytes = 0
  }

  becomeProbe(): void {
    const next =
      this.state === 'snapshot' ? Math.max(this.matchIndex, this.pendingSnapshot) + 1 : this.matchIndex + 1
    this.#reset('probe')
    this.nextIndex = next
    this.sentCommit = Math.min(this.sentCommit, next - 1)
  }

  becomeReplicate(): void {
    this.#reset('replicate')
    this.nextIndex = this.matchIndex + 1
  }

  becomeSnapshot(index: number): void {
    this.#reset('snapshot')
    this.pendingSnapshot = index
    this.nextIndex = index + 1
    this.sentCommit = index
  }

  /** True if no append with entries may be sent now. */
  isPaused(): boolean {
    if (this.state === 'snapshot') return true
    return this.paused
  }

  /** True if it has the log up to `lastIndex` and was told that it is committed up to `commit`. */
  hasEverything(lastIndex: number, commit: number): boolean {
    return this.state === 'replicate' && this.matchIndex === lastIndex && this.sentCommit >= commit
  }

  isWindowFull(): boolean {
    return this.#inflight.length >= this.#limits.messagesMax || this.#inflightBytes >= this.#limits.bytesMax
  }

  /** Accounts for an append that was just sent. */
  sentEntries(count: number, bytes: number): void {
    invariant(this.state !== 'snapshot', 'no append is sent while a snapshot is pending')
    if (this.state === 'replicate') {
      if (count > 0) {
        this.nextIndex += count
        this.#inflight.push({ lastIndex: this.nextIndex - 1, bytes })
        this.#inflightBytes += bytes
      }
      this.paused = this.isWindowFull()
    } else if (count > 0) {
      this.paused = true
    }
  }

  /** Records an acknowledgement up to `index`. False if it is old news. */
  acknowledge(index: number): boolean {
    if (index <= this.matchIndex) return false
    this.matchIndex = index
    this.nextIndex = Math.max(this.nextIndex, index + 1)
    this.paused = false
    return true
  }

  /** Frees the window up to and including `index`. */
  freeUpTo(index: number): void {
    let freed = 0
    while (freed < this.#inflight.length) {
      const head = this.#inflight[freed]
      if (head === undefined || head.lastIndex > index) break
      this.#inflightBytes -= head.bytes
      freed++
    }
    if (freed > 0) this.#inflight.splice(0, freed)
    this.paused = this.isWindowFull()
  }

  /**
   * Handles a refused append at `rejected`. False if the refusal is stale.
   * Worked example: an append for index 10 is refused, then one for 5 accepted; a duplicate of the first refusal arrives.
   * In replicate 10 > match = 5 … only refusals above matchIndex count; in probe only the one for nextIndex − 1.
   */
  refuse(rejected: number, hint: number): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.matchIndex) return false
      this.nextIndex = this.matchIndex + 1
      return true
    }
    if (this.nextIndex - 1 !== rejected) return false
    this.nextIndex = Math.max(Math.min(rejected, hint + 1), this.matchIndex + 1)
    this.sentCommit = Math.min(this.sentCommit, this.nextIndex - 1)
    this.paused = false
    return true
  }
}
