import type { Coordinate } from './core/coordinate.ts'
import type { PlaceNews, SyncAnswer, SyncOffer } from './core/exchange.ts'
import { BUCKETS_MAX } from './core/state-digest.ts'
import type { MemberRecord, MemberState, SwimMessage, SyncEntry, Update } from './core/types.ts'
import { MembershipError } from './errors.ts'

/** Largest meta of a member, as JSON. */
export const META_BYTES_MAX = 512
/** Longest name of a node, in characters. */
export const NAME_CHARS_MAX = 255

const MESSAGE_BYTES_MAX = 64 * 1024
const SYNC_BYTES_MAX = 4 * 1024 * 1024
const UPDATES_MAX = 256
const ENTRIES_MAX = 4096
const PLACES_MAX = 256
const ID_CHARS_MAX = 128
const ADDRESS_CHARS_MAX = 300
const COORDINATE_PARTS_MAX = 32
const MICRO = 1e6
const STATES: ReadonlySet<unknown> = new Set(['alive', 'suspect', 'failed', 'left'])

type Fields = Record<string, unknown>

/** A message of the channel `swim` as bytes (JSON). */
export function encodeMessage(message: SwimMessage): Uint8Array {
  if (message.type !== 'ack' || !message.coordinate) return Buffer.from(JSON.stringify(message))
  return Buffer.from(JSON.stringify({ ...message, coordinate: packCoordinate(message.coordinate) }))
}

/** Reads a message of the channel `swim`. @throws MembershipError `MBR_BAD_MESSAGE` */
export function decodeMessage(bytes: Uint8Array): SwimMessage {
  const fields = parse(bytes, MESSAGE_BYTES_MAX)
  const updates = list(fields.updates, UPDATES_MAX).map(update)
  const { type } = fields
  if (type === 'gossip') return { type, updates }
  const seq = count(fields.seq)
  if (type === 'ping-req') return { type, seq, target: text(fields.target, ID_CHARS_MAX), updates }
  if (type === 'ping' || type === 'nack') return { type, seq, updates }
  if (type === 'ack') return { type, seq, updates, ...coordinate(fields.coordinate) }
  throw bad('unknown type')
}

/** What is known of members as bytes (JSON), for the channel `swim-sync`. */
export function encodeSync(entries: readonly SyncEntry[]): Uint8Array {
  return Buffer.from(JSON.stringify({ entries: entries.map(packEntry) }))
}

/** Reads what is known of members. @throws MembershipError `MBR_BAD_MESSAGE` */
export function decodeSync(bytes: Uint8Array): SyncEntry[] {
  return entries(parse(bytes, SYNC_BYTES_MAX).entries)
}

/** The offer to compare everything known as bytes (JSON); its digest in hexadecimal, eight digits per bucket. */
export function encodeOffer({ digest, places }: SyncOffer): Uint8Array {
  const packed = digest.map((sum) => sum.toString(16).padStart(8, '0')).join('')
  return Buffer.from(JSON.stringify({ digest: packed, places: places.map(packPlace) }))
}

/** Reads a request of the channel `swim-sync`: an offer, or what is known of members. @throws MembershipError `MBR_BAD_MESSAGE` */
export function decodeSyncRequest(bytes: Uint8Array): SyncOffer | readonly SyncEntry[] {
  const fields = parse(bytes, SYNC_BYTES_MAX)
  if (fields.digest === undefined) return entries(fields.entries)
  return { digest: digest(fields.digest), places: places(fields.places) }
}

/** The answer to an offer as bytes (JSON). */
export function encodeAnswer({ buckets, entries, places }: SyncAnswer): Uint8Array {
  const packed = { buckets, entries: entries.map(packEntry), places: places.map(packPlace) }
  return Buffer.from(JSON.stringify(packed))
}

/** Reads the answer to an offer. @throws MembershipError `MBR_BAD_MESSAGE` */
export function decodeAnswer(bytes: Uint8Array): SyncAnswer {
  const fields = parse(bytes, SYNC_BYTES_MAX)
  const buckets = list(fields.buckets, BUCKETS_MAX).map(count)
  return { buckets, entries: entries(fields.entries), places: places(fields.places) }
}

function packEntry({ member, ageMs, place }: SyncEntry): object {
  return place
    ? { member, ageMs: Math.round(ageMs), place: packPlace(place) }
    : { member, ageMs: Math.round(ageMs) }
}

function packPlace<T extends NonNullable<SyncEntry['place']>>(place: T): object {
  return { ...place, coordinate: packCoordinate(place.coordinate), ageMs: Math.round(place.ageMs) }
}

function entries(value: unknown): SyncEntry[] {
  return list(value, ENTRIES_MAX).map((value) => {
    const fields = object(value)
    return { member: member(object(fields.member)), ageMs: age(fields.ageMs), ...place(fields.place) }
  })
}

function places(value: unknown): PlaceNews[] {
  return list(value, PLACES_MAX).map((value) => {
    const fields = object(value)
    const id = text(fields.id, ID_CHARS_MAX)
    const heard = coordinate(fields.coordinate).coordinate
    if (!heard) throw bad('place')
    return { id, coordinate: heard, ageMs: age(fields.ageMs) }
  })
}

function digest(value: unknown): number[] {
  const digits = text(value, 8 * BUCKETS_MAX)
  const sums = digits.match(/[0-9a-f]{8}/g) ?? []
  if (sums.length * 8 !== digits.length) throw bad('digest')
  return sums.map((sum) => Number.parseInt(sum, 16))
}

/** A coordinate as whole numbers: its parts in µs, and the error in millionths. */
function packCoordinate({ vec, height, adjustment, error }: Coordinate): number[] {
  return [...vec, height, adjustment, error].map((x) => Math.round(x * MICRO))
}

function coordinate(value: unknown): { coordinate?: Coordinate } {
  if (value === undefined) return {}
  const parts = list(value, COORDINATE_PARTS_MAX).map((part) => {
    if (typeof part !== 'number') throw bad('coordinate')
    return part / MICRO
  })
  const [height = 0, adjustment = 0, error = 0] = parts.splice(-3)
  return { coordinate: { vec: parts, height, adjustment, error } }
}

function place(value: unknown): Pick<SyncEntry, 'place'> {
  if (value === undefined) return {}
  const fields = object(value)
  const heard = coordinate(fields.coordinate).coordinate
  return heard ? { place: { coordinate: heard, ageMs: age(fields.ageMs) } } : {}
}

function age(value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw bad('age')
  return value
}

/** Checks the meta a node is to carry. @throws MembershipError `MBR_META_TOO_LARGE` */
export function checkMeta(meta: Readonly<Record<string, string>>): void {
  const bytes = Buffer.byteLength(JSON.stringify(meta))
  if (bytes > META_BYTES_MAX) {
    throw new MembershipError(
      'MBR_META_TOO_LARGE',
      `the meta of this member has ${bytes} bytes as JSON, the limit is ${META_BYTES_MAX}`,
    )
  }
}

function update(value: unknown): Update {
  const fields = object(value)
  const id = text(fields.id, ID_CHARS_MAX)
  const incarnation = count(fields.incarnation)
  const { status } = fields
  if (status === 'left') return { status, id, incarnation, ...(fields.prune === true ? { prune: true } : {}) }
  if (status === 'suspect' || status === 'failed') {
    return { status, id, incarnation, from: text(fields.from, ID_CHARS_MAX) }
  }
  if (status !== 'alive') throw bad('status')
  return { status, id, incarnation, ...data(fields) }
}

function member(fields: Fields): MemberRecord {
  if (!STATES.has(fields.status)) throw bad('status')
  return {
    id: text(fields.id, ID_CHARS_MAX),
    incarnation: count(fields.incarnation),
    status: fields.status as MemberState,
    ...data(fields),
  }
}

function data(fields: Fields): Pick<MemberRecord, 'name' | 'address' | 'meta'> {
  const pairs = Object.entries(object(fields.meta))
  for (const [, value] of pairs) if (typeof value !== 'string') throw bad('meta')
  const meta = Object.fromEntries(pairs) as Record<string, string>
  if (Buffer.byteLength(JSON.stringify(meta)) > META_BYTES_MAX) throw bad('meta too large')
  return { name: text(fields.name, NAME_CHARS_MAX), address: text(fields.address, ADDRESS_CHARS_MAX), meta }
}

function parse(bytes: Uint8Array, bytesMax: number): Fields {
  if (bytes.length > bytesMax) throw bad('too large')
  try {
    return object(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
  } catch (cause) {
    throw cause instanceof MembershipError ? cause : bad('not JSON')
  }
}

function object(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('not an object')
  return value as Fields
}

function list(value: unknown, max: number): unknown[] {
  if (!Array.isArray(value) || value.length > max) throw bad('list')
  return value
}

function text(value: unknown, max: number): string {
  if (typeof value !== 'string' || value.length === 0 || value.length > max) throw bad('text')
  return value
}

// Far below 2^53, so that "one higher" stays exact however often a forged number is refuted.
/** No number above this is read. Far below 2^53, so that "one higher" stays exact. */
export const COUNT_MAX = 2 ** 50

function count(value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > COUNT_MAX)
    throw bad('number')
  return value
}

function bad(what: string): MembershipError {
  return new MembershipError('MBR_BAD_MESSAGE', `a membership message could not be read: ${what}`)
}
