import sortedBTree from 'sorted-btree'
import { prefixEnd } from './keys.ts'
import type { ByteKey, KvEntry } from './types.ts'

type OrderedMap<V> = sortedBTree.default<ByteKey, V>

/** Deleted keys remembered at most; beyond it the older half is forgotten. */
const TOMBSTONES_MAX = 20_000
const TOMBSTONES_PER_RECORD = 256
/** Prefixes whose index is remembered until the next change. */
const NEWEST_MAX = 1_024

/** A deleted key and the index of its deletion. */
export type Tombstone = readonly [key: ByteKey, index: number]

/** Indexes of the whole table: of its last change, and of the youngest tombstone that was forgotten. */
export interface Marks {
  readonly tableIndex: number
  readonly floor: number
}

function compare(a: ByteKey, b: ByteKey): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function* range<V>(tree: OrderedMap<V>, prefix: ByteKey): Generator<readonly [ByteKey, V]> {
  const end = prefixEnd(prefix)
  for (const pair of tree.entries(prefix)) {
    if (end !== undefined && pair[0] >= end) return
    yield pair
  }
}

/**
 * The keys and values, ordered bytewise, with the indexes blocking queries compare. A deleted key leaves a tombstone, so
 * that a watcher of its prefix sees the index rise.
 */
export class KeyValueTable {
  #entries: OrderedMap<KvEntry>
  #tombstones: OrderedMap<number>
  /** Largest index among forgotten tombstones: no prefix index is below it. */
  #floor: number
  /** Index of the last change of any key. */
  tableIndex: number
  /** Indexes of the prefixes that were asked for since the last change. */
  readonly #newest = new Map<ByteKey, number>()

  constructor() {
    this.#entries = new sortedBTree.default<ByteKey, KvEntry>(undefined, compare)
    this.#tombstones = new sortedBTree.default<ByteKey, number>(undefined, compare)
    this.#floor = 0
    this.tableIndex = 1
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: ByteKey): KvEntry | undefined {
    return this.#entries.get(key)
  }

  list(prefix: ByteKey): KvEntry[] {
    const result: KvEntry[] = []
    for (const [, entry] of range(this.#entries, prefix)) result.push(entry)
    return result
  }

  put(entry: KvEntry): void {
    this.#newest.clear()
    this.#entries.set(entry.key, entry)
    this.#tombstones.delete(entry.key)
    this.tableIndex = entry.modifyIndex
  }

  /** Replaces an entry by one that differs in nothing a reader sees. */
  touch(entry: KvEntry): void {
    this.#entries.set(entry.key, entry)
  }

  /** Removes a key and leaves a tombstone. False if there was none. */
  remove(key: ByteKey, index: number): boolean {
    if (!this.#entries.delete(key)) return false
    this.#newest.clear()
    this.#tombstones.set(key, index)
    this.tableIndex = index
    if (this.#tombstones.size > TOMBSTONES_MAX) this.#forgetTombstones()
    return true
  }

  #forgetTombstones(): void {
    const indexes = [...this.#tombstones.values()].sort((a, b) => a - b)
    this.#floor = indexes[Math.floor(indexes.length / 2)] ?? this.#floor
    for (const [key, index] of [...this.#tombstones.entries()]) {
      if (index <= this.#floor) this.#tombstones.delete(key)
    }
  }

  prefixIndex(prefix: ByteKey): number {
    if (prefix === '') return Math.max(this.tableIndex, 1)
    const index = this.#newestBelow(prefix)
    if (index === 0) return Math.max(this.tableIndex, 1)
    return Math.max(index, this.#floor)
  }

  /** Index of a change below a prefix behind which there is no other; 0 if there never was one. */
  lastChange(prefix: ByteKey): number {
    return Math.max(this.#newestBelow(prefix), this.#floor)
  }

  /** Many wait for one prefix, and each asks after every change: they share the walk. */
  #newestBelow(prefix: ByteKey): number {
    const known = this.#newest.get(prefix)
    if (known !== undefined) return known
    const index = this.#walkBelow(prefix)
    if (this.#newest.size >= NEWEST_MAX) this.#newest.clear()
    this.#newest.set(prefix, index)
    return index
  }

  #walkBelow(prefix: ByteKey): number {
    let index = 0
    for (const [, entry] of range(this.#entries, prefix)) index = Math.max(index, entry.modifyIndex)
    for (const [, at] of range(this.#tombstones, prefix)) index = Math.max(index, at)
    return index
  }

  /** A frozen copy that shares structure with this one: taking it costs nothing, changes here do not show there. */
  freeze(): KeyValueTable {
    const copy = new KeyValueTable()
    copy.#entries = this.#entries.clone()
    copy.#tombstones = this.#tombstones.clone()
    copy.#floor = this.#floor
    copy.tableIndex = this.tableIndex
    return copy
  }

  *records(): Generator<KvEntry> {
    yield* this.#entries.values()
  }

  /** Tombstones in groups, so that no record of a snapshot outgrows a network frame. */
  *tombstones(): Generator<Tombstone[]> {
    let group: Tombstone[] = []
    for (const [key, index] of this.#tombstones.entries()) {
      group.push([key, index])
      if (group.length < TOMBSTONES_PER_RECORD) continue
      yield group
      group = []
    }
    if (group.length > 0) yield group
  }

  restoreTombstones(tombstones: readonly Tombstone[]): void {
    this.#newest.clear()
    for (const [key, index] of tombstones) this.#tombstones.set(key, index)
  }

  /** What a snapshot needs besides keys and tombstones. */
  marks(): Marks {
    return { tableIndex: this.tableIndex, floor: this.#floor }
  }

  /** To be called after everything else was restored. */
  restoreMarks(marks: Marks): void {
    this.#floor = marks.floor
    this.tableIndex = marks.tableIndex
  }
}
