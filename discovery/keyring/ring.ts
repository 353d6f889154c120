import { hash } from 'node:crypto'
import { keyFingerprint, RING_KEYS_MAX } from '../mesh/cluster-key.ts'

/** Removed keys that are remembered, so that a node that returns does not bring them back. */
export const REMOVED_MAX = 64

/** What is known of one key. `key` is null once it was removed. */
export interface RingEntry {
  readonly fingerprint: string
  /** Of two statements about one key the higher version counts; of equal ones the removal. */
  readonly version: number
  readonly key: Uint8Array | null
}

/** The choice of the primary key. The higher version counts; of equal ones the higher fingerprint. */
export interface PrimaryChoice {
  readonly fingerprint: string
  readonly version: number
  /**
   * The key itself, only where its entry says that it was removed: by a node that did not know of this choice yet. It stays in
   * use until another one is chosen, so that no key becomes primary that nobody chose.
   */
  readonly key?: Uint8Array
}

/**
 * The keys of a cluster as one node knows them: statements with versions, so that any two rings can be merged in any order
 * and give the same ring, and a removal is not undone by a node that slept through it.
 */
export interface Ring {
  /** Sorted by fingerprint. */
  readonly entries: readonly RingEntry[]
  readonly primary: PrimaryChoice
}

/** A key that is in use. */
export interface InstalledKey extends RingEntry {
  readonly key: Uint8Array
}

/** The ring of a node that knows nothing but its key file. */
export function firstRing(key: Uint8Array): Ring {
  const fingerprint = keyFingerprint(key)
  return { entries: [{ fingerprint, version: 0, key }], primary: { fingerprint, version: 0 } }
}

/** The keys in use: the primary, then the newest first. */
export function installed(ring: Ring): readonly InstalledKey[] {
  const keys = ring.entries.filter(isInstalled).sort(newestFirst)
  const { fingerprint, version, key } = ring.primary
  const kept = key === undefined ? undefined : { fingerprint, version, key }
  const primary = keys.find((entry) => entry.fingerprint === fingerprint) ?? kept
  return primary === undefined ? keys : [primary, ...keys.filter((entry) => entry !== primary)]
}

/** Fingerprint of the key in use that counts as primary: the chosen one, or the newest where the chosen one is missing. */
export function primaryOf(ring: Ring): string | null {
  return installed(ring)[0]?.fingerprint ?? null
}

/** A version above everything in the ring. */
export function nextVersion(ring: Ring): number {
  return 1 + Math.max(ring.primary.version, ...ring.entries.map(({ version }) => version))
}

/**
 * A ring that says one thing about one key and, unless told, nothing new about the primary. It brings the primary key along: who
 * takes the choice without the key would be left with one that nobody chose.
 */
export function statement(ring: Ring, entry: RingEntry, primary: PrimaryChoice = ring.primary): Ring {
  const brought = ring.entries.filter((other) => other.fingerprint === primary.fingerprint)
  return { entries: [entry, ...brought.filter((other) => other.fingerprint !== entry.fingerprint)], primary }
}

/** What both rings know. Commutative, associative and idempotent as long as the bounds are not exceeded. */
export function mergeRings(a: Ring, b: Ring): Ring {
  const entries = new Map(a.entries.map((entry) => [entry.fingerprint, entry]))
  for (const entry of b.entries) {
    const known = entries.get(entry.fingerprint)
    if (known === undefined || beats(entry, known)) entries.set(entry.fingerprint, entry)
  }
  const { fingerprint, version } = choiceBeats(b.primary, a.primary) ? b.primary : a.primary
  const key = entries.get(fingerprint)?.key === null ? keyOf(fingerprint, a, b) : undefined
  const primary = key === undefined ? { fingerprint, version } : { fingerprint, version, key }
  const merged = [...entries.values()]
  if (key !== undefined) return bounded({ entries: merged, primary })
  return bounded({ entries: rescued(merged, [...a.entries, ...b.entries]), primary })
}

/** The bytes of a key that at least one of the rings has in use. */
function keyOf(fingerprint: string, ...rings: readonly Ring[]): Uint8Array | undefined {
  for (const ring of rings) {
    const found = installed(ring).find((entry) => entry.fingerprint === fingerprint)
    if (found !== undefined) return found.key
  }
  return undefined
}

function isInstalled(entry: RingEntry): entry is InstalledKey {
  return entry.key !== null
}

/** A short text that differs when two rings differ. It tells nothing about the keys. */
export function ringDigest({ entries, primary }: Ring): string {
  const said = entries.map(({ fingerprint, version, key }) => [fingerprint, version, key !== null])
  return hash('sha256', JSON.stringify([said, primary.fingerprint, primary.version]), 'hex').slice(0, 32)
}

/** Whether nothing was ever changed: the key of the key file alone. */
export function isUntouched(ring: Ring): boolean {
  return ring.entries.length === 1 && nextVersion(ring) === 1
}

function beats(one: RingEntry, other: RingEntry): boolean {
  return one.version > other.version || (one.version === other.version && one.key === null)
}

function choiceBeats(one: PrimaryChoice, other: PrimaryChoice): boolean {
  return one.version > other.version || (one.version === other.version && one.fingerprint > other.fingerprint)
}

function newestFirst(a: RingEntry, b: RingEntry): number {
  return b.version - a.version || (a.fingerprint < b.fingerprint ? 1 : -1)
}

/**
 * Two halves of a cluster that each removed the other's key would be left with none. The newest key that either side still
 * had stays then: a key too many can be removed, a cluster without a key is lost.
 */
function rescued(merged: readonly RingEntry[], all: readonly RingEntry[]): readonly RingEntry[] {
  if (merged.some(({ key }) => key !== null)) return merged
  const best = all.filter(({ key }) => key !== null).sort(newestFirst)[0]
  if (best === undefined) return merged
  const version = 1 + Math.max(...merged.map((entry) => entry.version))
  return merged.map((entry) => (entry.fingerprint === best.fingerprint ? { ...best, version } : entry))
}

function bounded({ entries, primary }: Ring): Ring {
  const kept = installed({ entries, primary })
    .slice(0, RING_KEYS_MAX)
    .filter((entry) => entries.includes(entry))
  const removed = entries
    .filter(({ key }) => key === null)
    .sort(newestFirst)
    .slice(0, REMOVED_MAX)
  const sorted = [...kept, ...removed].sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1))
  return { entries: sorted, primary }
}
