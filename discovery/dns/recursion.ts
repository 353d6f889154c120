import { BlockList, isIPv6 } from 'node:net'
import { encodeOpt, RA, TC } from './message.ts'
import { HEADER_BYTES, type Query, type RawRecord, readName, readRecords } from './reader.ts'
import { CLASS_IN, type DnsAnswer, EXTENDED, empty, type ResourceRecord, TYPES } from './records.ts'
import type { Asked, Recursor } from './recursor.ts'

const FLAG_CD = 0x10
const FLAG_AA = 0x0400
/** Records of an alias that are taken over. */
const CHASED_MAX = 64

/** Networks whose clients are asked for: this host, private and link-local ones (RFC 1918, 4193, 6598). An open resolver is a weapon. */
const ASKED_FOR = networks([
  ['127.0.0.0', 8],
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['169.254.0.0', 16],
  ['100.64.0.0', 10],
  ['::1', 128],
  ['fc00::', 7],
  ['fe80::', 10],
])

/** True if questions of this client are passed on. */
export function isAskedFor(address: string): boolean {
  const plain = address.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '')
  return ASKED_FOR.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4')
}

/** Asks a recursor what the client asked, and answers with its response under the client's id; null if nobody answered. */
export async function forward(query: Query, recursor: Recursor, bytesMax: number): Promise<Buffer | null> {
  const response = await recursor.ask(askedFor(query, query.question))
  return response === null ? null : adapt(query, response, bytesMax)
}

/** Completes an answer whose last alias leads out of the zone with the addresses of what it leads to, as far as a recursor has them. */
export async function completeAlias(query: Query, answer: DnsAnswer, recursor: Recursor): Promise<DnsAnswer> {
  const response = await recursor.ask(askedFor(query, questionFor(answer.aliasOf ?? '', query.type)))
  if (response === null) return answer
  return { ...answer, answers: [...answer.answers, ...addressesIn(response, query.type)] }
}

/** The answer when no recursor gave one. */
export function unreachable(): DnsAnswer {
  return empty('SERVFAIL', { code: EXTENDED.noReachableAuthority, text: 'no recursor answered' })
}

function askedFor(query: Query, question: Buffer): Asked {
  return {
    question,
    checkingDisabled: (query.flags & FLAG_CD) !== 0,
    dnssecOk: query.edns?.dnssecOk ?? false,
  }
}

/** The response as this client may have it: its id, its spelling of the name, its OPT record or none, and no longer than it takes. */
function adapt(query: Query, response: Buffer, bytesMax: number): Buffer | null {
  const body = HEADER_BYTES + query.question.length
  let records: readonly RawRecord[]
  try {
    records = readRecords(response, body)
  } catch {
    return null
  }
  const others = records.length - response.readUInt16BE(10)
  const opt = records.findIndex(({ type }, i) => i >= others && type === TYPES.OPT)
  const isLast = opt === records.length - 1
  const end = records.at(-1)?.end ?? body
  // Names may be pointed to: what stands before a record stays where it is. Of an OPT record in the middle all extras go.
  const kept = opt === -1 ? end : isLast ? (records[opt]?.start ?? end) : (records[others]?.start ?? end)
  const extras = opt === -1 ? records.length - others : isLast ? records.length - others - 1 : 0

  const own = query.edns === null ? Buffer.alloc(0) : encodeOpt(query)
  const fits = kept + own.length <= bytesMax
  const result = Buffer.concat([response.subarray(0, fits ? kept : body), own])
  result.writeUInt16BE(query.id, 0)
  const flags = ((response.readUInt16BE(2) & ~(FLAG_AA | TC)) | RA) & 0xffff
  result.writeUInt16BE(fits ? flags : flags | TC, 2)
  query.question.copy(result, HEADER_BYTES)
  if (!fits) result.fill(0, 6, 10)
  result.writeUInt16BE((fits ? extras : 0) + (own.length > 0 ? 1 : 0), 10)
  return result
}

function questionFor(name: string, type: number): Buffer {
  const parts: Buffer[] = []
  for (const label of name.split('.')) {
    const bytes = Buffer.from(label)
    parts.push(Buffer.from([bytes.length]), bytes)
  }
  return Buffer.concat([...parts, Buffer.from([0, type >> 8, type & 0xff, 0, CLASS_IN])])
}

/** Aliases and addresses among the answers. */
function addressesIn(response: Buffer, type: number): ResourceRecord[] {
  try {
    const question = readName(response, HEADER_BYTES, false)
    const answers = readRecords(response, question.end + 4).slice(0, response.readUInt16BE(6))
    return answers.slice(0, CHASED_MAX).flatMap((raw) => addressIn(response, raw, type) ?? [])
  } catch {
    return []
  }
}

function addressIn(response: Buffer, raw: RawRecord, type: number): ResourceRecord | null {
  const { ttl } = raw
  const name = readName(response, raw.start, true).text
  const bytes = response.subarray(raw.data, raw.end)
  // A name with marks in it would not be written as it was read.
  if (raw.class !== CLASS_IN || name.includes('\\')) return null
  if (raw.type === TYPES.CNAME) {
    const data = readName(response, raw.data, true).text
    return data.includes('\\') ? null : { name, ttl, type: 'CNAME', data }
  }
  if (raw.type !== type) return null
  if (raw.type === TYPES.A && bytes.length === 4) return { name, ttl, type: 'A', data: bytes.join('.') }
  if (raw.type !== TYPES.AAAA || bytes.length !== 16) return null
  const groups = bytes.toString('hex').match(/.{4}/g) ?? []
  return { name, ttl, type: 'AAAA', data: groups.join(':') }
}

function networks(list: readonly (readonly [string, number])[]): BlockList {
  const blocks = new BlockList()
  for (const [address, prefix] of list) blocks.addSubnet(address, prefix, isIPv6(address) ? 'ipv6' : 'ipv4')
  return blocks
}
