import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import type { MessageStream } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import t from 'tap'
import { toMultiaddr } from '../../../discovery/mesh/address.ts'
import { generateClusterKey, parseClusterKey } from '../../../discovery/mesh/cluster-key.ts'
import { bytes, INFO, type LogLine, makeNode, metric, type TestScope, text, until, WARN } from './cluster.ts'

const loud = (lines: readonly LogLine[]) =>
  lines.filter((line) => line.level >= INFO && !line.msg.includes('mesh listens'))

const cases = [
  {
    what: 'another cluster key',
    options: () => ({ keys: [parseClusterKey(generateClusterKey())] }),
    code: 'MSH_WRONG_KEY',
    reason: 'wrong_key',
    here: 'it does not hold our cluster key (check cluster.key_file on both sides)',
    there: 'it does not hold our cluster key (check cluster.key_file on both sides)',
  },
  {
    what: 'another cluster name',
    options: () => ({ clusterName: 'other' }),
    code: 'MSH_WRONG_CLUSTER',
    reason: 'wrong_cluster',
    here: 'it belongs to another cluster (we are "home")',
    there: 'it belongs to another cluster (we are "other")',
  },
]

for (const { what, options, code, reason, here, there } of cases) {
  t.test(`a peer with ${what} is refused with one line on both sides`, async (t) => {
    const base = t.testdir()
    const a = await makeNode(t, base)
    const good = await makeNode(t, base)
    const stranger = await makeNode(t, base, options())
    good.mesh.onRequest('echo', async (_from, payload) => payload)
    await Promise.all([a.mesh.start(), good.mesh.start(), stranger.mesh.start()])
    await a.mesh.dial(good.mesh.advertise)
    for (let i = 0; i < 5; i += 1) {
      await t.rejects(stranger.mesh.dial(a.mesh.advertise), { code, message: there })
    }
    await until(
      async () => (await metric(a.metrics, 'constellation_mesh_refused_peers_total', { reason })) === 5,
    )
    t.match(loud(a.lines), [{ level: WARN, msg: `refused peer at 127.0.0.1:` }])
    t.match(loud(stranger.lines), [{ level: WARN, msg: `refused peer at ${a.mesh.advertise}: ${there}` }])
    t.equal(loud(a.lines).length, 1)
    t.equal(loud(stranger.lines).length, 1)
    t.ok(loud(a.lines)[0]?.msg.endsWith(here))
    t.equal(await metric(a.metrics, 'constellation_mesh_refused_peers_total', { reason: 'handshake' }), 0)
    t.same(stranger.events, [])
    t.same(stranger.mesh.connected(), [])
    t.same(
      a.events.map((event) => event.peer),
      [good.mesh.id],
    )
    t.equal(text(await a.mesh.request(good.mesh.id, 'echo', bytes('x'), { timeoutMs: 20_000 })), 'x')
  })
}

t.test('two nodes connect whenever they share a key, whichever is the primary of either', async (t) => {
  const base = t.testdir()
  const [before, after, last] = Array.from({ length: 3 }, () => parseClusterKey(generateClusterKey()))
  if (!before || !after || !last) throw new Error('unreachable')
  const old = await makeNode(t, base, { keys: [before] })
  const both = await makeNode(t, base, { keys: [before, after] })
  const next = await makeNode(t, base, { keys: [after, before] })
  const done = await makeNode(t, base, { keys: [after, last] })
  await Promise.all([old.mesh.start(), both.mesh.start(), next.mesh.start(), done.mesh.start()])
  t.equal(await both.mesh.dial(old.mesh.advertise), old.mesh.id)
  t.equal(await both.mesh.dial(next.mesh.advertise), next.mesh.id)
  t.equal(await next.mesh.dial(old.mesh.advertise), old.mesh.id)
  t.equal(await done.mesh.dial(both.mesh.advertise), both.mesh.id)
  await t.rejects(old.mesh.dial(done.mesh.advertise), { code: 'MSH_WRONG_KEY' })
  await t.rejects(done.mesh.dial(old.mesh.advertise), { code: 'MSH_WRONG_KEY' })
})

t.test('keys change under standing connections, and a removed key lets nobody in any more', async (t) => {
  const base = t.testdir()
  const [before, after] = [parseClusterKey(generateClusterKey()), parseClusterKey(generateClusterKey())]
  const a = await makeNode(t, base, { keys: [before] })
  const b = await makeNode(t, base, { keys: [before] })
  b.mesh.onRequest('echo', async (_from, payload) => payload)
  await Promise.all([a.mesh.start(), b.mesh.start()])
  await a.mesh.dial(b.mesh.advertise)
  for (const node of [a, b]) node.mesh.setKeys([after])
  t.equal(text(await a.mesh.request(b.mesh.id, 'echo', bytes('x'), { timeoutMs: 20_000 })), 'x')
  const late = await makeNode(t, base, { keys: [before] })
  const current = await makeNode(t, base, { keys: [after] })
  await Promise.all([late.mesh.start(), current.mesh.start()])
  await t.rejects(late.mesh.dial(a.mesh.advertise), { code: 'MSH_WRONG_KEY' })
  t.equal(await current.mesh.dial(a.mesh.advertise), a.mesh.id)
  t.same(
    b.events.map((event) => event.type),
    ['connected'],
  )
  t.throws(() => a.mesh.setKeys(Array.from({ length: 9 }, () => after)), { code: 'MSH_KEY_FILE' })
})

/** Writes to the port and resolves when the node has closed the connection. */
function throwAt(address: string, ...chunks: readonly Uint8Array[]): Promise<void> {
  const [host, port] = address.split(':')
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port) })
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    socket.on('connect', () => {
      for (const chunk of chunks) socket.write(chunk)
    })
    socket.resume()
  })
}

const line = (word: string) => Buffer.concat([Uint8Array.of(word.length + 1), Buffer.from(`${word}\n`)])

t.test('junk at the port is refused quietly and harms nobody', async (t) => {
  const base = t.testdir()
  const a = await makeNode(t, base, { limits: { handshakeTimeoutMs: 3_000 } })
  const good = await makeNode(t, base)
  good.mesh.onRequest('echo', async (_from, payload) => payload)
  await Promise.all([a.mesh.start(), good.mesh.start()])
  await a.mesh.dial(good.mesh.advertise)
  const hello = [line('/multistream/1.0.0'), line('/constellation/noise')]
  const huge = Buffer.concat([Uint8Array.of(255, 255), randomBytes(1024 * 1024)])
  const before = process.memoryUsage().rss
  await Promise.all([
    throwAt(a.mesh.advertise, randomBytes(64)),
    throwAt(a.mesh.advertise, randomBytes(1024 * 1024)),
    throwAt(a.mesh.advertise, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')),
    throwAt(a.mesh.advertise, ...hello, randomBytes(300)),
    throwAt(a.mesh.advertise, ...hello, huge),
    throwAt(
      a.mesh.advertise,
      ...hello,
      Uint8Array.of(0, 32),
      randomBytes(32),
      Uint8Array.of(0, 9),
      randomBytes(9),
    ),
  ])
  t.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024, 'memory is bounded')
  await until(
    async () =>
      (await metric(a.metrics, 'constellation_mesh_refused_peers_total', { reason: 'handshake' })) === 6,
  )
  t.ok(loud(a.lines).length <= 1, JSON.stringify(loud(a.lines)))
  t.same(
    a.events.map((event) => event.peer),
    [good.mesh.id],
  )
  t.equal(text(await a.mesh.request(good.mesh.id, 'echo', bytes('x'), { timeoutMs: 20_000 })), 'x')
  const late = await makeNode(t, base)
  await late.mesh.start()
  t.equal(await late.mesh.dial(a.mesh.advertise), a.mesh.id)
})

/** A libp2p node that encrypts as we do and then does this instead of proving anything. */
async function unproved(t: TestScope, address: string, behave: (connection: MessageStream) => void) {
  const node = await createLibp2p({
    transports: [tcp()],
    streamMuxers: [yamux()],
    connectionEncrypters: [
      (components) => {
        const plain = noise()(components)
        return {
          protocol: '/constellation/noise',
          secureInbound: (connection, options) => plain.secureInbound(connection, options),
          secureOutbound: async (connection, options) => {
            const secured = await plain.secureOutbound(connection, options)
            behave(secured.connection)
            return secured
          },
        }
      },
    ],
    connectionMonitor: { enabled: false },
  })
  t.teardown(() => node.stop())
  const [ip = '', port] = address.split(':')
  return { node, connection: await node.dial(toMultiaddr(ip, Number(port))).catch(() => undefined) }
}

t.test('a peer that encrypts but proves nothing is never spoken with', async (t) => {
  const base = t.testdir()
  const a = await makeNode(t, base, { limits: { handshakeTimeoutMs: 1_000 } })
  a.mesh.onMessage('x', () => t.fail('a stranger was heard'))
  await a.mesh.start()
  const behaviours: ((connection: MessageStream) => void)[] = [
    () => {},
    (connection) => connection.send(new Uint8Array(64).fill(1)),
    (connection) => connection.send(new Uint8Array(2 * 1024 * 1024).fill(255)),
    (connection) => connection.send(Buffer.concat([Uint8Array.of(65, 1), randomBytes(64)])),
  ]
  for (const behave of behaviours) {
    const { connection } = await unproved(t, a.mesh.advertise, behave)
    const spoken = connection?.newStream('/constellation/x/1', { signal: AbortSignal.timeout(2_000) })
    await t.rejects(spoken ?? Promise.reject(new Error('no connection')))
  }
  const refused = (reason: string) => metric(a.metrics, 'constellation_mesh_refused_peers_total', { reason })
  // The last one names a cluster at random and is told that it is another one.
  await until(async () => (await refused('proof')) === 3 && (await refused('wrong_cluster')) === 1)
  t.same(a.events, [])
  t.same(
    loud(a.lines).map((line) => line.level),
    [INFO, WARN],
  )
})

t.test('a host that opens connections and says nothing does not keep others out', async (t) => {
  const base = t.testdir()
  const a = await makeNode(t, base)
  const good = await makeNode(t, base)
  await Promise.all([a.mesh.start(), good.mesh.start()])
  const [host, port] = a.mesh.advertise.split(':')
  const sockets = Array.from({ length: 100 }, () => {
    // Another loopback address: what one host does must not count against the next.
    const socket = connect({ host, port: Number(port), localAddress: '127.0.0.2' })
    return socket.on('error', () => {})
  })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  await until(async () => {
    return (await metric(a.metrics, 'constellation_mesh_refused_peers_total', { reason: 'too_many' })) === 36
  })
  t.equal(await good.mesh.dial(a.mesh.advertise), a.mesh.id)
  t.equal(loud(a.lines).length, 1)
})
