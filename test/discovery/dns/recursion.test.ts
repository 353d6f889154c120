import dgram from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import packet, { type DecodedPacket } from 'dns-packet'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { isAskedFor } from '../../../discovery/dns/recursion.ts'
import { isResponseTo, Recursor } from '../../../discovery/dns/recursor.ts'
import { DnsServer, type DnsServerCollaborators, type DnsSettings } from '../../../discovery/dns/server.ts'
import { FakeCatalog } from './fixtures.ts'
import { optQuery } from './wire.ts'

const log = pino({ level: 'silent' })
const catalog = new FakeCatalog([
  {
    name: 'n1',
    address: '10.0.0.1',
    services: [{ name: 'web' }, { name: 'out', address: 'db.example.net' }],
  },
])

/** Answers of a resolver to a question; null: none. */
type Answer = (request: Buffer, transport: 'udp' | 'tcp') => readonly Buffer[]

/** A resolver on 127.0.0.1 that does what the test wants. */
async function resolver(t: Test, answer: Answer) {
  const asked: { readonly port: number; readonly id: number; readonly transport: string }[] = []
  const tcp = net.createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (bytes: Buffer) => {
      const request = bytes.subarray(2)
      asked.push({ port: socket.remotePort ?? 0, id: request.readUInt16BE(0), transport: 'tcp' })
      for (const response of answer(request, 'tcp')) {
        socket.write(Buffer.concat([Buffer.from([response.length >> 8, response.length & 0xff]), response]))
      }
    })
  })
  const udp = dgram.createSocket('udp4')
  for (let attempt = 0; ; attempt++) {
    tcp.listen(0, '127.0.0.1')
    await once(tcp, 'listening')
    const { port } = tcp.address() as net.AddressInfo
    try {
      udp.bind(port, '127.0.0.1')
      await once(udp, 'listening')
      break
    } catch (error) {
      if (attempt === 5) throw error
      tcp.close()
    }
  }
  udp.on('message', (request, peer) => {
    asked.push({ port: peer.port, id: request.readUInt16BE(0), transport: 'udp' })
    for (const response of answer(request, 'udp')) udp.send(response, peer.port, peer.address)
  })
  t.teardown(() => {
    udp.close()
    tcp.close()
  })
  return { asked, address: { host: '127.0.0.1', port: udp.address().port } }
}

async function start(t: Test, settings: DnsSettings, others: Partial<DnsServerCollaborators> = {}) {
  const options = { listen: { host: '127.0.0.1', port: 0 }, domain: 'constellation', datacenter: 'dc1' }
  const server = new DnsServer({ ...options, ...settings }, { catalog, log, ...others })
  await server.start()
  t.teardown(() => server.stop())
  const { port } = server.address()
  const ask = async (request: Buffer): Promise<{ message: DecodedPacket; bytes: Buffer }> => {
    const socket = dgram.createSocket('udp4')
    socket.send(request, port, '127.0.0.1')
    const [bytes] = await once(socket, 'message', { signal: AbortSignal.timeout(8_000) })
    socket.close()
    return { message: packet.decode(bytes), bytes }
  }
  return { server, port, ask }
}

/** The response of a resolver, with an OPT record at its end as a resolver sends it. */
function response(request: Buffer, parts: Parameters<typeof packet.encode>[0] = {}): Buffer {
  const { id, questions } = packet.decode(request)
  return packet.encode({
    id: id ?? 0,
    type: 'response',
    questions: questions ?? [],
    ...parts,
    flags: packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | (parts.flags ?? 0),
    additionals: [
      ...(parts.additionals ?? []),
      {
        name: '.',
        type: 'OPT',
        udpPayloadSize: 512,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ],
  })
}

const address = (name: string, data = '192.0.2.1') => ({ name, type: 'A' as const, ttl: 60, data })

t.test('names of others are asked of a recursor, under an id and from a port of their own', async (t) => {
  const { asked, address: recursor } = await resolver(t, (request) => [
    response(request, { answers: [address('Example.COM')], additionals: [address('ns.example.com')] }),
  ])
  const { ask } = await start(t, { recursors: [recursor] })
  const plain = await ask(optQuery('Example.COM', 'A', undefined, 1))
  t.match(plain.message, {
    id: 1,
    flag_aa: false,
    flag_ra: true,
    flag_rd: true,
    rcode: 'NOERROR',
    questions: [{ name: 'Example.COM' }],
    answers: [{ name: 'Example.COM', data: '192.0.2.1', ttl: 60 }],
    additionals: [{ name: 'ns.example.com' }],
  })
  t.equal(plain.message.additionals?.length, 1, 'no OPT for a client without EDNS')
  const edns = await ask(optQuery('example.com', 'A', {}, 2))
  t.match(edns.message.additionals, [{ type: 'A' }, { type: 'OPT', udpPayloadSize: 1232 }])
  for (let i = 0; i < 6; i++) await ask(optQuery(`x${i}.example.com`, 'A'))
  t.ok(new Set(asked.map(({ port }) => port)).size > 4, 'ports differ')
  t.ok(new Set(asked.map(({ id }) => id)).size > 4, 'ids differ')

  t.match((await ask(optQuery('web.service.consul', 'A'))).message, { flag_aa: true, flag_ra: true })
  t.match((await ask(optQuery('9.9.9.9.in-addr.arpa', 'PTR'))).message, { flag_aa: false, rcode: 'NOERROR' })
  t.match((await ask(optQuery('1.0.0.10.in-addr.arpa', 'PTR'))).message, { flag_aa: true })
  const known = asked.length
  const undesired = optQuery('example.com', 'A')
  undesired.writeUInt16BE(0, 2)
  t.match((await ask(undesired)).message, { rcode: 'REFUSED' })
  t.match((await ask(optQuery('none.service.consul', 'A'))).message, { rcode: 'NXDOMAIN' })
  t.equal(asked.length, known, 'nobody was asked for what is ours, or was not to be asked for')
})

t.test('what is not the answer to the question is not taken', async (t) => {
  const { address: recursor } = await resolver(t, (request) => {
    const wrongId = response(request, { answers: [address('example.com', '6.6.6.6')] })
    wrongId.writeUInt16BE(wrongId.readUInt16BE(0) ^ 1, 0)
    const wrongName = response(request, {
      questions: [{ name: 'other.com', type: 'A' }],
      answers: [address('other.com', '6.6.6.6')],
    })
    const query = Buffer.from(request)
    return [
      wrongId,
      wrongName,
      query,
      Buffer.from([1]),
      response(request, { answers: [address('example.com')] }),
    ]
  })
  const { ask } = await start(t, { recursors: [recursor] })
  t.match((await ask(optQuery('example.com', 'A'))).message.answers, [{ data: '192.0.2.1' }])
  const request = optQuery('example.com', 'A')
  t.equal(isResponseTo(request, response(request)), true)
  t.equal(isResponseTo(request, response(optQuery('example.com', 'AAAA'))), false)
  t.equal(isResponseTo(request, response(optQuery('example.com', 'A', undefined, 1))), false)
})

t.test('a cut answer is asked for again over TCP; the client gets as much as it takes', async (t) => {
  const many = Array.from({ length: 60 }, (_, i) => address('example.com', `192.0.2.${i}`))
  const { asked, address: recursor } = await resolver(t, (request, transport) => [
    transport === 'udp'
      ? response(request, { flags: packet.TRUNCATED_RESPONSE })
      : response(request, { answers: many }),
  ])
  const { ask } = await start(t, { recursors: [recursor] })
  const large = await ask(optQuery('example.com', 'A', { udpBytes: 4096 }))
  t.match(large.message, { flag_tc: false, answers: { length: 60 } })
  const small = await ask(optQuery('example.com', 'A'))
  t.match(small.message, { flag_tc: true, answers: { length: 0 }, questions: [{ name: 'example.com' }] })
  t.same(
    asked.map(({ transport }) => transport),
    ['udp', 'tcp', 'udp', 'tcp'],
  )
})

t.test(
  'a recursor that is silent, broken or refuses is passed over, and asked last from then on',
  async (t) => {
    const silent = await resolver(t, () => [])
    const refuses = await resolver(t, (request) => [response(request, { flags: 5 })])
    const works = await resolver(t, (request) => [response(request, { answers: [address('example.com')] })])
    const { ask } = await start(t, {
      recursors: [silent.address, refuses.address, works.address],
      recursorTimeoutMs: 2_000,
    })
    t.match((await ask(optQuery('example.com', 'A'))).message.answers, [{ data: '192.0.2.1' }])
    t.equal(silent.asked.length, 1)
    t.match((await ask(optQuery('example.com', 'A'))).message.answers, [{ data: '192.0.2.1' }])
    t.equal(silent.asked.length, 1)
  },
)

t.test('a recursor that cannot even be sent to is passed over', async (t) => {
  const works = await resolver(t, (request) => [response(request, { answers: [address('example.com')] })])
  // Connecting a socket to it fails with EACCES everywhere, as it does to an address no route leads to.
  const nowhere = { host: '255.255.255.255', port: 53 }
  const { ask, server } = await start(t, { recursors: [nowhere, works.address] })
  t.match((await ask(optQuery('example.com', 'A'))).message.answers, [{ data: '192.0.2.1' }])
  server.configure({ recursors: [nowhere, nowhere] })
  t.match((await ask(optQuery('example.com', 'A'))).message, { rcode: 'SERVFAIL', flag_ra: true })
  t.match((await ask(optQuery('out.service.consul', 'A'))).message, {
    rcode: 'NOERROR',
    answers: [{ type: 'CNAME' }],
  })
})

t.test('a question that fails while recursors are asked costs its own answer only', async (t) => {
  const refuses = await resolver(t, () => [])
  const lines: string[] = []
  const failing = pino(
    {
      level: 'debug',
      hooks: {
        logMethod(args, method, level) {
          if (level === 20) throw new Error('a fault')
          method.apply(this, args)
        },
      },
    },
    { write: (line: string) => void lines.push(line) },
  )
  const { ask } = await start(t, { recursors: [refuses.address], recursorTimeoutMs: 50 }, { log: failing })
  t.match((await ask(optQuery('example.com', 'A', {}))).message, {
    rcode: 'SERVFAIL',
    questions: [{ name: 'example.com' }],
  })
  t.match(lines.join(''), /a fault/)
  t.match((await ask(optQuery('web.service.consul', 'A'))).message, { rcode: 'NOERROR' })
})

t.test('no recursor answers: SERVFAIL, or what one of them said', async (t) => {
  const silent = await resolver(t, () => [])
  const { ask, server } = await start(t, { recursors: [silent.address], recursorTimeoutMs: 100 })
  t.match((await ask(optQuery('example.com', 'A', {}))).message, {
    rcode: 'SERVFAIL',
    flag_ra: true,
    additionals: [{ options: [{ code: 15 }] }],
  })
  t.match((await ask(optQuery('out.service.consul', 'A'))).message, {
    rcode: 'NOERROR',
    answers: [{ type: 'CNAME' }],
  })
  const refuses = await resolver(t, (request) => [response(request, { flags: 5 })])
  server.configure({ recursors: [refuses.address], recursorTimeoutMs: 2_000 })
  t.match((await ask(optQuery('example.com', 'A'))).message, { rcode: 'REFUSED', flag_ra: true })
  server.configure({})
  t.match((await ask(optQuery('example.com', 'A'))).message, { rcode: 'REFUSED', flag_ra: false })
})

t.test('an alias of a name outside is completed', async (t) => {
  const { address: recursor } = await resolver(t, (request) => [
    response(request, {
      answers: [
        { name: 'db.example.net', type: 'CNAME', ttl: 9, data: 'DB1.example.net' },
        address('DB1.example.net'),
        { name: 'db.example.net', type: 'TXT', data: 'no' },
      ],
    }),
  ])
  const { ask } = await start(t, { recursors: [recursor] })
  const { message } = await ask(optQuery('out.service.consul', 'A'))
  t.match(message, {
    flag_aa: true,
    answers: [
      { name: 'out.service.consul', type: 'CNAME', data: 'db.example.net' },
      { name: 'db.example.net', type: 'CNAME', ttl: 9, data: 'DB1.example.net' },
      { name: 'DB1.example.net', type: 'A', ttl: 60, data: '192.0.2.1' },
    ],
  })
  t.equal(message.answers?.length, 3)
})

t.test('the same question under way is asked once, and there is a limit', async (t) => {
  const { asked, address: server } = await resolver(t, (request) => {
    const [question] = packet.decode(request).questions ?? []
    return question?.name === 'late.com' ? [] : [response(request)]
  })
  const recursor = new Recursor({ servers: [server], timeoutMs: 1000, inFlightMax: 2 }, { log })
  const question = (name: string) => optQuery(name, 'A').subarray(12)
  const of = (name: string) =>
    recursor.ask({ question: question(name), checkingDisabled: false, dnssecOk: false })
  const [one, two] = [of('late.com'), of('LATE.com')]
  const other = of('now.com')
  t.equal(recursor.inFlight, 2)
  t.equal(await of('third.com'), null, 'there is no room')
  t.not(await other, null)
  t.equal(await one, null)
  t.equal(await two, null)
  t.equal(asked.length, 2)
  t.equal(recursor.inFlight, 0)
  const pending = of('late.com')
  recursor.stop()
  t.equal(await pending, null)
  t.equal(await of('now.com'), null, 'stopped')
})

t.test('two servers that ask each other come to an end', async (t) => {
  const one = await start(t, { recursorTimeoutMs: 300 })
  const two = await start(t, { recursorTimeoutMs: 300, recursors: [one.server.address()] })
  one.server.configure({ recursors: [two.server.address()], recursorTimeoutMs: 300 })
  t.match((await one.ask(optQuery('example.com', 'A'))).message, { rcode: 'SERVFAIL' })
})

t.test('a server does not ask itself', async (t) => {
  const { server, ask } = await start(t, {})
  const own = server.address()
  server.configure({ recursors: [own] })
  t.match((await ask(optQuery('example.com', 'A'))).message, { rcode: 'REFUSED', flag_ra: false })
  await server.stop()
  const other = new DnsServer(
    { listen: { host: '0.0.0.0', port: own.port }, domain: 'c', datacenter: 'dc1', recursors: [own] },
    { catalog, log },
  )
  await t.rejects(other.start(), {
    code: 'DNS_RECURSOR_IS_SELF',
    message: /dns\.recursors names 127\.0\.0\.1/,
  })
  t.throws(() => other.address(), 'nothing stays open')
})

t.test('clients that are asked for', (t) => {
  for (const ip of [
    '127.0.0.1',
    '10.1.2.3',
    '172.31.0.1',
    '::1',
    'fd00::1',
    'fe80::1%eth0',
    '::ffff:10.0.0.1',
  ])
    t.equal(isAskedFor(ip), true, ip)
  for (const ip of ['8.8.8.8', '172.32.0.1', '2001:db8::1', '::ffff:8.8.8.8'])
    t.equal(isAskedFor(ip), false, ip)
  t.end()
})
