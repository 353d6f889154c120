import { crc32 } from 'node:zlib'
import { ClassicLevel } from 'classic-level'
import { ConsensusError } from '../errors.ts'
import type { Entry, HardState, SnapshotMeta } from '../raft/types.ts'
import { databaseDamage } from './database-check.ts'
import { decodeEntry, encodeEntry } from './entry-codec.ts'
import { cannotOpen, cannotWrite, levelError } from './level-errors.ts'
import type { LogStore, LogWrite, Pledge, StoredState, StoreIdentity } from './log-store.ts'

const FORMAT = 2
/** Snapshot records are written in batches of about this size, so that appends are not blocked behind one large write. */
const SNAPSHOT_BATCH_BYTES = 1 << 20

type BatchOperation = { type: 'put'; key: Uint8Array; value: Uint8Array } | { type: 'del'; key: Uint8Array }
type KeyRange = { gte: Uint8Array } & ({ lt: Uint8Array } | { lte: Uint8Array })
type Database = ClassicLevel<Uint8Array, Uint8Array>

interface StoredSnapshot {
  readonly meta: SnapshotMeta
  /** Distinguishes the records of this snapshot from those of another, half-written one. */
  readonly generation: number
  readonly records: number
  readonly crc: number
}

const KEY = {
  format: text('format'),
  identity: text('identity'),
  pledge: text('pledge'),
  hardState: text('hardState'),
  logStart: text('logStart'),
  lastIndex: text('lastIndex'),
  snapshot: text('snapshot'),
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value)
}

/** A named record: the checksum of its JSON text, then the text. */
function json(value: unknown): Uint8Array {
  const body = JSON.stringify(value)
  return text(`${checksum(body)} ${body}`)
}

function checksum(body: string): string {
  return crc32(body).toString(16).padStart(8, '0')
}

/** 'L' + big-endian index: LevelDB's bytewise order is log order. No named key starts with an upper-case letter. */
function logKey(index: number): Uint8Array {
  const key = new Uint8Array(9)
  key[0] = 0x4c
  new DataView(key.buffer).setBigUint64(1, BigInt(index))
  return key
}

/** 'S' + generation + number of the record. */
function snapshotKey(generation: number, record: number): Uint8Array {
  const key = new Uint8Array(17)
  key[0] = 0x53
  const view = new DataView(key.buffer)
  view.setBigUint64(1, BigInt(generation))
  view.setBigUint64(9, BigInt(record))
  return key
}

/**
 * A LogStore on LevelDB. One synced batch carries term, vote, entries, truncation and the last index, so a crash leaves
 * either all or nothing of a step (catalogue B5, B6, B10). Every batch is synced: LevelDB changes to a new write-ahead log
 * now and then, and a sync reaches the new one only. Every record carries its own CRC, because LevelDB does not check those
 * of its tables; a gap or a bad record refuses to start rather than lose what was acknowledged.
 */
export class LevelStore implements LogStore {
  readonly #directory: string
  #opened: Database | null = null
  #firstIndex = 1
  #lastIndex = 0
  /** The log must reach this far, whether the last write was made or not. */
  #lastIndexMin = 0
  #snapshot: StoredSnapshot | null = null
  #failure: unknown = null
  #turn: Promise<void> = Promise.resolve()

  constructor(directory: string) {
    this.#directory = directory
  }

  async open(): Promise<StoredState> {
    try {
      // Once it is open, LevelDB has thrown away what it could not read, and merged what it did not look at.
      const damage = await databaseDamage(this.#directory)
      if (damage !== null) throw this.#damaged(damage)
      // Made only now: a database opens by itself soon after it was made.
      this.#opened = new ClassicLevel<Uint8Array, Uint8Array>(this.#directory, {
        keyEncoding: 'view',
        valueEncoding: 'view',
        // The check of the tables reads them as they are.
        compression: false,
      })
      await this.#opened.open()
      return await this.#load()
    } catch (error) {
      if (error instanceof ConsensusError) throw error
      throw cannotOpen(this.#directory, error) ?? this.#damaged(levelError(error).message, error)
    }
  }

  get #db(): Database {
    if (this.#opened === null) throw new ConsensusError('CST_STORAGE_FAILED', 'the store was not opened')
    return this.#opened
  }

  async recover(): Promise<void> {
    await this.#db.close()
    this.#failure = null
    await this.open()
    if (this.#lastIndex < this.#lastIndexMin)
      throw this.#damaged(`entries ${this.#lastIndex + 1} to ${this.#lastIndexMin} are missing`)
  }

  async #load(): Promise<StoredState> {
    await this.#checkFormat()
    const logStart = (await this.#get<{ index: number; term: number }>(KEY.logStart)) ?? { index: 0, term: 0 }
    const lastIndex = (await this.#get<number>(KEY.lastIndex)) ?? 0
    this.#firstIndex = logStart.index + 1
    this.#lastIndex = Math.max(lastIndex, logStart.index)
    this.#snapshot = (await this.#get<StoredSnapshot>(KEY.snapshot)) ?? null
    await this.#removeOrphans()
    // A crash may have cut off the removal of entries that a snapshot covers.
    await this.#clear({ gte: logKey(0), lt: logKey(this.#firstIndex) })
    return {
      identity: (await this.#get<StoreIdentity>(KEY.identity)) ?? null,
      pledge: (await this.#get<Pledge | null>(KEY.pledge)) ?? null,
      hardState: (await this.#get<HardState>(KEY.hardState)) ?? { term: 0, vote: '', commit: 0 },
      snapshot: this.#snapshot?.meta ?? null,
      entries: await this.#readEntries(),
      logStart,
    }
  }

  /** The format is plain text, so that every version can read that of every other. */
  async #checkFormat(): Promise<void> {
    const stored = await this.#db.get(KEY.format)
    const format = stored === undefined ? '' : new TextDecoder().decode(stored)
    if (format === '') await this.#commit([{ type: 'put', key: KEY.format, value: text(`${FORMAT}`) }], true)
    else if (format !== `${FORMAT}`)
      throw this.#damaged(`it has format ${format}, this program knows ${FORMAT}`)
  }

  #damaged(what: string, cause?: unknown): ConsensusError {
    // Never the log alone: a voter that forgot its votes could vote twice under its old identity.
    const way =
      'If the other nodes are healthy, move the whole data directory away, the log together with identity.key, ' +
      'and start again: the node joins as a new one.'
    return new ConsensusError(
      'CST_LOG_DAMAGED',
      `the log in ${this.#directory} is damaged: ${what}. ${way}`,
      { cause },
    )
  }

  async #get<T>(key: Uint8Array): Promise<T | undefined> {
    const value = await this.#db.get(key)
    if (value === undefined) return undefined
    const stored = new TextDecoder().decode(value)
    const body = stored.slice(9)
    if (stored.slice(0, 9) !== `${checksum(body)} `)
      throw this.#damaged(`the record "${new TextDecoder().decode(key)}" has a wrong checksum`)
    return JSON.parse(body) as T
  }

  async #readEntries(): Promise<Entry[]> {
    const entries: Entry[] = []
    const range = { gte: logKey(this.#firstIndex), lte: logKey(this.#lastIndex) }
    if (this.#lastIndex < this.#firstIndex) return entries
    for await (const value of this.#db.values(range)) {
      const expected = this.#firstIndex + entries.length
      let entry: Entry
      try {
        entry = decodeEntry(value)
      } catch (error) {
        throw this.#damaged(`entry ${expected}: ${(error as Error).message}`, error)
      }
      if (entry.index !== expected) throw this.#damaged(`entry ${expected} is missing (found ${entry.index})`)
      entries.push(entry)
    }
    const found = this.#firstIndex + entries.length - 1
    if (found !== this.#lastIndex)
      throw this.#damaged(`entries ${found + 1} to ${this.#lastIndex} are missing`)
    return entries
  }

  /** Records of a snapshot whose writing was cut off belong to no generation that is named. */
  async #removeOrphans(): Promise<void> {
    const current = this.#snapshot?.generation ?? 0
    if (current > 0) await this.#clear({ gte: snapshotKey(0, 0), lt: snapshotKey(current, 0) })
    await this.#clear({ gte: snapshotKey(current + 1, 0), lt: text('T') })
  }

  /** Removes what nothing refers to any more. */
  #clear(range: KeyRange): Promise<void> {
    return this.#change(() => this.#db.clear(range))
  }

  #commit(operations: BatchOperation[], sync: boolean): Promise<void> {
    return this.#change(() => this.#db.batch(operations, { sync }))
  }

  /**
   * Makes one change after the other. After the first failure every further one is refused until `recover`: on a full disk a
   * small batch could still succeed behind the torn beginning of a large one, and be thrown away with it later.
   */
  #change(make: () => Promise<void>): Promise<void> {
    const change = this.#turn.then(() => this.#makeChange(make))
    this.#turn = change.catch(() => {})
    return change
  }

  async #makeChange(make: () => Promise<void>): Promise<void> {
    if (this.#failure !== null)
      throw new ConsensusError('CST_STORAGE_FAILED', 'storage has failed', { cause: this.#failure })
    try {
      await make()
    } catch (error) {
      this.#failure = error
      throw cannotWrite(this.#directory, error)
    }
  }

  async setPledge(pledge: Pledge | null): Promise<void> {
    await this.#commit([{ type: 'put', key: KEY.pledge, value: json(pledge) }], true)
  }

  async initialise(
    identity: StoreIdentity,
    snapshot: SnapshotMeta,
    records: Iterable<Uint8Array>,
    hardState: HardState,
  ): Promise<void> {
    const operations: BatchOperation[] = [{ type: 'put', key: KEY.identity, value: json(identity) }]
    await this.#replaceLog(snapshot, records, hardState, operations)
  }

  async write({ hardState, entries, sync }: LogWrite): Promise<void> {
    const operations: BatchOperation[] = []
    if (hardState !== null) operations.push({ type: 'put', key: KEY.hardState, value: json(hardState) })
    let lastIndex = this.#lastIndex
    const last = entries.at(-1)
    if (last !== undefined) {
      for (const entry of entries)
        operations.push({ type: 'put', key: logKey(entry.index), value: encodeEntry(entry) })
      for (let index = last.index + 1; index <= lastIndex; index++)
        operations.push({ type: 'del', key: logKey(index) })
      lastIndex = last.index
      operations.push({ type: 'put', key: KEY.lastIndex, value: json(lastIndex) })
    }
    if (operations.length === 0) return
    this.#lastIndexMin = Math.min(this.#lastIndex, lastIndex)
    await this.#commit(operations, sync)
    this.#lastIndex = lastIndex
  }

  async #writeRecords(meta: SnapshotMeta, records: Iterable<Uint8Array>): Promise<StoredSnapshot> {
    const generation = (this.#snapshot?.generation ?? 0) + 1
    let count = 0
    let crc = 0
    let batch: BatchOperation[] = []
    let bytes = 0
    for (const value of records) {
      batch.push({ type: 'put', key: snapshotKey(generation, count), value })
      crc = crc32(value, crc)
      bytes += value.length
      count++
      if (bytes >= SNAPSHOT_BATCH_BYTES) {
        await this.#commit(batch, true)
        batch = []
        bytes = 0
      }
    }
    if (batch.length > 0) await this.#commit(batch, true)
    return { meta, generation, records: count, crc }
  }

  async saveSnapshot(meta: SnapshotMeta, records: Iterable<Uint8Array>, compactTo: number): Promise<void> {
    const snapshot = await this.#writeRecords(meta, records)
    const operations: BatchOperation[] = [{ type: 'put', key: KEY.snapshot, value: json(snapshot) }]
    const bytes = compactTo >= this.#firstIndex ? await this.#db.get(logKey(compactTo)) : undefined
    if (bytes !== undefined) {
      const { index, term } = decodeEntry(bytes)
      operations.push({ type: 'put', key: KEY.logStart, value: json({ index, term }) })
    }
    await this.#commit(operations, true)
    if (bytes !== undefined) {
      await this.#clear({ gte: logKey(this.#firstIndex), lte: logKey(compactTo) })
      this.#firstIndex = compactTo + 1
    }
    this.#snapshot = snapshot
    await this.#removeOrphans()
  }

  async installSnapshot(
    meta: SnapshotMeta,
    records: Iterable<Uint8Array>,
    hardState: HardState,
  ): Promise<void> {
    await this.#replaceLog(meta, records, hardState, [])
  }

  async #replaceLog(
    meta: SnapshotMeta,
    records: Iterable<Uint8Array>,
    hardState: HardState,
    operations: BatchOperation[],
  ): Promise<void> {
    const snapshot = await this.#writeRecords(meta, records)
    const { index, term } = meta
    operations.push(
      { type: 'put', key: KEY.snapshot, value: json(snapshot) },
      { type: 'put', key: KEY.hardState, value: json(hardState) },
      { type: 'put', key: KEY.logStart, value: json({ index, term }) },
      { type: 'put', key: KEY.lastIndex, value: json(index) },
    )
    for (let i = this.#firstIndex; i <= this.#lastIndex; i++) operations.push({ type: 'del', key: logKey(i) })
    this.#lastIndexMin = Math.min(this.#lastIndex, index)
    await this.#commit(operations, true)
    this.#snapshot = snapshot
    this.#firstIndex = index + 1
    this.#lastIndex = index
    await this.#removeOrphans()
  }

  readSnapshot(): { meta: SnapshotMeta; records: AsyncIterable<Uint8Array> } | null {
    const snapshot = this.#snapshot
    if (snapshot === null) return null
    const range = { gte: snapshotKey(snapshot.generation, 0), lt: snapshotKey(snapshot.generation + 1, 0) }
    // The iterator sees the database as of its creation, so it is made here and not at the first read.
    return { meta: snapshot.meta, records: this.#verified(this.#db.values(range), snapshot) }
  }

  async *#verified(values: AsyncIterable<Uint8Array>, snapshot: StoredSnapshot): AsyncGenerator<Uint8Array> {
    let crc = 0
    let count = 0
    for await (const value of values) {
      crc = crc32(value, crc)
      count++
      yield value
    }
    if (count !== snapshot.records || crc !== snapshot.crc)
      throw this.#damaged('the snapshot has a wrong checksum')
  }

  async close(): Promise<void> {
    await this.#opened?.close()
  }
}
