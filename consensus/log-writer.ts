import type { Clock } from './clock.ts'
import type { ReplicaMetrics } from './metrics.ts'
import type { Entry, HardState, Ready } from './raft/types.ts'
import type { LogStore } from './storage/log-store.ts'

/** A Ready that waits to be written. `records`: the state of its snapshot, as it was when it was taken over. */
interface QueuedWrite {
  readonly ready: Ready
  readonly records: Iterable<Uint8Array> | null
}

function bytesOf(ready: Ready): number {
  return ready.entries.reduce((sum, entry) => sum + entry.data.length, 0)
}

/** What a log writer works with. */
export interface LogWriterCollaborators {
  readonly store: LogStore
  readonly clock: Clock
  readonly metrics: ReplicaMetrics | null
  /** Resolves when no snapshot is being saved: the store takes one at a time, and the one under way is of an older state. */
  readonly snapshotSaved: () => Promise<void>
}

/** Entry bytes that may wait for the disk; what comes then is refused. */
const QUEUE_BYTES_MAX = 64 << 20
/** Ticks after which a write that does not come back says that the disk hangs. */
const STALLED_TICKS = 50

/**
 * The queue before the disk. While one write is under way the next accumulates, so that many proposals share one sync.
 * A commit index alone is not worth a write: it is kept and goes with the next.
 */
export class LogWriter {
  readonly #with: LogWriterCollaborators
  readonly #queue: QueuedWrite[] = []
  #lazyHardState: HardState | null = null
  /** Entry bytes queued and being written. */
  #bytes = 0
  #isWriting = false
  #ticks = 0

  constructor(collaborators: LogWriterCollaborators) {
    this.#with = collaborators
  }

  /** Queues what a Ready wants written or sent after a write; does nothing if it wants neither. */
  add(ready: Ready, records: Iterable<Uint8Array> | null): void {
    if (ready.hardState !== null || ready.entries.length > 0 || ready.messagesAfterPersist.length > 0)
      this.#queue.push({ ready, records })
    this.#bytes += bytesOf(ready)
  }

  /** True while so much waits that nothing more should be taken. */
  get isOverloaded(): boolean {
    return this.#bytes > QUEUE_BYTES_MAX
  }

  get hasQueued(): boolean {
    return this.#queue.length > 0
  }

  /** Writes that wait, and the bytes of the data of their entries. */
  get queued(): { readonly length: number; readonly bytes: number } {
    let bytes = 0
    for (const { ready } of this.#queue) for (const { data } of ready.entries) bytes += data.length
    return { length: this.#queue.length, bytes }
  }

  /** One unit of time passed. */
  tick(): void {
    if (this.#isWriting) this.#ticks++
  }

  /** True while a write takes far longer than a disk that works needs. */
  get isStalled(): boolean {
    return this.#ticks >= STALLED_TICKS
  }

  /** Makes the next batch durable, never two at a time. Answers its Readies in order. @throws what the store throws */
  async writeNext(): Promise<readonly Ready[]> {
    const batch = this.#takeBatch()
    this.#isWriting = true
    try {
      await this.#write(batch)
    } finally {
      this.#isWriting = false
      this.#ticks = 0
    }
    for (const { ready } of batch) this.#bytes -= bytesOf(ready)
    return batch.map(({ ready }) => ready)
  }

  /** Everything that waits, up to and including the first snapshot, which is written alone. */
  #takeBatch(): QueuedWrite[] {
    const snapshotAt = this.#queue.findIndex(({ records }) => records !== null)
    if (snapshotAt < 0) return this.#queue.splice(0)
    return this.#queue.splice(0, Math.max(1, snapshotAt))
  }

  async #write(batch: readonly QueuedWrite[]): Promise<void> {
    const { store, clock, metrics, snapshotSaved } = this.#with
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
    if (!mustSync) return
    const started = clock.now()
    const [first] = batch
    const snapshot = first?.ready.snapshot ?? null
    if (snapshot !== null && first !== undefined && first.records !== null && hardState !== null) {
      await snapshotSaved()
      await store.installSnapshot(snapshot, first.records, hardState)
    }
    if (snapshot === null || entries.length > 0) await store.write({ hardState, entries, sync: true })
    this.#lazyHardState = null
    metrics?.written(entries.length, clock.now() - started)
  }

  /** Writes what was not worth a write of its own. The last call. @throws what the store throws */
  async finish(): Promise<void> {
    if (this.#lazyHardState === null) return
    await this.#with.store.write({ hardState: this.#lazyHardState, entries: [], sync: true })
  }
}
