import { hash } from 'node:crypto'
import { compareText } from './node-view.ts'

/** Entries of a large record are spread over so many buckets that a change hashes about sixteen of a thousand. */
const BUCKETS = 64

interface Bucket {
  /** Hashes of entries, sorted. */
  readonly hashes: readonly string[]
  readonly digest: string
}

const EMPTY: Bucket = Object.freeze({ hashes: Object.freeze([]), digest: '' })

/**
 * A set of hashes under one digest. The digest depends on the set alone, not on the order in which it came to be, and a set
 * that differs in one hash is made without looking at the others. Not a sum of hashes, which anybody could complete to a
 * given value.
 */
export class EntryTree {
  static readonly empty = new EntryTree(Array.from({ length: BUCKETS }, () => EMPTY))
  readonly #buckets: readonly Bucket[]
  #root: string | null = null

  private constructor(buckets: readonly Bucket[]) {
    this.#buckets = buckets
  }

  /** SHA-256 in hex over the set. */
  get root(): string {
    this.#root ??= hash('sha256', this.#buckets.map(({ digest }) => digest).join('\n'))
    return this.#root
  }

  /** The set without some hashes (SHA-256 in hex) and with others. */
  with(removed: readonly string[], added: readonly string[]): EntryTree {
    const changed = new Map<number, Set<string>>()
    const touch = (entry: string): Set<string> => {
      const at = bucketOf(entry)
      const hashes = changed.get(at) ?? new Set(this.#buckets[at]?.hashes)
      changed.set(at, hashes)
      return hashes
    }
    for (const entry of removed) touch(entry).delete(entry)
    for (const entry of added) touch(entry).add(entry)
    if (changed.size === 0) return this
    const buckets = [...this.#buckets]
    for (const [at, hashes] of changed) buckets[at] = bucket(hashes)
    return new EntryTree(buckets)
  }
}

function bucketOf(entry: string): number {
  return Number.parseInt(entry.slice(0, 2), 16) % BUCKETS
}

function bucket(set: ReadonlySet<string>): Bucket {
  if (set.size === 0) return EMPTY
  const hashes = [...set].sort(compareText)
  return { hashes, digest: hash('sha256', hashes.join('\n')) }
}
