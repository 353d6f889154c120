import type { Ready, SnapshotMeta } from '../../consensus/raft/types.ts'
import { WriteQueue } from '../../consensus/write-queue.ts'
import type { SimDisk, WriteDone, WriteResult } from './disk.ts'
import type { World } from './world.ts'

/** Ticks after which a write that does not come back says that the disk hangs. */
const STALLED_TICKS = 50

/** What a writer writes with, and who hears of it. */
export interface SimWriterCollaborators {
  readonly world: World
  readonly disk: SimDisk
  /** Makes the completion of a write a step of the node, and of no concern to a later start. */
  readonly guarded: (done: WriteDone) => WriteDone
  readonly onPersisted: (readies: readonly Ready[]) => void
  readonly onFailed: (result: WriteResult) => void
}

/** What `LogWriter` does, in virtual time: writes one batch of the queue at a time, and snapshots beside it. */
export class SimWriter {
  readonly #with: SimWriterCollaborators
  readonly #queue = new WriteQueue()
  #isWriting = false
  /** Ticks since the write under way began. */
  #ticks = 0
  #isSaving = false
  #afterSaving: (() => void) | null = null

  constructor(collaborators: SimWriterCollaborators) {
    this.#with = collaborators
  }

  add(ready: Ready, records: Iterable<Uint8Array> | null): void {
    this.#queue.add(ready, records)
  }

  /** True while a write or a snapshot is on its way to the disk. */
  get isBusy(): boolean {
    return this.#isWriting || this.#isSaving
  }

  get isSaving(): boolean {
    return this.#isSaving
  }

  get canWrite(): boolean {
    return !this.#isWriting && !this.#queue.isEmpty
  }

  tick(): void {
    if (this.#isWriting) this.#ticks++
  }

  get isStalled(): boolean {
    return this.#ticks >= STALLED_TICKS
  }

  /** True if nothing of it had to reach the disk, so that more may be ready at once. */
  writeNext(): boolean {
    const { world, disk, guarded, onPersisted, onFailed } = this.#with
    const { readies, hardState, entries, install, mustSync } = this.#queue.take()
    if (!mustSync) {
      onPersisted(readies)
      return true
    }
    this.#isWriting = true
    const written = (result: WriteResult) => {
      if (result !== 'written') {
        onFailed(result)
        return
      }
      this.#queue.written()
      this.#isWriting = false
      this.#ticks = 0
      onPersisted(readies)
    }
    const writeEntries = () => disk.write(hardState, entries, guarded(written))
    if (install === null) {
      writeEntries()
      return false
    }
    const begin = () =>
      disk.installSnapshot(
        install.meta,
        install.records,
        install.hardState,
        guarded((result) => {
          if (result === 'written') world.count('snapshot installed')
          if (result === 'written' && entries.length > 0) writeEntries()
          else written(result)
        }),
      )
    // The store takes one snapshot at a time.
    if (this.#isSaving) this.#afterSaving = begin
    else begin()
    return false
  }

  /** Saves a snapshot of the node's own; `done` hears whether there was room. */
  saveSnapshot(
    meta: SnapshotMeta,
    records: Iterable<Uint8Array>,
    compactTo: number,
    done: (result: 'written' | 'full') => void,
  ): void {
    const { disk, guarded, onFailed } = this.#with
    this.#isSaving = true
    const saved = guarded((result) => {
      if (result === 'failed') {
        onFailed(result)
        return
      }
      this.#isSaving = false
      done(result)
      const next = this.#afterSaving
      this.#afterSaving = null
      next?.()
    })
    disk.saveSnapshot(meta, records, compactTo, saved)
  }
}
