import type { Answer, DecodedPacket, OptAnswer } from 'dns-packet'
import { printable } from '../table.ts'
import type { DnsReply } from './dns-client.ts'

/** A record as it is shown and given as JSON. */
export interface ShownRecord {
  readonly name: string
  readonly type: string
  readonly ttl: number
  readonly data: string
}

/** Why the server answered so, in its own words (RFC 8914). */
export interface ShownReason {
  readonly code: number
  readonly text: string
}

const OPTION_EXTENDED_ERROR = 15
const BADVERS = 1

/** The response code by name. */
export function rcodeOf(message: DecodedPacket): string {
  const opt = optOf(message)
  if (opt?.extendedRcode === BADVERS) return 'BADVERS'
  return (message as DecodedPacket & { readonly rcode: string }).rcode
}

/** Records but for OPT, with their data as in a zone file. */
export function shown(records: readonly Answer[] | undefined): ShownRecord[] {
  return (records ?? []).flatMap((record) => {
    if (record.type === 'OPT') return []
    const ttl = 'ttl' in record ? (record.ttl ?? 0) : 0
    return [{ name: withDot(record.name), type: record.type, ttl, data: dataText(record) }]
  })
}

/** The extended error of the answer, if there is one. */
export function reasonOf(message: DecodedPacket): ShownReason | null {
  for (const option of optOf(message)?.options ?? []) {
    // The types of the library know only some codes.
    const { code, data }: { readonly code: number; readonly data?: unknown } = option
    if (code !== OPTION_EXTENDED_ERROR || !(data instanceof Uint8Array) || data.length < 2) continue
    const bytes = Buffer.from(data)
    return { code: bytes.readUInt16BE(0), text: bytes.toString('utf8', 2) }
  }
  return null
}

/** The whole answer, one record on a line. */
export function renderReply(reply: DnsReply, server: string): string {
  const { message } = reply
  const flags = [
    message.flag_aa ? 'authoritative' : null,
    message.flag_tc ? 'cut' : null,
    message.flag_ra ? 'recursion available' : null,
  ].filter((flag) => flag !== null)
  const facts = [
    rcodeOf(message),
    ...flags,
    `${reply.bytes} bytes over ${reply.transport}`,
    `${reply.ms.toFixed(1)} ms`,
  ]
  const lines = [`; ${server}: ${facts.join(', ')}`]
  for (const question of message.questions ?? [])
    lines.push(`; ${withDot(question.name)} IN ${question.type}`)
  const sections = [
    ['answer', shown(message.answers)],
    ['authority', shown(message.authorities)],
    ['additional', shown(message.additionals)],
  ] as const
  for (const [title, records] of sections) {
    if (records.length === 0) continue
    lines.push('', `; ${title}`, ...records.map(line))
  }
  return `${lines.map(printable).join('\n')}\n`
}

function line({ name, type, ttl, data }: ShownRecord): string {
  return `${name} ${ttl} IN ${type} ${data}`
}

function optOf(message: DecodedPacket): OptAnswer | undefined {
  return (message.additionals ?? []).find((record): record is OptAnswer => record.type === 'OPT')
}

function dataText(record: Exclude<Answer, OptAnswer>): string {
  switch (record.type) {
    case 'SRV': {
      const { priority = 0, weight = 0, port, target } = record.data
      return `${priority} ${weight} ${port} ${withDot(target)}`
    }
    case 'SOA': {
      const { mname, rname, serial, refresh, retry, expire, minimum } = record.data
      return [withDot(mname), withDot(rname), serial, refresh, retry, expire, minimum].join(' ')
    }
    case 'TXT':
      return [record.data].flat().map(quoted).join(' ')
    case 'NS':
    case 'CNAME':
    case 'PTR':
      return withDot(record.data)
    case 'MX':
      return `${record.data.preference ?? 0} ${withDot(record.data.exchange)}`
    default:
      return typeof record.data === 'string' ? record.data : JSON.stringify(record.data)
  }
}

function quoted(text: string | Uint8Array): string {
  return `"${Buffer.from(text).toString('utf8').replace(/["\\]/g, '\\$&')}"`
}

function withDot(name: string): string {
  return name.endsWith('.') ? name : `${name}.`
}
