import type { Entry, HardState, Ready, SnapshotMeta } from './raft/types.ts'

/** A Ready that waits to be written. `records`: the state of its snapshot, as it was when it was taken over. */
interface QueuedWrite {
  readonly ready: Ready
  readonly records: Iterable<Uint8Array> | null
}

/** What is written in one go. */
export interface WriteBatch {
  /** The Readies it is made of, in order. */
  readonly readies: readonly Ready[]
  readonly hardState: HardState | null
  /** Without those that a later Ready replaced. */
  readonly entries: readonly Entry[]
  /** The snapshot to install before anything else, with the hard state that belongs to it. */
  readonly install: {
    readonly meta: SnapshotMeta
    readonly records: Iterable<Uint8Array>
    readonly hardState: HardState
  } | null
  /** False if nothing of it is worth a write of its own. */
  readonly mustSync: boolean
}

/**
 * What waits to be written, and what of it goes together: while one write is under way the next accumulates, so that many
 * proposals share one sync. A commit index alone is not worth a write: it is kept and goes with the next.
 */
export class WriteQueue {
  #queue: QueuedWrite[] = []
  #lazyHardState: HardState | null = null

  /** Queues what a Ready wants written or sent after a write; does nothing if it wants neither. */
  add(ready: Ready, records: Iterable<Uint8Array> | null): void {
    if (ready.hardState !== null || ready.entries.length > 0 || ready.messagesAfterPersist.length > 0)
      this.#queue.push({ ready, records })
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0
  }

  /** The Readies that wait. */
  get readies(): readonly Ready[] {
    return this.#queue.map(({ ready }) => ready)
  }

  /** A hard state that was not worth a write yet. */
  get lazyHardState(): HardState | null {
    return this.#lazyHardState
  }

  /** Takes what is to be written next. Call `written` once it is, if it must be at all. */
  take(): WriteBatch {
    const batch = this.#takeBatch()
    let hardState = this.#lazyHardState
    let mustSync = false
    const entries: Entry[] = []
    for (const { ready } of batch) {
      hardState = ready.hardState ?? hardState
      mustSync ||= ready.mustSync
      const first = ready.entries[0]
      while (first !== undefined && (entries.at(-1)?.index ?? -1) >= first.index) entries.pop()
      for (const entry of ready.entries) entries.push(entry)
    }
    this.#lazyHardState = hardState
    const [first] = batch
    const meta = first?.ready.snapshot ?? null
    const records = first?.records ?? null
    const install =
      meta !== null && records !== null && hardState !== null ? { meta, records, hardState } : null
    return { readies: batch.map(({ ready }) => ready), hardState, entries, install, mustSync }
  }

  /** What was taken last is durable, and with it the hard state. */
  written(): void {
    this.#lazyHardState = null
  }

  /** Everything that waits, up to and including the first snapshot, which is written alone. */
  #takeBatch(): QueuedWrite[] {
    const snapshotAt = this.#queue.findIndex(({ records }) => records !== null)
    if (snapshotAt < 0) return this.#queue.splice(0)
    return this.#queue.splice(0, Math.max(1, snapshotAt))
  }
}
