import packet, { type OptAnswer, type Question, type Answer as ResourceRecord } from 'dns-packet'
import { type DnsAnswer, empty, type Rcode } from './answer.ts'

/** Where the answer goes decides how long it may be. */
export type Transport = 'udp' | 'tcp'

const HEADER_BYTES = 12
const UDP_BYTES_DEFAULT = 512
/** Largest answer over UDP, whatever a client says it takes. */
const UDP_BYTES_MAX = 4096
/** What this server says it takes: fits every path unfragmented (DNS flag day 2020). */
const UDP_BYTES_OWN = 1232
const TCP_BYTES_MAX = 65535
/** A compression pointer to the name of the question, which always follows the header. */
const QUESTION_NAME = Buffer.from([0xc0, HEADER_BYTES])

const RCODES: Readonly<Record<Rcode, number>> = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
}

/**
 * Answers one DNS message with `resolve`. Null if there is nothing to answer: too short, or an answer itself. Never throws
 * for what is in the message: one that cannot be read gets FORMERR.
 */
export function respond(
  request: Buffer,
  transport: Transport,
  resolve: (question: Question) => DnsAnswer,
): { readonly response: Buffer; readonly rcode: Rcode } | null {
  if (request.length < HEADER_BYTES) return null
  const flags = request.readUInt16BE(2)
  if ((flags & 0x8000) !== 0) return null
  const bare = (rcode: Rcode) => ({
    response: encode(request, null, empty(rcode), null, UDP_BYTES_DEFAULT),
    rcode,
  })
  if (((flags >> 11) & 0xf) !== 0) return bare('NOTIMP')

  let decoded: ReturnType<typeof packet.decode>
  try {
    decoded = packet.decode(request)
  } catch {
    return bare('FORMERR')
  }
  const [question, ...more] = decoded.questions ?? []
  const opts = (decoded.additionals ?? []).filter((record): record is OptAnswer => record.type === 'OPT')
  const bytes = questionBytes(request)
  if (question === undefined || bytes === null || more.length > 0 || opts.length > 1) return bare('FORMERR')
  const asked: Asked = { name: question.name, bytes }

  const opt = opts[0] ?? null
  const limit = transport === 'tcp' ? TCP_BYTES_MAX : udpLimit(opt)
  if (opt !== null && opt.ednsVersion !== 0) {
    return {
      response: encode(request, asked, empty('NOERROR'), { badVersion: true }, limit),
      rcode: 'NOERROR',
    }
  }
  const answer = resolve(question)
  const edns = opt === null ? null : { badVersion: false }
  return { response: encode(request, asked, answer, edns, limit), rcode: answer.rcode }
}

/** A question: its decoded name, and the bytes it came in. */
interface Asked {
  readonly name: string
  readonly bytes: Buffer
}

function udpLimit(opt: OptAnswer | null): number {
  if (opt === null) return UDP_BYTES_DEFAULT
  return Math.min(Math.max(opt.udpPayloadSize, UDP_BYTES_DEFAULT), UDP_BYTES_MAX)
}

/**
 * Writes the response. The question is repeated byte for byte, so its case comes back as it was asked. Records that do not
 * fit are left out; only missing answers set TC, for the rest is an extra (RFC 2181 §9).
 */
function encode(
  request: Buffer,
  question: Asked | null,
  answer: DnsAnswer,
  edns: { readonly badVersion: boolean } | null,
  limit: number,
): Buffer {
  const opt = edns === null ? [] : [record(optRecord(edns.badVersion), '.')]
  let room = limit - HEADER_BYTES - (question?.bytes.length ?? 0) - (opt[0]?.length ?? 0)
  const take = (records: readonly ResourceRecord[]): Buffer[] => {
    const taken: Buffer[] = []
    for (const one of records) {
      const bytes = record(one, question?.name ?? '.')
      if (bytes.length > room) break
      room -= bytes.length
      taken.push(bytes)
    }
    return taken
  }
  const answers = take(answer.answers)
  const truncated = answers.length < answer.answers.length
  const authorities = truncated ? [] : take(answer.authorities)
  const additionals = [...(truncated ? [] : take(answer.additionals)), ...opt]

  const header = Buffer.alloc(HEADER_BYTES)
  request.copy(header, 0, 0, 2)
  // Opcode and "recursion desired" come back as they were.
  const kept = request.readUInt16BE(2) & (0x7800 | packet.RECURSION_DESIRED)
  header.writeUInt16BE(
    0x8000 |
      kept |
      (answer.authoritative ? packet.AUTHORITATIVE_ANSWER : 0) |
      (truncated ? packet.TRUNCATED_RESPONSE : 0) |
      RCODES[answer.rcode],
    2,
  )
  header.writeUInt16BE(question === null ? 0 : 1, 4)
  header.writeUInt16BE(answers.length, 6)
  header.writeUInt16BE(authorities.length, 8)
  header.writeUInt16BE(additionals.length, 10)
  return Buffer.concat([
    header,
    question?.bytes ?? Buffer.alloc(0),
    ...answers,
    ...authorities,
    ...additionals,
  ])
}

/** The question section as it came; null if its name holds a pointer, which from the first name leads into the header. */
function questionBytes(request: Buffer): Buffer | null {
  let at = HEADER_BYTES
  for (;;) {
    const length = request[at] ?? 0
    if (length === 0) return request.subarray(HEADER_BYTES, at + 5)
    if (length > 63) return null
    at += length + 1
  }
}

/** One resource record; its owner is a pointer where that is the name of the question. */
function record(one: ResourceRecord, questionName: string): Buffer {
  if (one.name !== questionName || questionName === '.')
    return packet.encode({ answers: [one] }).subarray(HEADER_BYTES)
  const encoded = packet.encode({ answers: [{ ...one, name: '.' }] })
  return Buffer.concat([QUESTION_NAME, encoded.subarray(HEADER_BYTES + 1)])
}

function optRecord(badVersion: boolean): OptAnswer {
  return {
    name: '.',
    type: 'OPT',
    udpPayloadSize: UDP_BYTES_OWN,
    // The upper bits of BADVERS (16), RFC 6891 §6.1.3.
    extendedRcode: badVersion ? 1 : 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  }
}
