import type { RecordDelta } from './delta.ts'
import type { DigestEntry } from './digest.ts'
import { CatalogError } from './errors.ts'
import { LIMITS } from './limits.ts'
import {
  type Fields,
  readCheck,
  readCounter,
  readFields,
  readList,
  readRecord,
  readService,
  readText,
  readVersion,
} from './shapes.ts'
import type { NodeRecord } from './types.ts'

/** What travels on the topic `catalog`. `version` says "fetch it": the step itself is too large for gossip. */
export type GossipMessage =
  | { readonly type: 'delta'; readonly delta: RecordDelta }
  | { readonly type: 'version'; readonly version: DigestEntry }

/** Requests and answers on the channel `catalog`. */
export type CatalogMessage =
  | { readonly type: 'digest'; readonly entries: readonly DigestEntry[] }
  | { readonly type: 'fetch'; readonly ids: readonly string[] }
  /** As many of those asked for as fit; the rest is asked for again. */
  | { readonly type: 'records'; readonly records: readonly NodeRecord[] }
  | { readonly type: 'error'; readonly message: string }

/** Largest gossiped step; a larger one is announced and fetched. */
export const GOSSIP_BYTES_MAX = 64 * 1024
/** Bytes of records in one answer. One record always fits. */
export const ANSWER_BYTES_MAX = 1024 * 1024
/** Members in one digest or request. */
export const ENTRIES_MAX = 4096

const FORMAT = 1
const MESSAGE_BYTES_MAX = 4 * ANSWER_BYTES_MAX
// Over the limit of the services and checks: the fields of the node itself.
const BODY_BYTES_MAX = LIMITS.recordBytes + 128 * 1024
const SIGNATURE_CHARS_MAX = 1024

/**
 * A text its owner answers for. The text is carried as it was written, so that a signature over it survives every relay.
 * Signatures are allowed and not checked.
 */
interface Sealed {
  readonly body: string
  readonly signature?: string
}

/** The step of a record as bytes for the topic; announces it when it is too large. */
export function encodeDelta(delta: RecordDelta): Uint8Array {
  const bytes = toBytes({ format: FORMAT, type: 'delta', ...seal(delta) })
  if (bytes.length <= GOSSIP_BYTES_MAX) return bytes
  return encodeVersion({ id: delta.owner, incarnation: delta.incarnation, sequence: delta.to })
}

/** The announcement of a record that has to be fetched, as bytes for the topic. */
export function encodeVersion({ id, incarnation, sequence }: DigestEntry): Uint8Array {
  return toBytes({ format: FORMAT, type: 'version', ...seal({ id, incarnation, sequence }) })
}

/** Reads a message of the topic. @throws CatalogError `CAT_BAD_MESSAGE` */
export function decodeGossip(bytes: Uint8Array): GossipMessage {
  return guarded(() => {
    const fields = fromBytes(bytes)
    if (fields.type === 'delta') return { type: 'delta', delta: readDelta(unseal(fields)) }
    if (fields.type === 'version') return { type: 'version', version: readDigestEntry(unseal(fields)) }
    throw new CatalogError('CAT_BAD_MESSAGE', 'unknown type')
  })
}

/** A request or an answer as bytes. Records beyond `ANSWER_BYTES_MAX` are left out. */
export function encodeMessage(message: CatalogMessage): Uint8Array {
  if (message.type === 'digest') {
    const entries = message.entries.map(({ id, incarnation, sequence }) => [id, incarnation, sequence])
    return toBytes({ format: FORMAT, type: 'digest', entries })
  }
  if (message.type !== 'records') return toBytes({ format: FORMAT, ...message })
  const sealed: Sealed[] = []
  let chars = 0
  for (const record of message.records) {
    const next = seal(plainRecord(record))
    chars += next.body.length
    if (sealed.length > 0 && chars > ANSWER_BYTES_MAX) break
    sealed.push(next)
  }
  return toBytes({ format: FORMAT, type: 'records', records: sealed })
}

/** Reads a request or an answer. @throws CatalogError `CAT_BAD_MESSAGE` */
export function decodeMessage(bytes: Uint8Array): CatalogMessage {
  return guarded(() => {
    const fields = fromBytes(bytes)
    switch (fields.type) {
      case 'digest':
        return {
          type: 'digest',
          entries: readList(fields.entries, ENTRIES_MAX, 'entries').map(readDigestTuple),
        }
      case 'fetch':
        return { type: 'fetch', ids: readIds(fields.ids, ENTRIES_MAX, LIMITS.peerIdChars) }
      case 'records':
        return {
          type: 'records',
          records: readList(fields.records, ENTRIES_MAX, 'records').map((sealed) =>
            readRecord(unseal(readFields(sealed, 'a record'))),
          ),
        }
      case 'error':
        return { type: 'error', message: readText(fields.message, 0, LIMITS.textChars, 'message') }
      default:
        throw new CatalogError('CAT_BAD_MESSAGE', 'unknown type')
    }
  })
}

function plainRecord(record: NodeRecord): unknown {
  const { id, name, address, version, meta, services, checks } = record
  return {
    id,
    name,
    address,
    ...version,
    meta,
    services: [...services.values()],
    checks: [...checks.values()],
  }
}

function readDelta(fields: Fields): RecordDelta {
  const delta: RecordDelta = {
    owner: readText(fields.owner, 1, LIMITS.peerIdChars, 'owner'),
    incarnation: readCounter(fields.incarnation, 'incarnation'),
    from: readCounter(fields.from, 'from'),
    to: readCounter(fields.to, 'to'),
    services: readList(fields.services, LIMITS.services, 'services').map(readService),
    checks: readList(fields.checks, LIMITS.checks, 'checks').map(readCheck),
    removedServices: readIds(fields.removedServices, LIMITS.services, LIMITS.idChars),
    removedChecks: readIds(fields.removedChecks, LIMITS.checks, LIMITS.idChars),
  }
  if (delta.to <= delta.from) throw new CatalogError('CAT_BAD_MESSAGE', 'a delta that goes nowhere')
  return delta
}

function readDigestEntry(fields: Fields): DigestEntry {
  return { id: readText(fields.id, 1, LIMITS.peerIdChars, 'id'), ...readVersion(fields) }
}

function readDigestTuple(value: unknown): DigestEntry {
  const [id, incarnation, sequence] = readList(value, 3, 'a digest entry')
  return readDigestEntry({ id, incarnation, sequence })
}

function readIds(value: unknown, max: number, charsMax: number): string[] {
  return readList(value, max, 'ids').map((id) => readText(id, 1, charsMax, 'an id'))
}

function seal(value: unknown): Sealed {
  return { body: JSON.stringify(value) }
}

function unseal(fields: Fields): Fields {
  if (fields.signature !== undefined) readText(fields.signature, 0, SIGNATURE_CHARS_MAX, 'signature')
  return readFields(JSON.parse(readText(fields.body, 2, BODY_BYTES_MAX, 'body')), 'body')
}

function toBytes(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

function fromBytes(bytes: Uint8Array): Fields {
  if (bytes.length > MESSAGE_BYTES_MAX) throw new CatalogError('CAT_BAD_MESSAGE', 'too large')
  const fields = readFields(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)), 'a message')
  if (fields.format !== FORMAT) throw new CatalogError('CAT_BAD_MESSAGE', 'unknown format')
  return fields
}

/** Whatever is wrong with what came from outside leaves here as one code. */
function guarded<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    const reason = cause instanceof CatalogError ? cause.message : 'not JSON'
    throw new CatalogError('CAT_BAD_MESSAGE', `a catalogue message could not be read: ${reason}`, { cause })
  }
}
