import dgram from 'node:dgram'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { UdpSockets } from '../../../discovery/dns/udp-sockets.ts'
import { memoryLog, until } from '../health/fixtures.ts'

/** A port that is free on each of these addresses now. */
async function freePort(addresses: readonly string[]): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    let port = 0
    const held: dgram.Socket[] = []
    try {
      for (const address of addresses) {
        const socket = dgram.createSocket('udp4')
        held.push(socket)
        socket.bind(port, address)
        await once(socket, 'listening')
        port = socket.address().port
      }
      return port
    } catch (error) {
      if (attempt === 5) throw error
    } finally {
      for (const socket of held) socket.close()
    }
  }
}

/** A server on every address of a host that has these; it answers with what it was asked. */
async function server(t: Test, first: readonly string[], all: readonly string[] = first) {
  let local = first
  const { log, lines } = memoryLog()
  const port = await freePort(all)
  const sockets = new UdpSockets(
    { host: '0.0.0.0', port, lookMs: 10 },
    { log, localAddresses: () => local, onMessage: (request, _from, reply) => reply(request) },
  )
  t.teardown(() => sockets.close())
  return {
    sockets,
    lines,
    port,
    move: (to: readonly string[]) => {
      local = to
    },
  }
}

/** What a client gets that takes answers of the address it asked only. */
async function ask(address: string, port: number): Promise<string> {
  const socket = dgram.createSocket('udp4')
  try {
    socket.connect(port, address)
    await once(socket, 'connect')
    socket.send('hello')
    const [answer] = await once(socket, 'message', { signal: AbortSignal.timeout(5_000) })
    return String(answer)
  } finally {
    socket.close()
  }
}

t.test('each address of the host answers for itself', async (t) => {
  const { sockets, port } = await server(t, ['127.0.0.1', '127.0.0.8', '::1'], ['127.0.0.1', '127.0.0.8'])
  await sockets.open()
  t.equal(await ask('127.0.0.1', port), 'hello')
  t.equal(await ask('127.0.0.8', port), 'hello')
  t.same(sockets.addresses, ['127.0.0.1', '127.0.0.8'], '0.0.0.0 is the IPv4 ones')
})

t.test('addresses that come and go are followed', async (t) => {
  const all = ['127.0.0.1', '127.0.0.8']
  const { sockets, port, move } = await server(t, ['127.0.0.1'], all)
  await sockets.open()
  await t.rejects(ask('127.0.0.8', port), { code: 'ECONNREFUSED' })
  move(all)
  await until(() => sockets.addresses.includes('127.0.0.8'))
  t.equal(await ask('127.0.0.8', port), 'hello')
  move(['127.0.0.8'])
  await until(() => sockets.addresses.length === 1)
  await t.rejects(ask('127.0.0.1', port), { code: 'ECONNREFUSED' })
  t.equal(await ask('127.0.0.8', port), 'hello')
})

t.test('an address that cannot be listened on is tried on, and told once', async (t) => {
  const all = ['127.0.0.1', '127.0.0.8']
  // 192.0.2.0/24 is nobody's (RFC 5737).
  const { sockets, lines, port, move } = await server(t, ['192.0.2.1', '127.0.0.1'], all)
  await sockets.open()
  t.same(sockets.addresses, ['127.0.0.1'])
  const other = dgram.createSocket('udp4')
  other.bind(port, '127.0.0.8')
  await once(other, 'listening')
  move(all)
  const told = () => lines.filter((line) => /"address":"127\.0\.0\.8".*cannot listen/.test(line)).length
  await until(() => told() > 0)
  other.close()
  await until(() => sockets.addresses.includes('127.0.0.8'))
  t.equal(told(), 1)
})

t.test('a port that is taken is an error at the start; closing lets everything go', async (t) => {
  const all = ['127.0.0.1', '127.0.0.8']
  const { sockets, port } = await server(t, all)
  const other = dgram.createSocket('udp4')
  other.bind(port, '127.0.0.8')
  await once(other, 'listening')
  t.teardown(() => other.close())
  await t.rejects(sockets.open(), { code: 'EADDRINUSE' })
  await sockets.close()
  await t.rejects(ask('127.0.0.1', port), { code: 'ECONNREFUSED' })
})

t.test('where the addresses are not to be had, one socket serves them all', async (t) => {
  const port = await freePort(['127.0.0.1'])
  const { log, lines } = memoryLog()
  const sockets = new UdpSockets(
    { host: '0.0.0.0', port },
    {
      log,
      localAddresses: () => {
        throw new Error('not permitted')
      },
      onMessage: (request, _from, reply) => reply(request),
    },
  )
  t.teardown(() => sockets.close())
  await sockets.open()
  t.same(sockets.addresses, ['0.0.0.0'])
  t.match(lines.join(''), /not permitted/)
  t.equal(await ask('127.0.0.1', port), 'hello')
})
