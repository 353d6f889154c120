import fc from 'fast-check'
import { clientSubnet, optQuery } from '../../discovery/dns/wire.ts'

const NAMES = [
  'web.service.consul',
  'WEB.service.n1.node.DC1.consul',
  '_web._tcp.consul',
  '1.0.0.10.in-addr.arpa',
  'consul',
  'x'.repeat(63),
  `${'a.'.repeat(120)}consul`,
]
const TYPES = ['A', 'AAAA', 'SRV', 'TXT', 'PTR', 'SOA', 'NS', 'ANY', 'AXFR', 'HINFO']

/** Queries as clients send them. */
export const goodQuery = fc
  .tuple(fc.constantFrom(...NAMES), fc.constantFrom(...TYPES), fc.option(fc.nat(65_535)), fc.boolean())
  .map(([name, type, udpBytes, subnet]) => {
    const options = subnet ? clientSubnet(1, 24, [192, 0, 2]) : Buffer.alloc(0)
    return optQuery(name, type, udpBytes === null ? undefined : { udpBytes, options })
  })

const byte = fc.nat(255)

/** A good query with some bytes replaced, put in, left out or cut off. */
const damaged = fc
  .tuple(
    goodQuery,
    fc.array(fc.tuple(fc.nat(), byte), { maxLength: 6 }),
    fc.nat(),
    fc.uint8Array(),
    fc.nat(9),
  )
  .map(([good, edits, at, put, cut]) => {
    const bytes = Buffer.from(good)
    for (const [place, value] of edits) bytes[place % bytes.length] = value
    const from = at % (bytes.length + 1)
    return Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(from + cut)])
  })

/** Counts that say anything, over any bytes. */
const header = fc
  .tuple(fc.nat(65_535), fc.constantFrom(0, 0x100, 0x110, 0x8000, 0x2800, 0x7900), fc.array(fc.nat(65_535)))
  .map(([id, flags, counts]) => {
    const bytes = Buffer.alloc(12)
    bytes.writeUInt16BE(id, 0)
    bytes.writeUInt16BE(flags, 2)
    bytes.writeUInt16BE(1, 4)
    for (const [i, count] of counts.slice(0, 4).entries()) bytes.writeUInt16BE(count % 3_000, 4 + 2 * i)
    return bytes
  })

/** Labels, pointers that lead backwards, forwards, to themselves and in circles, and lengths that are not so. */
const piece = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 63 }).map((label) => Buffer.from([label.length, ...label])),
  fc.nat(0x3fff).map((to) => Buffer.from([0xc0 | (to >> 8), to & 0xff])),
  fc.nat(40).map((to) => Buffer.from([0xc0, to])),
  byte.map((length) => Buffer.from([length])),
  fc.constant(Buffer.from([0])),
)
const structured = fc
  .tuple(header, fc.array(piece, { maxLength: 60 }), fc.uint8Array({ maxLength: 30 }))
  .map(([head, pieces, rest]) => Buffer.concat([head, ...pieces, rest]))

/** Thousands of records whose names point at each other, as many as TCP carries. */
const crowded = fc.tuple(goodQuery, fc.nat(3_000), fc.nat(40), byte).map(([good, count, to, type]) => {
  const record = Buffer.from([0xc0, to, 0, type, 0, 1, 0, 0, 0, 0, 0, 0])
  const bytes = Buffer.concat([good, ...Array.from({ length: count }, () => record)])
  bytes.writeUInt16BE(count, 10)
  return bytes.subarray(0, 65_535)
})

/** OPT records with lies in them, and several of them. */
const opts = fc
  .tuple(
    goodQuery,
    fc.array(fc.tuple(fc.nat(65_535), byte, byte, fc.nat(40), fc.uint8Array({ maxLength: 40 }))),
  )
  .map(([good, list]) => {
    const records = list.slice(0, 3).map(([size, rcode, version, length, data]) => {
      const head = Buffer.from([0, 0, 41, size >> 8, size & 0xff, rcode, version, 0, 0, 0, length])
      return Buffer.concat([head, data])
    })
    const bytes = Buffer.concat([good, ...records])
    bytes.writeUInt16BE(good.readUInt16BE(10) + records.length, 10)
    return bytes
  })

/** Messages nobody should send, and some anybody may. */
export const message: fc.Arbitrary<Buffer> = fc.oneof(
  goodQuery,
  damaged,
  structured,
  crowded,
  opts,
  fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
)
