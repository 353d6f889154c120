import { CLUSTER_KEY_BYTES, keyFingerprint, RING_KEYS_MAX } from '../mesh/cluster-key.ts'
import { KeyringError } from './errors.ts'
import { type PrimaryChoice, REMOVED_MAX, type Ring, type RingEntry } from './ring.ts'

/** A ring as JSON: of the file and of the wire. It holds the keys. */
export interface RingJson {
  readonly entries: readonly {
    readonly fingerprint: string
    readonly version: number
    readonly key: string | null
  }[]
  readonly primary: { readonly fingerprint: string; readonly version: number; readonly key?: string }
}

const FINGERPRINT = /^[0-9a-f]{16}$/
// Far below 2^53, so that "one higher" stays exact.
const VERSION_MAX = 2 ** 50

/** Writes a ring, keys included: for the file and for members only. */
export function ringJson(ring: Ring): RingJson {
  const { key, ...primary } = ring.primary
  return {
    entries: ring.entries.map(({ fingerprint, version, key }) => ({
      fingerprint,
      version,
      key: key === null ? null : base64(key),
    })),
    primary: key === undefined ? primary : { ...primary, key: base64(key) },
  }
}

/** Reads what {@link ringJson} wrote. @throws KeyringError `KRG_BAD_MESSAGE`, without any of the text. */
export function parseRing(value: unknown): Ring {
  const fields = record(value)
  const { entries } = fields
  if (!Array.isArray(entries) || entries.length === 0 || entries.length > RING_KEYS_MAX + REMOVED_MAX) {
    throw bad('the list of keys')
  }
  const read = entries.map(parseEntry).sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1))
  if (read.some((entry, i) => entry.fingerprint === read[i + 1]?.fingerprint)) throw bad('a key twice')
  return { entries: read, primary: parsePrimary(record(fields.primary)) }
}

function parsePrimary(fields: Readonly<Record<string, unknown>>): PrimaryChoice {
  const choice = { fingerprint: fingerprint(fields.fingerprint), version: version(fields.version) }
  return fields.key === undefined ? choice : { ...choice, key: keyBytes(fields.key, choice.fingerprint) }
}

function parseEntry(value: unknown): RingEntry {
  const fields = record(value)
  const entry = { fingerprint: fingerprint(fields.fingerprint), version: version(fields.version) }
  return { ...entry, key: fields.key === null ? null : keyBytes(fields.key, entry.fingerprint) }
}

function keyBytes(value: unknown, fingerprint: string): Uint8Array {
  if (typeof value !== 'string') throw bad('a key')
  const bytes = Buffer.from(value, 'base64')
  if (bytes.length !== CLUSTER_KEY_BYTES || keyFingerprint(bytes) !== fingerprint) throw bad('a key')
  return new Uint8Array(bytes)
}

function base64(key: Uint8Array): string {
  return Buffer.from(key).toString('base64')
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('the shape')
  return value as Readonly<Record<string, unknown>>
}

function fingerprint(value: unknown): string {
  if (typeof value !== 'string' || !FINGERPRINT.test(value)) throw bad('a fingerprint')
  return value
}

function version(value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > VERSION_MAX) {
    throw bad('a version')
  }
  return value
}

function bad(what: string): KeyringError {
  return new KeyringError('KRG_BAD_MESSAGE', `this is no keyring: ${what}`)
}
