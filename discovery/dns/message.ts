import { HEADER_BYTES, type Malformed, type Query } from './reader.ts'
import { type DnsAnswer, type ExtendedError, RCODES, type ResourceRecord, TYPES } from './records.ts'
import { MessageWriter } from './writer.ts'

/** Where the answer goes decides how long it may be. */
export type Transport = 'udp' | 'tcp'

/** A client without EDNS takes no more over UDP (RFC 1035 §4.2.1). */
const UDP_BYTES_DEFAULT = 512
/** What this server says it takes, and the longest it sends over UDP: fits every path unfragmented (DNS flag day 2020). */
export const UDP_BYTES = 1232
/** On the loopback interface nothing is fragmented: what the client takes is sent. */
const UDP_BYTES_LOOPBACK = 65_000
const TCP_BYTES = 65_535

export const QR = 0x8000
export const AA = 0x0400
export const TC = 0x0200
export const RD = 0x0100
export const RA = 0x0080
export const CD = 0x0010
/** Of the request's flags these come back: opcode, "recursion desired" and "checking disabled" (RFC 6840 §5.6). */
const KEPT = 0x7800 | RD | CD
const DNSSEC_OK = 0x8000

const OPT_BYTES = 11
const OPTION_CLIENT_SUBNET = 8
const OPTION_EXTENDED_ERROR = 15
const EXTENDED_TEXT_BYTES_MAX = 200

/** Longest answer to this query in bytes. `loopback`: the client is on this host. */
export function answerBytesMax(query: Query, transport: Transport, loopback: boolean): number {
  if (transport === 'tcp') return TCP_BYTES
  if (query.edns === null) return UDP_BYTES_DEFAULT
  const most = loopback ? UDP_BYTES_LOOPBACK : UDP_BYTES
  return Math.min(Math.max(query.edns.udpBytes, UDP_BYTES_DEFAULT), most)
}

/** How an answer is to be written. */
export interface EncodeOptions {
  /** Longest message, in bytes. */
  readonly bytesMax: number
  /** This server asks others for this client. */
  readonly recursion: boolean
  /** Most records among the answers; what is above sets TC. */
  readonly answersMax?: number
}

/**
 * Writes the response. The question is repeated byte for byte, so its case comes back as it was asked. Records that do not
 * fit are left out; missing answers set TC, for the rest is an extra (RFC 2181 §9).
 */
export function encodeAnswer(query: Query, answer: DnsAnswer, options: EncodeOptions): Buffer {
  const writer = new MessageWriter()
  const { edns } = query
  const opt = edns === null ? null : { ...edns, rcode: RCODES[answer.rcode] }
  const subnetBytes = edns?.clientSubnet ? edns.clientSubnet.length + 4 : 0
  const room = options.bytesMax - (opt === null ? 0 : OPT_BYTES + subnetBytes)
  for (let i = 0; i < HEADER_BYTES; i += 2) writer.u16(0)
  writer.question(query.question, query.name)

  const take = (records: readonly ResourceRecord[], most = records.length): number => {
    let taken = 0
    while (taken < most) {
      const record = records[taken]
      if (record === undefined || !writer.record(record, room)) break
      taken++
    }
    return taken
  }
  const answers = take(answer.answers, Math.min(answer.answers.length, options.answersMax ?? 0xffff))
  const truncated = answers < answer.answers.length
  const authorities = truncated ? 0 : take(answer.authorities)
  let additionals = truncated ? 0 : take(answer.additionals)
  if (opt !== null) {
    writeOpt(writer, opt, answer.reason, options.bytesMax)
    additionals++
  }
  const bits =
    (answer.authoritative ? AA : 0) |
    (truncated ? TC : 0) |
    (options.recursion ? RA : 0) |
    RCODES[answer.rcode]
  writeHeader(writer, query, bits)
  const counts = [1, answers, authorities, additionals]
  for (const [i, count] of counts.entries()) writer.patch16(4 + 2 * i, count)
  return writer.finish()
}

/** A response that is nothing but a header. */
export function encodeMalformed(message: Malformed): Buffer {
  const writer = new MessageWriter()
  for (let i = 0; i < HEADER_BYTES; i += 2) writer.u16(0)
  writeHeader(writer, message, RCODES[message.refused])
  return writer.finish()
}

/** The OPT record alone, for a response somebody else made. */
export function encodeOpt(query: Query): Buffer {
  const writer = new MessageWriter()
  if (query.edns !== null) writeOpt(writer, { ...query.edns, rcode: 0 }, undefined, TCP_BYTES)
  return writer.finish()
}

function writeHeader(
  writer: MessageWriter,
  { id, flags }: { id: number; flags: number },
  bits: number,
): void {
  writer.patch16(0, id)
  writer.patch16(2, QR | (flags & KEPT) | (bits & ~0xf) | (bits & 0xf))
}

function writeOpt(
  writer: MessageWriter,
  opt: { readonly rcode: number; readonly dnssecOk: boolean; readonly clientSubnet: Buffer | null },
  reason: ExtendedError | undefined,
  bytesMax: number,
): void {
  writer.u8(0)
  writer.u16(TYPES.OPT)
  writer.u16(UDP_BYTES)
  // Upper bits of the code, version 0, flags (RFC 6891 §6.1.3).
  writer.u8(opt.rcode >> 4)
  writer.u8(0)
  writer.u16(opt.dnssecOk ? DNSSEC_OK : 0)
  const sizeAt = writer.length
  writer.u16(0)
  if (opt.clientSubnet !== null) {
    writer.u16(OPTION_CLIENT_SUBNET)
    writer.u16(opt.clientSubnet.length)
    // Scope 0: the answer is the same for everybody (RFC 7871 §7.2.1).
    writer.bytes(opt.clientSubnet.subarray(0, 3))
    writer.u8(0)
    writer.bytes(opt.clientSubnet.subarray(4))
  }
  const text = cut(reason?.text ?? '')
  if (reason !== undefined && writer.length + 6 + text.length <= bytesMax) {
    writer.u16(OPTION_EXTENDED_ERROR)
    writer.u16(2 + text.length)
    writer.u16(reason.code)
    writer.bytes(text)
  }
  writer.patch16(sizeAt, writer.length - sizeAt - 2)
}

/** As many whole characters as there is room for. */
function cut(text: string): Buffer {
  const bytes = Buffer.alloc(EXTENDED_TEXT_BYTES_MAX)
  return bytes.subarray(0, bytes.write(text))
}
