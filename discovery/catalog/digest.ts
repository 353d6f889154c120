import { hash } from 'node:crypto'
import { compareText } from './node-view.ts'
import type { RecordVersion } from './types.ts'

/** One line of a digest: whose record, and how new it is. */
export interface DigestEntry extends RecordVersion {
  readonly id: string
}

/** What this node has of the catalogue, in one value. */
export interface CatalogDigest {
  /** SHA-256 in hex over the ids and versions of the records. Equal on two nodes: they hold the same versions of the same records. */
  readonly digest: string
  /** Records it covers: those of the nodes the membership knows and that did not leave. */
  readonly records: number
}

/** Something whose records can be compared with those of other nodes. */
export interface DigestedCatalog {
  digest(): CatalogDigest
}

/** The digest of records, in whatever order they come. */
export function digestOf(entries: readonly DigestEntry[]): string {
  const sorted = [...entries].sort((a, b) => compareText(a.id, b.id))
  return hash('sha256', JSON.stringify(sorted.map((entry) => [entry.id, entry.incarnation, entry.sequence])))
}

/** The first 48 bits of a digest as a number, for a metric: exact as a floating point number. */
export function digestNumber(digest: string): number {
  return Number.parseInt(digest.slice(0, 12), 16)
}
