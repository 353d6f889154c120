import type { Clock } from './clock.ts'
import type { ReplicaMetrics } from './metrics.ts'
import type { Ready } from './raft/types.ts'
import type { LogStore } from './storage/log-store.ts'
import { type WriteBatch, WriteQueue } from './write-queue.ts'

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

/** Writes what is queued to the store, one batch at a time, and notices when too much waits or the disk hangs. */
export class LogWriter {
  readonly #with: LogWriterCollaborators
  readonly #queue = new WriteQueue()
  /** Entry bytes queued and being written. */
  #bytes = 0
  #isWriting = false
  #ticks = 0

  constructor(collaborators: LogWriterCollaborators) {
    this.#with = collaborators
  }

  /** Queues what a Ready wants written or sent after a write; does nothing if it wants neither. */
  add(ready: Ready, records: Iterable<Uint8Array> | null): void {
    this.#queue.add(ready, records)
    this.#bytes += bytesOf(ready)
  }

  /** True while so much waits that nothing more should be taken. */
  get isOverloaded(): boolean {
    return this.#bytes > QUEUE_BYTES_MAX
  }

  get hasQueued(): boolean {
    return !this.#queue.isEmpty
  }

  /** Writes that wait, and the bytes of the data of their entries. */
  get queued(): { readonly length: number; readonly bytes: number } {
    const { readies } = this.#queue
    return { length: readies.length, bytes: readies.reduce((sum, ready) => sum + bytesOf(ready), 0) }
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
    const batch = this.#queue.take()
    this.#isWriting = true
    try {
      if (batch.mustSync) await this.#write(batch)
    } finally {
      this.#isWriting = false
      this.#ticks = 0
    }
    for (const ready of batch.readies) this.#bytes -= bytesOf(ready)
    return batch.readies
  }

  async #write({ hardState, entries, install }: WriteBatch): Promise<void> {
    const { store, clock, metrics, snapshotSaved } = this.#with
    const started = clock.now()
    if (install !== null) {
      await snapshotSaved()
      await store.installSnapshot(install.meta, install.records, install.hardState)
    }
    if (install === null || entries.length > 0) await store.write({ hardState, entries, sync: true })
    this.#queue.written()
    metrics?.written(entries.length, clock.now() - started)
  }

  /** Writes what was not worth a write of its own. The last call. @throws what the store throws */
  async finish(): Promise<void> {
    const { lazyHardState: hardState } = this.#queue
    if (hardState !== null) await this.#with.store.write({ hardState, entries: [], sync: true })
  }
}
