import packet from 'dns-packet'
import t from 'tap'
import { answerBytesMax, encodeAnswer } from '../../../discovery/dns/message.ts'
import { type Query, readName, readQuery, readRecords } from '../../../discovery/dns/reader.ts'
import { type DnsAnswer, empty, type ResourceRecord } from '../../../discovery/dns/records.ts'
import { clientSubnet, optQuery } from './wire.ts'

const NAME = 'WeB.Service.consul'

function read(bytes: Buffer): Query {
  const query = readQuery(bytes)
  if (query === null || 'refused' in query) throw new Error('not a query')
  return query
}

function encode(bytes: Buffer, answer: Partial<DnsAnswer>, bytesMax = 65_535, answersMax?: number) {
  const limit = answersMax === undefined ? {} : { answersMax }
  return encodeAnswer(
    read(bytes),
    { ...empty('NOERROR'), ...answer },
    { bytesMax, recursion: false, ...limit },
  )
}

t.test('every type of record is written as another codec reads it', (t) => {
  const soa = { mname: 'ns.consul', rname: 'hostmaster.consul', serial: 7, refresh: 1, retry: 2, expire: 3 }
  const records: ResourceRecord[] = [
    { name: 'web.service.consul', ttl: 5, type: 'A', data: '10.200.0.1' },
    { name: 'web.service.consul', ttl: 5, type: 'AAAA', data: 'fd00::5' },
    { name: 'web.service.consul', ttl: 5, type: 'AAAA', data: 'fe80::1%eth0' },
    { name: 'consul', ttl: 0, type: 'NS', data: 'n1.node.dc1.consul' },
    { name: 'a.consul', ttl: 0, type: 'CNAME', data: 'db.example.net' },
    { name: '1.0.0.10.in-addr.arpa', ttl: 2 ** 31, type: 'PTR', data: 'n1.node.dc1.consul' },
    { name: 'n1.node.consul', ttl: 0, type: 'TXT', data: [Buffer.from('zone=a'), Buffer.alloc(0)] },
    {
      name: 'web.service.consul',
      ttl: 0,
      type: 'SRV',
      data: { priority: 1, weight: 65_535, port: 80, target: 'n1.node.dc1.consul' },
    },
    { name: 'consul', ttl: 0, type: 'SOA', data: { ...soa, minimum: 4 } },
  ]
  const bytes = encode(optQuery(NAME, 'A', {}), { answers: records, additionals: records })
  const decoded = packet.decode(bytes)
  const expected = records.map((record) => ({
    ...record,
    name: record.name === 'web.service.consul' ? NAME : record.name,
    data: record.data === 'fe80::1%eth0' ? 'fe80::1' : record.data,
  }))
  t.match(decoded.answers, expected)
  t.match(decoded.additionals?.slice(0, -1), expected)
  t.ok(bytes.length < 600, `names are compressed: ${bytes.length} bytes`)
  t.end()
})

t.test('the target of SRV is not compressed, but pointed to', (t) => {
  const target = 'n1.node.dc1.consul'
  const data = { priority: 1, weight: 1, port: 80, target }
  const bytes = encode(optQuery(NAME, 'SRV'), {
    answers: [{ name: NAME, ttl: 0, type: 'SRV', data }],
    additionals: [{ name: target, ttl: 0, type: 'A', data: '10.0.0.1' }],
  })
  const wire = Buffer.from('\x02n1\x04node\x03dc1\x06consul\x00')
  const at = bytes.indexOf(wire)
  t.ok(at > 0)
  t.equal(bytes.indexOf(wire, at + 1), -1)
  t.match(packet.decode(bytes).additionals, [{ name: target, data: '10.0.0.1' }])
  t.end()
})

t.test('a record that does not fit leaves nothing behind, not even a name to point to', (t) => {
  const answers = Array.from(
    { length: 40 },
    (_, i): ResourceRecord => ({ name: `n${i}.consul`, ttl: 0, type: 'NS', data: `target${i}.example.com` }),
  )
  let bad = 0
  for (let bytesMax = 100; bytesMax < 1_600; bytesMax += 3) {
    const bytes = encode(optQuery(NAME, 'NS', {}), { answers }, bytesMax)
    const decoded = packet.decode(bytes)
    const all = decoded.answers?.length === answers.length
    const last = `n${(decoded.answers?.length ?? 0) - 1}.consul`
    const sound = decoded.additionals?.length === 1 && decoded.answers?.at(-1)?.name === last
    if (bytes.length > bytesMax || decoded.flag_tc === all || !sound) bad++
  }
  t.equal(bad, 0)
  t.equal(packet.decode(encode(optQuery(NAME, 'NS', {}), { answers }, 1_600)).answers?.length, 40)
  t.end()
})

t.test('a limit of answers sets TC; extras that do not fit do not', (t) => {
  const answers = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'].map(
    (data): ResourceRecord => ({ name: NAME, ttl: 0, type: 'A', data }),
  )
  const cut = packet.decode(encode(optQuery(NAME, 'A'), { answers }, 512, 3))
  t.match(cut, { flag_tc: true, answers: { length: 3 } })
  const whole = packet.decode(encode(optQuery(NAME, 'A'), { answers }, 512, 4))
  t.match(whole, { flag_tc: false, answers: { length: 4 } })
  const extras = packet.decode(
    encode(optQuery(NAME, 'A'), { answers: answers.slice(0, 1), additionals: answers }, 90),
  )
  t.match(extras, { flag_tc: false, answers: { length: 1 } })
  t.ok((extras.additionals?.length ?? 0) < 4)
  t.end()
})

t.test('how long an answer may be', (t) => {
  const most = (edns: number | null, transport: 'udp' | 'tcp' = 'udp', loopback = false) =>
    answerBytesMax(
      read(optQuery(NAME, 'A', edns === null ? undefined : { udpBytes: edns })),
      transport,
      loopback,
    )
  t.equal(most(null), 512)
  t.equal(most(null, 'udp', true), 512)
  t.equal(most(100), 512)
  t.equal(most(800), 800)
  t.equal(most(4096), 1232, 'no fragments over a network')
  t.equal(most(8192, 'udp', true), 8192)
  t.equal(most(65_535, 'udp', true), 65_000)
  t.equal(most(null, 'tcp'), 65_535)
  t.end()
})

t.test('EDNS: the bit of DNSSEC and the client subnet come back, cookies do not', (t) => {
  const subnet = clientSubnet(1, 24, [192, 0, 2])
  const cookie = Buffer.from([0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])
  const request = optQuery(NAME, 'A', { dnssecOk: true, options: Buffer.concat([cookie, subnet]) })
  const [opt] = packet.decode(encode(request, {})).additionals ?? []
  t.match(opt, { type: 'OPT', udpPayloadSize: 1232, flag_do: true, options: { length: 1 } })
  t.match(opt, { options: [{ code: 8, ip: '192.0.2.0', sourcePrefixLength: 24, scopePrefixLength: 0 }] })
  const bad = optQuery(NAME, 'A', { options: clientSubnet(1, 24, [192, 0]) })
  t.match(readQuery(bad), { refused: 'FORMERR' })
  t.end()
})

t.test('the reason goes with EDNS, if there is room', (t) => {
  const reason = { code: 14, text: `too early ${'é'.repeat(200)}` }
  const whole = encode(optQuery(NAME, 'A', {}), { rcode: 'SERVFAIL', reason })
  const [opt] = packet.decode(whole).additionals ?? []
  t.match(opt, { options: [{ code: 15 }] })
  const at = whole.indexOf('too early')
  t.equal(whole.toString('utf8', at).replace(/é+$/, ''), 'too early ', 'no half characters')
  t.equal(whole.readUInt16BE(at - 2), 14)
  const tight = encode(optQuery(NAME, 'A', {}), { rcode: 'SERVFAIL', reason }, 60)
  t.match(packet.decode(tight).additionals, [{ type: 'OPT', options: [] }])
  t.equal(encode(optQuery(NAME, 'A'), { rcode: 'SERVFAIL', reason }).indexOf('too early'), -1)
  t.end()
})

t.test('names: dots and marks inside a label are not those between labels', (t) => {
  const query = read(optQuery('web\u0001service.consul', 'A'))
  t.equal(query.name, 'web\u0001service.consul')
  const accented = encode(optQuery('x.consul', 'NS'), {
    answers: [{ name: 'x.consul', ttl: 0, type: 'NS', data: 'wéb.consul' }],
  })
  t.equal(readName(accented, readRecords(accented, 26)[0]?.data ?? 0, true).text, 'wéb.consul')
  const raw = optQuery('aaa.consul', 'A')
  raw.write('a.c', 13)
  t.equal(read(raw).name, 'a\\.c.consul')
  t.end()
})

t.test('flags and codes', (t) => {
  const request = optQuery(NAME, 'A')
  request.writeUInt16BE(0x0110, 2)
  t.equal(
    encode(request, { rcode: 'NXDOMAIN', authoritative: true }).readUInt16BE(2),
    0x8513,
    'RD and CD kept',
  )
  const version = encode(optQuery(NAME, 'A', {}), { rcode: 'BADVERS' })
  t.match(packet.decode(version), { rcode: 'NOERROR', additionals: [{ extendedRcode: 1 }] })
  t.end()
})

t.test('thousands of records that point to one long name cost no more than their bytes', (t) => {
  const query = optQuery(`${'a.'.repeat(120)}consul`, 'A')
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0])
  const count = 5_400
  const bytes = Buffer.concat([query, ...Array.from({ length: count }, () => record)])
  bytes.writeUInt16BE(count, 10)
  const started = process.cpuUsage()
  for (let i = 0; i < 20; i++) t.match(readQuery(bytes), { type: 1 })
  const { user } = process.cpuUsage(started)
  t.ok(user < 2_000_000, `${user / 20_000} ms for 64 KiB`)
  t.end()
})
