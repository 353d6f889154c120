import { execFile } from 'node:child_process'
import dgram from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import net from 'node:net'
import { promisify } from 'node:util'
import packet, { type DecodedPacket, type Packet, type RecordType } from 'dns-packet'
import { type Logger, pino } from 'pino'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { DnsServer, type DnsServerOptions } from '../../../discovery/dns/server.ts'
import { FakeCatalog } from './fixtures.ts'

const catalog = new FakeCatalog([
  { name: 'n1', address: '10.0.0.1', services: [{ name: 'web' }] },
  // No message has room for it.
  { name: 'huge', address: '10.0.0.2', meta: { text: 'x'.repeat(400_000) } },
  ...Array.from({ length: 150 }, (_, i) => ({
    name: `m${i}`,
    address: `10.1.0.${i}`,
    services: [{ name: 'many', port: 8000 + i }],
  })),
])
const log = pino({ level: 'silent' })

async function start(t: Test, options: Partial<DnsServerOptions> = {}, own: Logger = log) {
  const metrics = new Registry()
  const server = new DnsServer(
    { listen: { host: '127.0.0.1', port: 0 }, domain: 'constellation', datacenter: 'dc1', ...options },
    { catalog, log: own, metrics },
  )
  await server.start()
  t.teardown(() => server.stop())
  return { server, metrics, port: server.address().port }
}

async function udp(port: number, request: Buffer): Promise<{ message: DecodedPacket; bytes: Buffer }> {
  const socket = dgram.createSocket('udp4')
  socket.send(request, port, '127.0.0.1')
  const [bytes] = await once(socket, 'message', { signal: AbortSignal.timeout(5_000) })
  socket.close()
  return { message: packet.decode(bytes), bytes }
}

async function tcp(port: number, requests: readonly Buffer[]): Promise<DecodedPacket[]> {
  const socket = net.connect(port, '127.0.0.1')
  socket.setTimeout(5_000, () => socket.destroy(new Error('no answer')))
  // In pieces of one byte and all at once: the length prefix must hold either way.
  for (const request of requests) {
    const framed = Buffer.concat([Buffer.from([request.length >> 8, request.length & 0xff]), request])
    socket.write(framed.subarray(0, 1))
    socket.write(framed.subarray(1))
  }
  let received = Buffer.alloc(0)
  const messages: DecodedPacket[] = []
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk])
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0)
      messages.push(packet.decode(received.subarray(2, end)))
      received = received.subarray(end)
    }
    if (messages.length === requests.length) break
  }
  return messages
}

function query(name: string, type: RecordType, edns?: number): Buffer {
  const message: Packet = { id: 4711, flags: packet.RECURSION_DESIRED, questions: [{ name, type }] }
  if (edns !== undefined) {
    message.additionals = [
      {
        name: '.',
        type: 'OPT',
        udpPayloadSize: edns,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ]
  }
  return packet.encode(message)
}

t.test('answers over UDP and TCP on one port, the name as it was asked', async (t) => {
  const { port, metrics } = await start(t)
  const { message } = await udp(port, query('WeB.Service.Constellation', 'A'))
  t.match(message, {
    id: 4711,
    rcode: 'NOERROR',
    flag_qr: true,
    flag_aa: true,
    flag_tc: false,
    flag_rd: true,
    flag_ra: false,
    questions: [{ name: 'WeB.Service.Constellation', type: 'A' }],
    answers: [{ name: 'WeB.Service.Constellation', type: 'A', ttl: 0, data: '10.0.0.1' }],
  })
  t.equal(message.additionals?.length, 0, 'no OPT unasked')
  const messages = await tcp(port, [
    query('web.service.consul', 'A'),
    query('consul', 'SOA'),
    query('example.com', 'A'),
  ])
  t.match(messages, [
    { rcode: 'NOERROR' },
    { answers: [{ type: 'SOA', name: 'consul' }] },
    { rcode: 'REFUSED', flag_aa: false },
  ])
  t.match(await metrics.metrics(), /constellation_dns_queries_total\{transport="tcp",rcode="REFUSED"\} 1/)
})

t.test('an answer that does not fit is cut with TC; EDNS and TCP give more', async (t) => {
  const { port } = await start(t)
  const small = await udp(port, query('many.service.consul', 'A'))
  t.ok(small.bytes.length <= 512 && small.bytes.length > 480, `${small.bytes.length} bytes`)
  t.equal(small.message.flag_tc, true)

  const large = await udp(port, query('many.service.consul', 'A', 1232))
  t.ok(large.bytes.length <= 1232 && large.bytes.length > 1200, `${large.bytes.length} bytes`)
  t.equal(large.message.flag_tc, true)
  t.match(large.message.additionals, [{ type: 'OPT', udpPayloadSize: 1232 }])

  const whole = await udp(port, query('many.service.consul', 'SRV', 65535))
  t.equal(whole.message.flag_tc, false, 'what is on this host gets as much as it takes')
  t.equal(whole.message.answers?.length, 150)

  const fits = await udp(port, query('many.service.consul', 'A', 4096))
  t.equal(fits.message.flag_tc, false)
  t.equal(fits.message.answers?.length, 150)

  const [all] = await tcp(port, [query('many.service.consul', 'SRV')])
  t.equal(all?.flag_tc, false)
  t.equal(all?.answers?.length, 150)
  t.equal(all?.additionals?.length, 150)
})

t.test('the wire: what is not a query this server serves', async (t) => {
  const { port } = await start(t)
  const ask = async (bytes: Buffer) => (await udp(port, bytes)).message
  const plain = query('web.service.consul', 'A')

  const update = Buffer.from(plain)
  update.writeUInt16BE(5 << 11, 2)
  t.match(await ask(update), { id: 4711, rcode: 'NOTIMP', opcode: 'UPDATE' })
  t.match(await ask(query('consul', 'AXFR')), { rcode: 'NOTIMP' })
  t.match(await ask(packet.encode({ id: 1, questions: [] })), { id: 1, rcode: 'FORMERR' })
  const two = packet.encode({
    questions: [
      { name: 'a.consul', type: 'A' },
      { name: 'b.consul', type: 'A' },
    ],
  })
  t.match(await ask(two), { rcode: 'FORMERR' })
  t.match(await ask(plain.subarray(0, -3)), { id: 4711, rcode: 'FORMERR' })
  const pointer = Buffer.concat([plain.subarray(0, 12), Buffer.from([0xc0, 0x04, 0, 1, 0, 1])])
  t.match(await ask(pointer), { rcode: 'FORMERR' })

  const version1 = query('web.service.consul', 'A', 1232)
  version1[version1.length - 5] = 1
  t.match(await ask(version1), { answers: [], additionals: [{ type: 'OPT', extendedRcode: 1 }] })

  const mine = dgram.createSocket('udp4')
  t.teardown(() => mine.close())
  const got: Buffer[] = []
  mine.on('message', (bytes) => got.push(bytes))
  const reply = Buffer.from(plain)
  reply.writeUInt16BE(0x8000, 2)
  mine.send(reply, port, '127.0.0.1')
  mine.send(Buffer.from([1, 2, 3]), port, '127.0.0.1')
  mine.send(plain, port, '127.0.0.1')
  await once(mine, 'message', { signal: AbortSignal.timeout(5_000) })
  t.equal(got.length, 1, 'neither an answer nor a stub is answered')
  t.match(packet.decode(got[0] ?? Buffer.alloc(0)), { rcode: 'NOERROR' })
})

t.test('a question whose answer cannot be written costs its own answer only', async (t) => {
  const lines: string[] = []
  const loud = pino({ level: 'error' }, { write: (line: string) => void lines.push(line) })
  const { port } = await start(t, {}, loud)
  const failed = { id: 4711, rcode: 'SERVFAIL', questions: [{ name: 'huge.node.consul' }], answers: [] }
  t.match((await udp(port, query('huge.node.consul', 'TXT', 1232))).message, failed)
  t.match(await tcp(port, [query('huge.node.consul', 'TXT'), query('web.service.consul', 'A')]), [
    failed,
    { rcode: 'NOERROR' },
  ])
  t.equal(lines.length, 2)
  t.match(lines[0], /huge\.node\.consul/)
})

t.test('TCP connections are bounded and closed when idle', async (t) => {
  const { port } = await start(t, { maxConnections: 1, idleTimeoutMs: 3_000 })
  const first = net.connect(port, '127.0.0.1')
  await once(first, 'connect')
  const second = net.connect(port, '127.0.0.1')
  second.on('error', () => undefined)
  await once(second, 'close', { signal: AbortSignal.timeout(5_000) })
  t.equal(first.destroyed, false)
  first.resume()
  await once(first, 'close', { signal: AbortSignal.timeout(20_000) })
  t.match(await tcp(port, [query('web.service.consul', 'A')]), [{ rcode: 'NOERROR' }])
})

t.test('a busy port is an error that names it and the setting; nothing stays open', async (t) => {
  const { port } = await start(t)
  const listen = { host: '127.0.0.1', port }
  const other = new DnsServer({ listen, domain: 'constellation', datacenter: 'dc1' }, { catalog, log })
  await t.rejects(other.start(), {
    code: 'DNS_PORT_IN_USE',
    message: new RegExp(`port ${port} .*dns\\.listen`),
  })

  const taken = dgram.createSocket('udp4')
  taken.bind(0, '127.0.0.1')
  await once(taken, 'listening')
  const half = { host: '127.0.0.1', port: taken.address().port }
  const third = new DnsServer({ listen: half, domain: 'constellation', datacenter: 'dc1' }, { catalog, log })
  await t.rejects(third.start(), { code: 'DNS_PORT_IN_USE' })
  taken.close()
  await once(taken, 'close')
  await third.start()
  t.equal(third.address().port, half.port, 'TCP was let go, and a second start works')
  await third.stop()
})

t.test('start and stop may be called twice', async (t) => {
  const { server, port } = await start(t)
  await server.start()
  const idle = net.connect(port, '127.0.0.1')
  await once(idle, 'connect')
  idle.resume()
  await Promise.all([server.stop(), server.stop()])
  await server.stop()
  await once(idle, 'close', { signal: AbortSignal.timeout(5_000) })
  t.throws(() => server.address(), /not started/)
  await server.start()
  t.match((await udp(server.address().port, query('web.service.consul', 'A'))).message, { rcode: 'NOERROR' })
})

t.test('the resolver of Node (c-ares) understands the answers', async (t) => {
  const { port } = await start(t)
  const resolver = new Resolver({ timeout: 10_000, tries: 1 })
  resolver.setServers([`127.0.0.1:${port}`])
  t.same(await resolver.resolve4('web.service.consul'), ['10.0.0.1'])
  t.equal((await resolver.resolve4('many.service.consul')).length, 150, 'a cut answer is repeated over TCP')
  t.match(await resolver.resolveSrv('_web._tcp.constellation'), [
    { name: 'n1.node.dc1.constellation', port: 80 },
  ])
  t.match(await resolver.resolveSoa('consul'), { nsname: 'ns.consul', serial: 42 })
  await t.rejects(resolver.resolve4('none.service.consul'), { code: 'ENOTFOUND' })
  await t.rejects(resolver.resolve6('web.service.consul'), { code: 'ENODATA' })
  await t.rejects(resolver.resolve4('example.com'), { code: 'EREFUSED' })
})

t.test('dig understands the answers', async (t) => {
  const run = promisify(execFile)
  try {
    await run('dig', ['-v'])
  } catch {
    t.comment('skipped: needs dig (Debian package bind9-dnsutils)')
    return
  }
  const { port } = await start(t)
  const dig = async (...args: string[]) =>
    (await run('dig', ['@127.0.0.1', '-p', String(port), '+time=10', '+tries=1', ...args])).stdout
  t.equal(await dig('+short', 'web.service.consul'), '10.0.0.1\n')
  t.equal(await dig('+short', '+tcp', '_web._tcp.consul', 'SRV'), '1 1 80 n1.node.dc1.consul.\n')
  t.equal(
    (await dig('+short', 'many.service.consul')).trim().split('\n').length,
    150,
    'dig repeats a cut answer over TCP',
  )
  t.match(await dig('none.service.consul'), /status: NXDOMAIN/)
})
