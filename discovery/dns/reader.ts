import { TYPES } from './records.ts'

export const HEADER_BYTES = 12
const NAME_BYTES_MAX = 255

/** What a client says of itself in the OPT record (RFC 6891). */
export interface Edns {
  /** Largest answer it takes over UDP. */
  readonly udpBytes: number
  readonly version: number
  /** The "DNSSEC OK" bit, which is given back. */
  readonly dnssecOk: boolean
  /** The data of its client subnet option (RFC 7871); null if it sent none. */
  readonly clientSubnet: Buffer | null
}

/** A question as it came. */
export interface Query {
  readonly id: number
  /** The 16 bits behind the id. */
  readonly flags: number
  /** The name without the dot at its end, case kept; a dot inside a label reads `\.`. */
  readonly name: string
  readonly type: number
  readonly class: number
  /** Name, type and class as they came. */
  readonly question: Buffer
  readonly edns: Edns | null
}

/** A message that is no query to be answered, with the code to say so. */
export interface Malformed {
  readonly id: number
  readonly flags: number
  readonly refused: 'FORMERR' | 'NOTIMP'
}

/** A record of a message: where its parts are. Its name is read, with `readName` at `start`, by who needs it. */
export interface RawRecord {
  readonly type: number
  /** Of an OPT record: the size it takes over UDP. */
  readonly class: number
  readonly ttl: number
  /** Where the record begins, its data begins, and both end. */
  readonly start: number
  readonly data: number
  readonly end: number
}

/** The message lies about itself: a length, a count or a pointer leads nowhere. */
export class WireError extends Error {
  readonly code = 'DNS_WIRE'

  constructor(what: string) {
    super(`not a DNS message: ${what}`)
    this.name = 'WireError'
  }
}

/**
 * Reads a query. Null if there is nothing to answer: too short, or an answer itself, which nobody may be answered for. Never throws.
 */
export function readQuery(bytes: Buffer): Query | Malformed | null {
  if (bytes.length < HEADER_BYTES) return null
  const id = bytes.readUInt16BE(0)
  const flags = bytes.readUInt16BE(2)
  if ((flags & 0x8000) !== 0) return null
  if (((flags >> 11) & 0xf) !== 0) return { id, flags, refused: 'NOTIMP' }
  // More than one question has no meaning (RFC 9619).
  if (bytes.readUInt16BE(4) !== 1) return { id, flags, refused: 'FORMERR' }
  try {
    const { text, end } = readName(bytes, HEADER_BYTES, false)
    if (end + 4 > bytes.length) throw new WireError('the question is cut off')
    const records = readRecords(bytes, end + 4)
    return {
      id,
      flags,
      name: text,
      type: bytes.readUInt16BE(end),
      class: bytes.readUInt16BE(end + 2),
      question: bytes.subarray(HEADER_BYTES, end + 4),
      edns: readEdns(bytes, records),
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return { id, flags, refused: 'FORMERR' }
  }
}

/** The records of all sections, from `at`, where the questions end. @throws WireError */
export function readRecords(bytes: Buffer, at: number): RawRecord[] {
  const counts = [6, 8, 10].map((place) => bytes.readUInt16BE(place))
  const records: RawRecord[] = []
  let next = at
  for (let left = counts.reduce((sum, count) => sum + count, 0); left > 0; left--) {
    const end = skipName(bytes, next)
    if (end + 10 > bytes.length) throw new WireError('a record is cut off')
    const data = end + 10
    const length = bytes.readUInt16BE(end + 8)
    if (data + length > bytes.length) throw new WireError('a record is longer than the message')
    records.push({
      type: bytes.readUInt16BE(end),
      class: bytes.readUInt16BE(end + 2),
      ttl: bytes.readUInt32BE(end + 4),
      start: next,
      data,
      end: data + length,
    })
    next = data + length
  }
  return records
}

/** Where a name ends. Pointers are not followed: thousands of records may point to one long name. @throws WireError */
function skipName(bytes: Buffer, at: number): number {
  for (let next = at; ; ) {
    const size = bytes[next]
    if (size === undefined) throw new WireError('a name is cut off')
    if (size === 0) return next + 1
    if (size >= 0xc0) return next + 2
    if (size > 63) throw new WireError('a label of an unknown kind')
    next += size + 1
  }
}

/**
 * Reads a name. A pointer may only lead to what is before the name it is in, so that no chain of them is endless (RFC 1035 §4.1.4).
 * @throws WireError
 */
export function readName(
  bytes: Buffer,
  at: number,
  pointers: boolean,
): { readonly text: string; readonly end: number } {
  const labels: string[] = []
  let length = 1
  let end = -1
  let before = at
  for (let next = at; ; ) {
    const size = bytes[next]
    if (size === undefined) throw new WireError('a name is cut off')
    if (size === 0) {
      return { text: labels.join('.'), end: end === -1 ? next + 1 : end }
    }
    if (size >= 0xc0) {
      const low = bytes[next + 1]
      if (low === undefined) throw new WireError('a pointer is cut off')
      const target = ((size & 0x3f) << 8) | low
      if (!pointers || target < HEADER_BYTES || target >= before) throw new WireError('a bad pointer')
      if (end === -1) end = next + 2
      before = target
      next = target
      continue
    }
    if (size > 63) throw new WireError('a label of an unknown kind')
    length += size + 1
    if (length > NAME_BYTES_MAX) throw new WireError('a name is too long')
    if (next + 1 + size > bytes.length) throw new WireError('a label is cut off')
    labels.push(labelText(bytes.toString('utf8', next + 1, next + 1 + size)))
    next += size + 1
  }
}

/** The text, with what would read as the end of the label marked (RFC 4343 §2.1). */
function labelText(label: string): string {
  return label.includes('.') || label.includes('\\') ? label.replace(/[.\\]/g, '\\$&') : label
}

function readEdns(bytes: Buffer, records: readonly RawRecord[]): Edns | null {
  let edns: Edns | null = null
  const first = records.length - bytes.readUInt16BE(10)
  for (let i = first; i < records.length; i++) {
    const record = records[i]
    if (record?.type !== TYPES.OPT) continue
    if (edns !== null) throw new WireError('two OPT records')
    if (bytes[record.start] !== 0) throw new WireError('an OPT record with a name')
    edns = {
      udpBytes: record.class,
      version: (record.ttl >>> 16) & 0xff,
      dnssecOk: (record.ttl & 0x8000) !== 0,
      clientSubnet: readClientSubnet(bytes, record),
    }
  }
  return edns
}

const OPTION_CLIENT_SUBNET = 8

/** Walks the options; all but the client subnet are left alone (RFC 6891 §6.1.2). */
function readClientSubnet(bytes: Buffer, { data, end }: RawRecord): Buffer | null {
  let subnet: Buffer | null = null
  for (let at = data; at < end; ) {
    if (at + 4 > end) throw new WireError('an option is cut off')
    const code = bytes.readUInt16BE(at)
    const next = at + 4 + bytes.readUInt16BE(at + 2)
    if (next > end) throw new WireError('an option is longer than its record')
    if (code === OPTION_CLIENT_SUBNET) {
      subnet = bytes.subarray(at + 4, next)
      // Exactly as many address bytes as the prefix needs (RFC 7871 §6).
      if (subnet.length < 4 || subnet.length !== 4 + Math.ceil((subnet[2] ?? 0) / 8))
        throw new WireError('a bad client subnet')
    }
    at = next
  }
  return subnet
}
