import type { ByteKey, ChangePosition, KvChange, KvEntry } from './types.ts'

/** Changes remembered at most, and the bytes of their keys and values; the oldest log entries are forgotten first. */
export const CHANGES_MAX = 16_384
export const CHANGES_BYTES_MAX = 16 << 20
const CHANGE_OVERHEAD_BYTES = 128
/** Forgotten changes are cut off once they are this many: cutting costs what is left. */
const CUT_AT = 4_096

/**
 * The latest changes of keys in the order of the log, for who follows them one by one. No part of the replicated state: it begins
 * anew with every copy, and a position before its beginning is unknown.
 */
export class RecentChanges {
  #changes: KvChange[] = []
  /** Changes before this one are forgotten. */
  #first = 0
  #bytes = 0
  /** Changes of log entries up to this index are not known. */
  #floor = 0

  /** Begins anew behind a log entry. */
  reset(index: number): void {
    this.#changes = []
    this.#first = 0
    this.#bytes = 0
    this.#floor = index
  }

  /** The keys one log entry changed, and what they are now. `keys` must be in an order every copy has. */
  add(index: number, keys: Iterable<ByteKey>, get: (key: ByteKey) => KvEntry | undefined): void {
    const all = [...keys]
    for (const [at, key] of all.entries()) {
      const ordinal = at + 1 < all.length ? at + 1 : null
      const change: KvChange = { index, ordinal, key, entry: get(key) ?? null }
      this.#changes.push(change)
      this.#bytes += sizeOf(change)
    }
    this.#forget()
  }

  /** Whole log entries are forgotten, or a follower would miss a part of one. */
  #forget(): void {
    while (
      this.#changes.length - this.#first > CHANGES_MAX ||
      (this.#bytes > CHANGES_BYTES_MAX && this.#first < this.#changes.length)
    ) {
      const index = this.#changes[this.#first]?.index ?? 0
      this.#floor = index
      while (this.#changes[this.#first]?.index === index) {
        this.#bytes -= sizeOf(this.#changes[this.#first] as KvChange)
        this.#first++
      }
    }
    if (this.#first < CUT_AT && this.#first < this.#changes.length) return
    this.#changes = this.#changes.slice(this.#first)
    this.#first = 0
  }

  /** Up to `limit` changes behind a position below a prefix, with the position behind the last one looked at; null if it is forgotten. */
  after(
    position: ChangePosition,
    prefix: ByteKey,
    limit: number,
  ): { readonly changes: readonly KvChange[]; readonly position: ChangePosition } | null {
    if (position.index < this.#floor) return null
    // A part of the entry at the floor was seen, the rest of it is forgotten.
    if (position.index === this.#floor && position.ordinal !== null) return null
    const changes: KvChange[] = []
    let reached = position
    for (let i = this.#indexBehind(position); i < this.#changes.length && changes.length < limit; i++) {
      const change = this.#changes[i] as KvChange
      reached = { index: change.index, ordinal: change.ordinal }
      if (change.key.startsWith(prefix)) changes.push(change)
    }
    return { changes, position: reached }
  }

  #indexBehind(position: ChangePosition): number {
    let low = this.#first
    let high = this.#changes.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (isBehind(this.#changes[middle] as KvChange, position)) high = middle
      else low = middle + 1
    }
    return low
  }
}

function isBehind(change: KvChange, { index, ordinal }: ChangePosition): boolean {
  if (change.index !== index) return change.index > index
  return ordinal !== null && (change.ordinal === null || change.ordinal > ordinal)
}

function sizeOf({ key, entry }: KvChange): number {
  return key.length + (entry?.value.length ?? 0) + CHANGE_OVERHEAD_BYTES
}
