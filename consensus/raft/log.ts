import type { Entry, SnapshotMeta } from './types.ts'
import { invariant } from './types.ts'

/**
 * The log as the protocol sees it: the entries after the last snapshot, in memory, with marks for what was handed to
 * storage (`takenIndex`), what is durable (`stableIndex`), committed and applied.
 * Invariant: snapshotIndex <= appliedIndex <= committedIndex <= lastIndex.
 */
export class RaftLog {
  snapshotIndex: number
  snapshotTerm: number
  committedIndex: number
  appliedIndex: number
  /** Handed out for application; between appliedIndex and committedIndex. */
  applyingIndex: number
  stableIndex: number
  takenIndex: number
  /** Counts truncations: a write that began before one says nothing about what is durable now (catalogue B19). */
  epoch = 0
  #entries: Entry[]
  /** Bytes of the data of the entries. */
  #bytes = 0

  constructor(snapshot: { index: number; term: number }, entries: readonly Entry[], committedIndex: number) {
    this.snapshotIndex = snapshot.index
    this.snapshotTerm = snapshot.term
    this.#entries = [...entries]
    entries.forEach((entry, i) => {
      invariant(entry.index === snapshot.index + 1 + i, `log entries are contiguous (gap at ${entry.index})`)
      this.#bytes += entry.data.length
    })
    this.committedIndex = Math.max(committedIndex, snapshot.index)
    invariant(this.committedIndex <= this.lastIndex, 'the commit index is within the log')
    this.appliedIndex = snapshot.index
    this.applyingIndex = snapshot.index
    this.stableIndex = this.lastIndex
    this.takenIndex = this.lastIndex
  }

  get lastIndex(): number {
    return this.snapshotIndex + this.#entries.length
  }

  get firstIndex(): number {
    return this.snapshotIndex + 1
  }

  get lastTerm(): number {
    return this.#entries.at(-1)?.term ?? this.snapshotTerm
  }

  /** Entries kept in memory. */
  get size(): number {
    return this.#entries.length
  }

  /** Bytes of the data of the entries kept in memory. */
  get bytes(): number {
    return this.#bytes
  }

  #release(entries: readonly Entry[]): void {
    for (const { data } of entries) this.#bytes -= data.length
  }

  /** Term of the entry at `index`, or undefined if it is compacted away or beyond the end. */
  termAt(index: number): number | undefined {
    if (index === this.snapshotIndex) return this.snapshotTerm
    return this.#entries[index - this.snapshotIndex - 1]?.term
  }

  entryAt(index: number): Entry | undefined {
    return this.#entries[index - this.snapshotIndex - 1]
  }

  matches(index: number, term: number): boolean {
    return this.termAt(index) === term
  }

  /** True if a log that ends at (`lastIndex`, `lastTerm`) is at least as complete as this one (paper §5.4.1). */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex)
  }

  /** Entries from `from` to `to` inclusive, cut after `bytesMax` but never empty because of it. */
  slice(from: number, to: number, bytesMax: number): Entry[] {
    invariant(from > this.snapshotIndex, `entry ${from} was compacted away (snapshot ${this.snapshotIndex})`)
    const result: Entry[] = []
    let bytes = 0
    for (let index = from; index <= Math.min(to, this.lastIndex); index++) {
      const entry = this.entryAt(index)
      if (entry === undefined) break
      bytes += entry.data.length
      if (result.length > 0 && bytes > bytesMax) break
      result.push(entry)
    }
    return result
  }

  /** Adds entries of this node's own term to the end. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      invariant(entry.index === this.lastIndex + 1, 'an appended entry follows the last one')
      invariant(entry.term >= this.lastTerm, 'terms in the log never decrease')
      this.#entries.push(entry)
      this.#bytes += entry.data.length
    }
  }

  /**
   * Takes over entries a leader sent behind (`index`, `term`), if this log has that entry; cuts only from the first
   * real conflict on, so that a late, shorter append never removes newer matching entries (catalogue B8).
   * Returns the last index that is now known to match, or undefined if the logs do not meet.
   */
  tryAppend(index: number, term: number, entries: readonly Entry[]): number | undefined {
    if (!this.matches(index, term)) return undefined
    const conflictAt = entries.findIndex((entry) => !this.matches(entry.index, entry.term))
    if (conflictAt >= 0) {
      const rest = entries.slice(conflictAt)
      const first = rest[0]
      if (first !== undefined && first.index <= this.lastIndex) this.#truncateFrom(first.index)
      this.append(rest)
    }
    return index + entries.length
  }

  #truncateFrom(index: number): void {
    invariant(
      index > this.committedIndex,
      `committed entry ${index} is never truncated (commit ${this.committedIndex})`,
    )
    this.#release(this.#entries.splice(index - this.snapshotIndex - 1))
    this.stableIndex = Math.min(this.stableIndex, index - 1)
    this.takenIndex = Math.min(this.takenIndex, index - 1)
    this.epoch++
  }

  /**
   * Largest index <= `index` whose term is <= `term`: where two logs can meet at the latest, so that a whole term of
   * conflicting entries costs one round and not one per entry. The term is undefined if it was compacted away.
   */
  findConflict(index: number, term: number): { index: number; term: number | undefined } {
    for (let i = Math.min(index, this.lastIndex); i > this.snapshotIndex; i--) {
      const ours = this.termAt(i)
      if (ours === undefined || ours <= term) return { index: i, term: ours }
    }
    const at = Math.min(index, this.snapshotIndex)
    return { index: at, term: this.termAt(at) }
  }

  commitTo(index: number): boolean {
    if (index <= this.committedIndex) return false
    invariant(index <= this.lastIndex, `commit ${index} is within the log (last ${this.lastIndex})`)
    this.committedIndex = index
    return true
  }

  /** True if a committed change of the configuration is not applied yet. */
  hasUnappliedChange(): boolean {
    for (let index = this.appliedIndex + 1; index <= this.committedIndex; index++) {
      if (this.entryAt(index)?.type === 'config') return true
    }
    return false
  }

  /** Entries that storage has not been given yet. */
  takeUnstable(): Entry[] {
    const entries = this.#entries.slice(this.takenIndex - this.snapshotIndex)
    this.takenIndex = this.lastIndex
    return entries
  }

  hasUnstable(): boolean {
    return this.takenIndex < this.lastIndex
  }

  /** Committed and durable entries that were not handed out yet. */
  takeCommitted(bytesMax: number): Entry[] {
    const to = Math.min(this.committedIndex, this.stableIndex)
    if (this.applyingIndex >= to) return []
    const entries = this.slice(this.applyingIndex + 1, to, bytesMax)
    this.applyingIndex += entries.length
    return entries
  }

  hasCommitted(): boolean {
    return this.applyingIndex < Math.min(this.committedIndex, this.stableIndex)
  }

  /** Marks entries as applied. */
  applied(index: number): void {
    invariant(
      index >= this.appliedIndex && index <= this.applyingIndex,
      `applied index ${index} moves forward`,
    )
    this.appliedIndex = index
  }

  /** Replaces everything by a snapshot received from the leader. It is durable once storage says so. */
  restore(snapshot: SnapshotMeta): void {
    invariant(snapshot.index > this.committedIndex, 'a snapshot never goes behind the commit index')
    this.snapshotIndex = snapshot.index
    this.snapshotTerm = snapshot.term
    this.#entries = []
    this.#bytes = 0
    this.committedIndex = snapshot.index
    this.appliedIndex = snapshot.index
    this.applyingIndex = snapshot.index
    this.stableIndex = snapshot.index
    this.takenIndex = snapshot.index
    this.epoch++
  }

  /** Forgets entries up to `index`, which a durable snapshot covers. */
  compact(index: number): void {
    if (index <= this.snapshotIndex) return
    invariant(
      index <= this.appliedIndex && index <= this.stableIndex,
      'only applied, durable entries are compacted',
    )
    const term = this.termAt(index)
    invariant(term !== undefined, 'the compacted entry exists')
    this.#release(this.#entries.splice(0, index - this.snapshotIndex))
    this.snapshotIndex = index
    this.snapshotTerm = term
  }
}
