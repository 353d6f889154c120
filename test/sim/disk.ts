import type { Entry, HardState, SnapshotMeta } from '../../consensus/raft/types.ts'
import { decodeEntry, encodeEntry } from '../../consensus/storage/entry-codec.ts'
import type { World } from './world.ts'
import { check } from './world.ts'

/** What a node finds on its disk. */
export interface DiskState {
  readonly hardState: HardState
  readonly snapshot: SnapshotMeta
  readonly records: readonly Uint8Array[]
  readonly entries: readonly Entry[]
  readonly logStart: { readonly index: number; readonly term: number }
}

/** The longest time a write takes: a disk that hangs. */
const HANGS_MS = 12_000
/** How often a full disk is tried again. */
const FULL_RETRY_MS = 1000

interface Batch {
  readonly hardState: HardState | null
  readonly entries: readonly Entry[]
}

interface Operation {
  /** What is written; null for a snapshot, which takes effect as a whole, with one last record, or not at all. */
  readonly batch: Batch | null
  readonly takeEffect: () => void
  /** Waits for room on a full disk, as in `PatientStore`; otherwise it ends with `full`. */
  readonly patient: boolean
}

/** Hears that a disk is full, and that there is room again. */
export interface DiskListener {
  diskFilled(): void
  diskHasRoom(): void
}

/** `failed`: what is on the disk is uncertain. `full`: nothing of it is on the disk. */
export type WriteResult = 'written' | 'failed' | 'full'

/** Hears how a write or a snapshot ended. */
export type WriteDone = (result: WriteResult) => void

/** A batch on disk: a sequence of encoded entries, each behind its length; the first describes the rest. */
function encodeBatch({ hardState, entries }: Batch): Uint8Array {
  const head = new TextEncoder().encode(JSON.stringify({ hardState, count: entries.length }))
  const parts = [
    encodeEntry({ index: 0, term: 0, type: 'normal', data: head }),
    ...entries.map((e) => encodeEntry(e)),
  ]
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0))
  const view = new DataView(bytes.buffer)
  let offset = 0
  for (const part of parts) {
    view.setUint32(offset, part.length)
    bytes.set(part, offset + 4)
    offset += 4 + part.length
  }
  return bytes
}

/** Reads a batch back. Throws whatever the entry codec throws if it is torn. */
function decodeBatch(bytes: Uint8Array): Batch {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let offset = 0
  const part = () => {
    const start = offset + 4
    if (start > bytes.length) throw new RangeError('the batch is cut short')
    offset = start + view.getUint32(offset)
    return decodeEntry(bytes.subarray(start, offset))
  }
  const head = JSON.parse(new TextDecoder().decode(part().data)) as {
    hardState: HardState | null
    count: number
  }
  return { hardState: head.hardState, entries: Array.from({ length: head.count }, part) }
}

/**
 * The disk of one node, behaving as a LogStore does: a write takes time and is durable when it is done; a crash before
 * that keeps all of it, nothing, or torn bytes that the entry codec must recognise.
 */
export class SimDisk {
  hardState: HardState = { term: 0, vote: '', commit: 0 }
  snapshot: SnapshotMeta
  records: readonly Uint8Array[]
  /** Multiplies the time of every write. */
  slowness = 1
  /** The next write fails. */
  failNext = false
  /** There is no space for any write. */
  full = false
  /** A write met the full disk, and it is not known yet that there is room again. */
  isWaiting = false
  listener: DiskListener | null = null
  readonly #world: World
  readonly #id: string
  #logStart: { index: number; term: number }
  #log: Entry[] = []
  readonly #underWay = new Set<Operation>()
  #crashes = 0

  constructor(world: World, id: string, snapshot: SnapshotMeta, records: readonly Uint8Array[]) {
    this.#world = world
    this.#id = id
    this.snapshot = snapshot
    this.records = records
    this.hardState = { term: snapshot.term, vote: '', commit: snapshot.index }
    this.#logStart = { index: snapshot.index, term: snapshot.term }
  }

  get lastIndex(): number {
    return this.#logStart.index + this.#log.length
  }

  /** Term of the durable entry at `index`, or undefined. */
  termAt(index: number): number | undefined {
    if (index === this.#logStart.index) return this.#logStart.term
    return this.#log[index - this.#logStart.index - 1]?.term
  }

  /** True if this disk holds (`index`, `term`) or a snapshot that covers it. */
  holds(index: number, term: number): boolean {
    return index <= Math.max(this.snapshot.index, this.#logStart.index) || this.termAt(index) === term
  }

  /** Entries come back through the codec, as from a disk. */
  open(): DiskState {
    const entries = this.#log.map((entry) => decodeEntry(encodeEntry(entry)))
    entries.forEach((entry, i) => {
      check(
        entry.index === this.#logStart.index + 1 + i,
        'contiguous log',
        () => `${this.#id}: ${entry.index}`,
      )
    })
    const { hardState, snapshot, records } = this
    return { hardState, snapshot, records, entries, logStart: this.#logStart }
  }

  write(hardState: HardState | null, entries: readonly Entry[], done: WriteDone): void {
    const batch = { hardState, entries }
    this.#begin({ batch, takeEffect: () => this.#apply(batch), patient: true }, 1, done)
  }

  #apply({ hardState, entries }: Batch): void {
    if (hardState !== null) this.hardState = hardState
    const first = entries[0]
    if (first === undefined) return
    this.#log.length = Math.min(this.#log.length, first.index - this.#logStart.index - 1)
    for (const entry of entries) this.#log.push(entry)
  }

  /** The records are read when the snapshot is complete, as late as a store may. */
  saveSnapshot(meta: SnapshotMeta, records: Iterable<Uint8Array>, compactTo: number, done: WriteDone): void {
    const takeEffect = () => {
      this.records = [...records]
      this.snapshot = meta
      const term = this.termAt(compactTo)
      if (term === undefined || compactTo <= this.#logStart.index) return
      this.#log.splice(0, compactTo - this.#logStart.index)
      this.#logStart = { index: compactTo, term }
    }
    this.#begin({ batch: null, takeEffect, patient: false }, 5, done)
  }

  installSnapshot(
    meta: SnapshotMeta,
    records: Iterable<Uint8Array>,
    hardState: HardState,
    done: WriteDone,
  ): void {
    const takeEffect = () => {
      this.records = [...records]
      this.snapshot = meta
      this.hardState = hardState
      this.#log = []
      this.#logStart = { index: meta.index, term: meta.term }
    }
    this.#begin({ batch: null, takeEffect, patient: true }, 5, done)
  }

  #begin(operation: Operation, cost: number, done: WriteDone): void {
    const { random, options, faulty } = this.#world
    this.#underWay.add(operation)
    const mean = faulty ? options.diskMeanMs : 0.5
    const delay = Math.min(HANGS_MS, (0.05 + random.exponential(mean)) * cost * this.slowness)
    const fails = this.failNext
    this.failNext = false
    this.#world.after(delay, () => this.#finish(operation, fails, done))
  }

  #finish(operation: Operation, fails: boolean, done: WriteDone): void {
    // A crash settled it meanwhile.
    if (!this.#underWay.has(operation)) return
    if (this.full) {
      this.#world.count('disk full')
      if (!this.isWaiting) {
        this.isWaiting = true
        this.#recoverLater(this.#crashes)
        this.listener?.diskFilled()
      }
      if (operation.patient) this.#world.after(FULL_RETRY_MS, () => this.#finish(operation, fails, done))
      else this.#end(operation, 'full', done)
      return
    }
    // In a healed world nobody would restart the node.
    if (fails && this.#world.faulty) {
      this.#world.count('write error')
      this.#settle(operation)
      this.#end(operation, 'failed', done)
      return
    }
    operation.takeEffect()
    this.#end(operation, 'written', done)
  }

  #end(operation: Operation, result: WriteResult, done: WriteDone): void {
    this.#underWay.delete(operation)
    done(result)
  }

  /** Whether there is room is found out without a write, too. */
  #recoverLater(crashes: number): void {
    this.#world.after(FULL_RETRY_MS, () => {
      if (crashes !== this.#crashes) return
      if (this.full) {
        this.#recoverLater(crashes)
        return
      }
      this.isWaiting = false
      this.#world.count('disk has room again')
      this.listener?.diskHasRoom()
    })
  }

  /** The node died: what was not durable yet survives, is lost, or is torn. */
  crash(): void {
    for (const operation of this.#underWay) this.#settle(operation)
    this.#underWay.clear()
    this.failNext = false
    this.isWaiting = false
    this.#crashes++
  }

  #settle({ batch, takeEffect }: Operation): void {
    const { random } = this.#world
    const fate = this.full ? random.pick(['lost', 'torn']) : random.pick(['whole', 'lost', 'torn', 'torn'])
    this.#world.log(this.#id, 'unsynced write', fate, batch?.entries.length ?? 'snapshot')
    this.#world.count(fate === 'lost' ? 'unsynced write lost' : `unsynced write ${fate}`)
    if (fate === 'whole') takeEffect()
    if (fate !== 'torn' || batch === null) return
    const bytes = encodeBatch(batch)
    const torn = random.chance(0.5) ? bytes.slice(0, random.below(bytes.length)) : bytes.slice()
    if (torn.length === bytes.length) {
      // A sector that never reached the platter.
      const from = random.below(bytes.length)
      torn.fill(0, from, from + 1 + random.below(bytes.length - from))
    }
    try {
      this.#apply(decodeBatch(torn))
    } catch {
      this.#world.count('torn write recognised')
    }
  }
}
