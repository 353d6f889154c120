import { diffRecords } from './delta.ts'
import type { DigestEntry } from './digest.ts'
import { CatalogError } from './errors.ts'
import { LIMITS } from './limits.ts'
import type { EntrySeals, SealedRecord, Written } from './sealed-record.ts'
import {
  checkReferences,
  type Fields,
  readCheck,
  readCounter,
  readFields,
  readList,
  readMeta,
  readService,
  readText,
  readVersion,
} from './shapes.ts'
import { readStamp, type Stamp } from './stamp.ts'
import type { HealthCheck, NodeRecord, RecordVersion, ServiceInstance } from './types.ts'

/** The step of a record to the version of its stamp, from an earlier sequence of the same incarnation. */
export interface SignedDelta {
  readonly stamp: Stamp
  readonly from: number
  /** New or changed. */
  readonly services: readonly Written<ServiceInstance>[]
  readonly checks: readonly Written<HealthCheck>[]
  readonly removedServices: readonly string[]
  readonly removedChecks: readonly string[]
}

/** What travels on the topic `catalog`. `version` says "fetch it": the step itself is too large for gossip. */
export type GossipMessage =
  | { readonly type: 'delta'; readonly delta: SignedDelta }
  | { readonly type: 'version'; readonly stamp: Stamp }

/** A whole record on its way. Its texts have not been read. */
export interface RecordMessage {
  readonly stamp: Stamp
  readonly head: string
  readonly services: readonly string[]
  readonly checks: readonly string[]
}

/** Requests and answers on the channel `catalog`. */
export type CatalogMessage =
  /** "Do you have what I have?" `own`: the version of the asker's own record. */
  | { readonly type: 'compare'; readonly digest: string; readonly own: RecordVersion }
  | { readonly type: 'same'; readonly yours?: OlderLife }
  /** "I have these." `yours`: the asker's own record, as it stands or stood here, is newer than it says. */
  | { readonly type: 'digest'; readonly entries: readonly DigestEntry[]; readonly yours?: OlderLife }
  /** "I have these, which are newer than yours": answered by `same`. */
  | { readonly type: 'offer'; readonly entries: readonly DigestEntry[] }
  | { readonly type: 'fetch'; readonly ids: readonly string[] }
  /** As many of those asked for as fit; the rest is asked for again. */
  | { readonly type: 'records'; readonly records: readonly RecordMessage[] }
  | { readonly type: 'error'; readonly message: string }

/** What others know of an earlier life of a node. */
export interface OlderLife {
  readonly stamp: Stamp
  /** The node has left, or was forgotten: nothing of this incarnation or an older one is taken any more. */
  readonly buried: boolean
}

/** Largest gossiped step; a larger one is announced and fetched. */
export const GOSSIP_BYTES_MAX = 64 * 1024
/** Bytes of records in one answer. One record always fits. */
export const ANSWER_BYTES_MAX = 1024 * 1024
/** Members in one digest or request. */
export const ENTRIES_MAX = 4096

const FORMAT = 2
const MESSAGE_BYTES_MAX = 4 * ANSWER_BYTES_MAX
/** Name, address and meta with every character escaped. */
const HEAD_CHARS_MAX = 320 * 1024

/** A step as bytes for the topic; announces it when it is too large. */
export function encodeDelta(delta: SignedDelta): Uint8Array {
  const { stamp, from, services, checks, removedServices, removedChecks } = delta
  const bytes = toBytes({
    type: 'delta',
    stamp,
    from,
    services: services.map(({ text }) => text),
    checks: checks.map(({ text }) => text),
    removedServices,
    removedChecks,
  })
  return bytes.length <= GOSSIP_BYTES_MAX ? bytes : encodeVersion(stamp)
}

/** What leads from one sealed record of this node to a later one of the same incarnation. */
export function deltaBetween(before: SealedRecord, after: SealedRecord, seals: EntrySeals): SignedDelta {
  const step = diffRecords(before.record, after.record)
  return {
    stamp: after.stamp,
    from: before.stamp.sequence,
    services: step.services.map((entry) => ({ entry, text: seals.service(entry).text })),
    checks: step.checks.map((entry) => ({ entry, text: seals.check(entry).text })),
    removedServices: step.removedServices,
    removedChecks: step.removedChecks,
  }
}

/** The announcement of a record that has to be fetched, as bytes for the topic. */
export function encodeVersion(stamp: Stamp): Uint8Array {
  return toBytes({ type: 'version', stamp })
}

/** Reads a message of the topic. Whether it was signed is not looked at. @throws CatalogError `CAT_BAD_MESSAGE` */
export function decodeGossip(bytes: Uint8Array): GossipMessage {
  return guarded(() => {
    const fields = fromBytes(bytes)
    const stamp = readStamp(readFields(fields.stamp, 'stamp'))
    if (fields.type === 'delta') return { type: 'delta', delta: readDelta(stamp, fields) }
    if (fields.type === 'version') return { type: 'version', stamp }
    throw new CatalogError('CAT_BAD_MESSAGE', 'unknown type')
  })
}

/** A whole record as it was written by its owner. */
export function recordMessage({ record, stamp, head }: SealedRecord, seals: EntrySeals): RecordMessage {
  return {
    stamp,
    head,
    services: [...record.services.values()].map((entry) => seals.service(entry).text),
    checks: [...record.checks.values()].map((entry) => seals.check(entry).text),
  }
}

/** A request or an answer as bytes. Records beyond `ANSWER_BYTES_MAX` are left out. */
export function encodeMessage(message: CatalogMessage): Uint8Array {
  if (message.type === 'digest' || message.type === 'offer') {
    const entries = message.entries.map(({ id, incarnation, sequence }) => [id, incarnation, sequence])
    return toBytes({ ...message, entries })
  }
  if (message.type !== 'records') return toBytes({ ...message })
  const records: RecordMessage[] = []
  let chars = 0
  for (const record of message.records) {
    chars += charsOf(record)
    if (records.length > 0 && chars > ANSWER_BYTES_MAX) break
    records.push(record)
  }
  return toBytes({ type: 'records', records })
}

/** Reads a request or an answer. @throws CatalogError `CAT_BAD_MESSAGE` */
export function decodeMessage(bytes: Uint8Array): CatalogMessage {
  return guarded(() => {
    const fields = fromBytes(bytes)
    const { type } = fields
    switch (type) {
      case 'compare':
        return {
          type,
          digest: readText(fields.digest, 64, 64, 'digest'),
          own: readVersion(readFields(fields.own, 'own')),
        }
      case 'same':
        return { type, ...readYours(fields) }
      case 'digest':
        return { type, entries: readEntries(fields), ...readYours(fields) }
      case 'offer':
        return { type, entries: readEntries(fields) }
      case 'fetch':
        return { type, ids: readIds(fields.ids, ENTRIES_MAX, LIMITS.peerIdChars) }
      case 'records':
        return { type, records: readList(fields.records, ENTRIES_MAX, 'records').map(readRecordMessage) }
      case 'error':
        return { type, message: readText(fields.message, 0, LIMITS.textChars, 'message') }
      default:
        throw new CatalogError('CAT_BAD_MESSAGE', 'unknown type')
    }
  })
}

/** A record out of the texts of a message, and what each was written as. */
export interface OpenedRecord {
  readonly record: NodeRecord
  readonly services: readonly Written<ServiceInstance>[]
  readonly checks: readonly Written<HealthCheck>[]
}

/**
 * Reads the texts of a record. That the owner has signed them is for the caller to find out.
 * @throws CatalogError `CAT_BAD_MESSAGE`; `CAT_TOO_LARGE` when the record is larger than one may be
 */
export function openRecord(message: RecordMessage): OpenedRecord {
  return guarded(() => {
    const bytes = [...message.services, ...message.checks].reduce(
      (sum, text) => sum + Buffer.byteLength(text) + 1,
      0,
    )
    if (bytes > LIMITS.recordBytes) throw tooLarge(bytes)
    const fields = parse(readText(message.head, 2, HEAD_CHARS_MAX, 'head'), 'head')
    const services = message.services.map((text) => written(text, readService))
    const checks = message.checks.map((text) => written(text, readCheck))
    const { id, incarnation, sequence } = message.stamp
    const record: NodeRecord = Object.freeze({
      id,
      name: readText(fields.name, 1, LIMITS.nodeNameChars, 'the name of a node'),
      address: readText(fields.address, 0, LIMITS.addressChars, 'the address of a node'),
      version: Object.freeze({ incarnation, sequence }),
      meta: readMeta(fields.meta, 'the meta of a node'),
      services: byId(services),
      checks: byId(checks),
    })
    checkReferences(record)
    return { record, services, checks }
  })
}

/** That a record has more bytes of services and checks than one may have. */
export function tooLarge(bytes: number): CatalogError {
  return new CatalogError(
    'CAT_TOO_LARGE',
    `its services and checks have ${bytes} bytes as JSON, the limit is ${LIMITS.recordBytes}`,
  )
}

function readDelta(stamp: Stamp, fields: Fields): SignedDelta {
  const from = readCounter(fields.from, 'from')
  if (stamp.sequence <= from) throw new CatalogError('CAT_BAD_MESSAGE', 'a delta that goes nowhere')
  return {
    stamp,
    from,
    services: readTexts(fields.services, LIMITS.services, 'services').map((text) =>
      written(text, readService),
    ),
    checks: readTexts(fields.checks, LIMITS.checks, 'checks').map((text) => written(text, readCheck)),
    removedServices: readIds(fields.removedServices, LIMITS.services, LIMITS.idChars),
    removedChecks: readIds(fields.removedChecks, LIMITS.checks, LIMITS.idChars),
  }
}

function readRecordMessage(value: unknown): RecordMessage {
  const fields = readFields(value, 'a record')
  return {
    stamp: readStamp(readFields(fields.stamp, 'stamp')),
    head: readTexts([fields.head], 1, 'head')[0] ?? '',
    services: distinct(readTexts(fields.services, LIMITS.services, 'services')),
    checks: distinct(readTexts(fields.checks, LIMITS.checks, 'checks')),
  }
}

/** The digest is over a set: a text that came twice would not be noticed by it. */
function distinct(texts: readonly string[]): readonly string[] {
  if (new Set(texts).size !== texts.length)
    throw new CatalogError('CAT_BAD_MESSAGE', 'an entry is there twice')
  return texts
}

function readYours(fields: Fields): { readonly yours?: OlderLife } {
  if (fields.yours === undefined) return {}
  const { stamp, buried } = readFields(fields.yours, 'yours')
  if (typeof buried !== 'boolean') throw new CatalogError('CAT_BAD_MESSAGE', 'buried is no boolean')
  return { yours: { stamp: readStamp(readFields(stamp, 'stamp')), buried } }
}

function readEntries(fields: Fields): DigestEntry[] {
  return readList(fields.entries, ENTRIES_MAX, 'entries').map((value) => {
    const [id, incarnation, sequence] = readList(value, 3, 'a digest entry')
    return { id: readText(id, 1, LIMITS.peerIdChars, 'id'), ...readVersion({ incarnation, sequence }) }
  })
}

/**
 * Texts as their owner wrote them. Half of a surrogate pair has no bytes of its own: it would be hashed like any other such
 * half, and could be put in its place by somebody who relays the text.
 */
function readTexts(value: unknown, max: number, what: string): string[] {
  return readList(value, max, what).map((text) => {
    const read = readText(text, 2, MESSAGE_BYTES_MAX, what)
    if (!read.isWellFormed()) throw new CatalogError('CAT_BAD_MESSAGE', `${what} is no Unicode text`)
    return read
  })
}

function readIds(value: unknown, max: number, charsMax: number): string[] {
  return readList(value, max, 'ids').map((id) => readText(id, 1, charsMax, 'an id'))
}

function written<T>(text: string, read: (value: unknown) => T): Written<T> {
  return { entry: read(parse(text, 'an entry')), text }
}

/** @throws CatalogError `CAT_BAD_MESSAGE` when two entries share an id: one of them would be signed and not there. */
function byId<T extends { readonly id: string }>(entries: readonly Written<T>[]): ReadonlyMap<string, T> {
  const out = new Map(entries.map(({ entry }) => [entry.id, entry]))
  if (out.size !== entries.length) throw new CatalogError('CAT_BAD_MESSAGE', 'two entries have one id')
  return out
}

function charsOf({ head, services, checks }: RecordMessage): number {
  return [...services, ...checks].reduce((sum, text) => sum + text.length, head.length)
}

function parse(text: string, what: string): Fields {
  return readFields(JSON.parse(text), what)
}

function toBytes(value: object): Uint8Array {
  return Buffer.from(JSON.stringify({ format: FORMAT, ...value }))
}

function fromBytes(bytes: Uint8Array): Fields {
  if (bytes.length > MESSAGE_BYTES_MAX) throw new CatalogError('CAT_BAD_MESSAGE', 'too large')
  const fields = parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes), 'a message')
  if (fields.format !== FORMAT) throw new CatalogError('CAT_BAD_MESSAGE', 'unknown format')
  return fields
}

/** Whatever is wrong with what came from outside leaves here as one code; what is merely too large as another. */
function guarded<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof CatalogError && cause.code === 'CAT_TOO_LARGE') throw cause
    const reason = cause instanceof CatalogError ? cause.message : 'not JSON'
    throw new CatalogError('CAT_BAD_MESSAGE', `a catalogue message could not be read: ${reason}`, { cause })
  }
}
