import packet from 'dns-packet'
import fc from 'fast-check'
import { DnsView } from '../../../discovery/dns/answer.ts'
import { answerBytesMax, encodeAnswer, encodeMalformed } from '../../../discovery/dns/message.ts'
import { readQuery, readRecords, WireError } from '../../../discovery/dns/reader.ts'
import { typeName } from '../../../discovery/dns/records.ts'
import { isResponseTo } from '../../../discovery/dns/recursor.ts'
import { FakeCatalog } from '../../discovery/dns/fixtures.ts'
import { optQuery } from '../../discovery/dns/wire.ts'
import type { NamedProperty } from '../decoders/property.ts'
import { goodQuery, message } from './inputs.ts'

/** What the fuzzed server knows. */
export const CATALOG = new FakeCatalog([
  {
    name: 'n1',
    address: '10.0.0.1',
    meta: { zone: 'a' },
    services: [{ name: 'web', tags: ['blue'] }, ...many(60)],
  },
])

function many(count: number) {
  return Array.from({ length: count }, (_, i) => ({ id: `web-${i}`, name: 'web', address: `10.1.0.${i}` }))
}

const zone = {
  domains: ['constellation', 'consul'],
  datacenter: 'dc1',
  ttls: { node: 0, service: {}, negative: 0 },
  onlyPassing: false,
  addressesMax: 0,
}

/** Answers as the server does, without sockets; null for none. */
function respond(
  bytes: Buffer,
  view: DnsView,
): { readonly response: Buffer; readonly bytesMax: number } | null {
  const query = readQuery(bytes)
  if (query === null) return null
  if ('refused' in query) return { response: encodeMalformed(query), bytesMax: 12 }
  const bytesMax = answerBytesMax(query, 'udp', false)
  const answer = view.answer({ name: query.name, type: typeName(query.type), class: query.class })
  return { response: encodeAnswer(query, answer, { bytesMax, recursion: false }), bytesMax }
}

/** True if the response can be read, is one, repeats the id and is no longer than allowed. */
export function soundResponse(request: Buffer, response: Buffer, bytesMax: number): boolean {
  const decoded = packet.decode(response)
  return (
    decoded.flag_qr && response.readUInt16BE(0) === request.readUInt16BE(0) && response.length <= bytesMax
  )
}

/** What the parser and the writer of DNS messages hold to. */
export const DNS_PROPERTIES: readonly NamedProperty[] = [
  {
    name: 'DNS: any bytes give an answer that can be read, or none',
    property: fc.property(message, (bytes) => {
      const before = Buffer.from(bytes)
      const result = respond(bytes, new DnsView(CATALOG, zone, () => 0))
      if (!bytes.equals(before)) return false
      if (result === null) return bytes.length < 12 || (bytes[2] ?? 0) >= 0x80
      return soundResponse(bytes, result.response, result.bytesMax)
    }),
  },
  {
    name: 'DNS: what a client means is understood as another codec does',
    property: fc.property(goodQuery, (bytes) => {
      const query = readQuery(bytes)
      const [question] = packet.decode(bytes).questions ?? []
      return query !== null && !('refused' in query) && query.name === question?.name
    }),
  },
  {
    name: 'DNS: bytes in the place of a response are records, told to be none, or no response to the question',
    property: fc.property(message, fc.nat(600), (bytes, at) => {
      const request = optQuery('example.com', 'A')
      if (bytes.length >= 12 && isResponseTo(request, bytes) && bytes.readUInt16BE(0) !== 4711) return false
      if (bytes.length < 12) return true
      try {
        return readRecords(bytes, at).every(({ end }) => end <= bytes.length)
      } catch (error) {
        return error instanceof WireError
      }
    }),
  },
]
