import { KeyringError } from './errors.ts'
import { installed, nextVersion, type Ring, ringDigest } from './ring.ts'
import { parseRing, type RingJson, ringJson } from './ring-codec.ts'

/** A question over the channel `keyring`. */
export type KeyringRequest =
  | { readonly op: 'status' }
  /** Take this in, keep it, then answer. */
  | { readonly op: 'merge'; readonly ring: Ring }
  /** Answer with your ring if its digest is another one. */
  | { readonly op: 'pull'; readonly digest: string }

/** What a node says of its keys. */
export interface KeyringStatus {
  readonly keys: readonly string[]
  readonly nextVersion: number
  readonly digest: string
}

const BYTES_MAX = 64 * 1024
const KEYS_MAX = 64
const TEXT_MAX = 64

/** A question as bytes (JSON). */
export function encodeRequest(request: KeyringRequest): Uint8Array {
  const body = request.op === 'merge' ? { op: request.op, ring: ringJson(request.ring) } : request
  return Buffer.from(JSON.stringify(body))
}

/** Reads a question. @throws KeyringError `KRG_BAD_MESSAGE` */
export function decodeRequest(bytes: Uint8Array): KeyringRequest {
  const { op, ring, digest } = parse(bytes)
  if (op === 'status') return { op }
  if (op === 'merge') return { op, ring: parseRing(ring) }
  if (op === 'pull' && isText(digest)) return { op, digest }
  throw bad()
}

/** The answer to `status` and `merge` as bytes (JSON). */
export function encodeStatus(ring: Ring | null): Uint8Array {
  const status: KeyringStatus = {
    keys: ring === null ? [] : installed(ring).map(({ fingerprint }) => fingerprint),
    nextVersion: ring === null ? 0 : nextVersion(ring),
    digest: ring === null ? '' : ringDigest(ring),
  }
  return Buffer.from(JSON.stringify(status))
}

/** Reads the answer to `status` and `merge`. @throws KeyringError `KRG_BAD_MESSAGE` */
export function decodeStatus(bytes: Uint8Array): KeyringStatus {
  const { keys, nextVersion, digest } = parse(bytes)
  if (!Array.isArray(keys) || keys.length > KEYS_MAX || !keys.every(isText) || !isText(digest)) throw bad()
  if (typeof nextVersion !== 'number' || !Number.isSafeInteger(nextVersion) || nextVersion < 0) throw bad()
  return { keys, nextVersion, digest }
}

/** The answer to `pull` as bytes (JSON): the ring, or null where both are the same. */
export function encodePulled(ring: Ring | null): Uint8Array {
  const body: { ring: RingJson | null } = { ring: ring === null ? null : ringJson(ring) }
  return Buffer.from(JSON.stringify(body))
}

/** Reads the answer to `pull`. @throws KeyringError `KRG_BAD_MESSAGE` */
export function decodePulled(bytes: Uint8Array): Ring | null {
  const { ring } = parse(bytes)
  return ring === null ? null : parseRing(ring)
}

function parse(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  if (bytes.length > BYTES_MAX) throw bad()
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'))
    if (typeof value === 'object' && value !== null) return value as Readonly<Record<string, unknown>>
  } catch {
    // The error of JSON.parse quotes the text, which may hold a key.
  }
  throw bad()
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= TEXT_MAX
}

function bad(): KeyringError {
  return new KeyringError('KRG_BAD_MESSAGE', 'a message about the keyring could not be read')
}
