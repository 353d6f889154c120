import { connect as connectTcp, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { bytes, makeNode, metric, type TestScope, text, until } from './cluster.ts'

type Node = Awaited<ReturnType<typeof makeNode>>

const ROUNDS = 4

const connections = (node: Node) => metric(node.metrics, 'constellation_mesh_connections')
const streams = (node: Node) => metric(node.metrics, 'constellation_mesh_streams')
const echo = (from: Node, to: Node, word = 'x') =>
  from.mesh.request(to.mesh.id, 'echo', bytes(word), { timeoutMs: 5_000 })

/** Where each node keeps its identity. */
const directories = new Map<string, string>()

/** Two nodes that answer `echo` and know where the other is. */
async function pair(t: TestScope) {
  const base = t.testdir()
  const make = async (name: string) => {
    const dataDir = join(base, `${name}-${directories.size}`)
    const node = await makeNode(t, base, { dataDir })
    directories.set(node.mesh.id, dataDir)
    return node
  }
  const a = await make('a')
  const b = await make('b')
  for (const { mesh } of [a, b]) {
    mesh.onRequest('echo', async (_from, payload) => payload)
    await mesh.start()
  }
  a.mesh.setAddress(b.mesh.id, b.mesh.advertise)
  b.mesh.setAddress(a.mesh.id, a.mesh.advertise)
  return [a, b] as const
}

/** Waits until each of these has so many connections. */
async function untilConnections(nodes: readonly Node[], count: number): Promise<void> {
  let last: unknown
  await until(
    async () => {
      const open = await Promise.all(nodes.map(connections))
      last = { open, streams: await Promise.all(nodes.map(streams)) }
      return open.every((each) => each === count)
    },
    () => last,
  )
}

t.test('of two connections dialled at the same moment both ends keep the same one', async (t) => {
  let twice = 0
  for (let round = 0; round < ROUNDS; round += 1) {
    const nodes = await pair(t)
    const [a, b] = nodes
    await Promise.all([a.mesh.dial(b.mesh.advertise), b.mesh.dial(a.mesh.advertise)])
    if ((await connections(a)) === 2) twice += 1
    await Promise.all([echo(a, b), echo(b, a)])
    await untilConnections(nodes, 1)
    await Promise.all([echo(a, b), echo(b, a)])
    // Gossip and `echo`, in each direction.
    t.same([await streams(a), await streams(b)], [4, 4])
    t.same(
      nodes.flatMap(({ events }) => events.map(({ type }) => type)),
      ['connected', 'connected'],
      'the end of the other one is not the end of the peer',
    )
    t.equal(await metric(a.metrics, 'constellation_mesh_surplus_connections'), 0)
    await Promise.all(nodes.map(({ mesh }) => mesh.stop()))
  }
  t.ok(twice > 0, `${twice} of ${ROUNDS} rounds had two connections`)
})

/** Sends numbered messages to the other node, and asks and publishes, until it is told to stop. */
async function traffic(t: TestScope, from: Node, to: Node) {
  const seen = { messages: [] as number[], news: [] as number[], bulk: [] as number[] }
  // There is always one that is half sent.
  let bulk = 0
  let isOver = false
  const sendBulk = () => {
    if (isOver) return
    bulk += 1
    if (!from.mesh.send(to.mesh.id, 'bulk', bytes(`${bulk}`.padEnd(300_000))))
      failed.push(`bulk ${bulk} was dropped`)
  }
  to.mesh.onMessage('bulk', (_from, payload) => {
    seen.bulk.push(Number(text(payload)))
    setTimeout(sendBulk, 2)
  })
  const failed: string[] = []
  let count = 0
  to.mesh.onMessage('numbers', (_from, payload) => seen.messages.push(Number(text(payload))))
  to.mesh.subscribe(`of ${from.mesh.id}`, (_from, payload) => seen.news.push(Number(text(payload))))
  // Gossip for a topic goes nowhere before the other end has said that it wants it.
  await until(async () => {
    await from.mesh.publish(`of ${from.mesh.id}`, bytes('0'))
    return seen.news.length > 0
  })
  const running = new Set<Promise<unknown>>()
  const ask = async (word: string) => {
    const answer = await echo(from, to, word)
    if (text(answer) !== word) failed.push(`asked ${word.length}, was told ${answer.length}`)
  }
  const timer = setInterval(() => {
    count += 1
    if (!from.mesh.send(to.mesh.id, 'numbers', bytes(`${count}`))) failed.push(`message ${count} was dropped`)
    // Some are larger than the window of a stream: they are half sent when their connection becomes surplus.
    const word = `${count}`.padEnd(count % 20 === 0 ? 400_000 : 10)
    const asked = ask(word)
      .catch((error: unknown) => failed.push(`request ${count}: ${error}`))
      .finally(() => running.delete(asked))
    running.add(asked)
    void from.mesh.publish(`of ${from.mesh.id}`, bytes(`${count}`))
  }, 5)
  sendBulk()
  t.teardown(() => clearInterval(timer))
  const stop = async () => {
    clearInterval(timer)
    isOver = true
    await Promise.all(running)
    const news = () => seen.news.filter((each) => each > 0)
    await until(
      () => seen.messages.length >= count && news().length >= count && seen.bulk.length >= bulk,
      () => ({ count, messages: seen.messages.length, news: news().length, sent: bulk, bulk: seen.bulk }),
    )
    return { count, failed, messages: seen.messages, news: news(), bulk: seen.bulk }
  }
  return { stop }
}

t.test('while connections come and are given up, nothing is lost, doubled or overtaken', async (t) => {
  const nodes = await pair(t)
  const [a, b] = nodes
  await a.mesh.dial(b.mesh.advertise)
  await untilConnections(nodes, 1)
  // An answer that takes longer than it takes to settle.
  const slow = Promise.withResolvers<void>()
  b.mesh.onRequest('slow', async (_from, payload) => {
    await slow.promise
    return payload
  })
  const both = await Promise.all([traffic(t, a, b), traffic(t, b, a)])
  const settled = async () => {
    const counts = nodes.map(({ metrics }) => metric(metrics, 'constellation_mesh_settled_total'))
    return (await Promise.all(counts)).reduce((sum, each) => sum + each, 0)
  }
  for (let round = 1; round <= ROUNDS; round += 1) {
    const [from, to] = round % 2 === 1 ? [b, a] : [a, b]
    await from.mesh.dial(to.mesh.advertise)
    await until(async () => (await settled()) === round, settled)
  }
  const asked = a.mesh.request(b.mesh.id, 'slow', bytes('late'), { timeoutMs: 20_000 })
  const before = await metric(b.metrics, 'constellation_mesh_frames_total', { direction: 'in' })
  await until(
    async () => (await metric(b.metrics, 'constellation_mesh_frames_total', { direction: 'in' })) > before,
  )
  await (ROUNDS % 2 === 0 ? b : a).mesh.dial((ROUNDS % 2 === 0 ? a : b).mesh.advertise)
  const surplus = () => metric(a.metrics, 'constellation_mesh_surplus_connections')
  await until(async () => (await surplus()) > 0, surplus)
  t.same(
    [text(await echo(a, b)), await connections(a)],
    ['x', 2],
    'the connection with the answer to come is kept',
  )
  slow.resolve()
  t.equal(text(await asked), 'late')
  await untilConnections(nodes, 1)
  for (const each of both) {
    const { count, failed, messages, news, bulk } = await each.stop()
    const all = Array.from({ length: count }, (_, i) => i + 1)
    t.ok(count > 50 && bulk.length > 5)
    t.same(failed, [])
    t.same(messages, all)
    t.same(
      bulk,
      bulk.map((_, i) => i + 1),
    )
    t.same(
      news.toSorted((x, y) => x - y),
      all,
    )
  }
  t.same(
    nodes.flatMap(({ events }) => events.map(({ type }) => type)),
    ['connected', 'connected'],
  )
  t.equal(await settled(), ROUNDS + 1)
})

/** Forwards connections to a port until it is told to swallow everything and to keep the connections open. */
async function tunnel(t: TestScope, port: number) {
  const sockets: Socket[] = []
  let swallows = false
  const server = createServer((near) => {
    const far = connectTcp(port, '127.0.0.1')
    sockets.push(near, far)
    near.on('data', (data) => swallows || far.write(data)).on('error', () => {})
    far.on('data', (data) => swallows || near.write(data)).on('error', () => {})
    far.on('close', () => swallows || near.destroy())
    near.on('close', () => far.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('unreachable')
  return {
    address: `127.0.0.1:${address.port}`,
    swallow: () => {
      swallows = true
    },
  }
}

for (const restarted of ['smaller', 'larger'] as const) {
  t.test(`the new connection of a restarted peer wins over its dead one (${restarted} id)`, async (t) => {
    const [one, other] = await pair(t)
    const smaller = one.mesh.id < other.mesh.id ? one : other
    const larger = smaller === one ? other : one
    const [stays, first] = restarted === 'smaller' ? [larger, smaller] : [smaller, larger]
    const { address, swallow } = await tunnel(t, Number(first.mesh.advertise.split(':')[1]))
    await stays.mesh.dial(address)
    await echo(stays, first)
    swallow()
    await first.mesh.stop()
    t.equal(await connections(stays), 1, 'it has heard nothing of the end')

    const second = await restart(t, first)
    const since = performance.now()
    await second.mesh.dial(stays.mesh.advertise)
    await untilConnections([stays, second], 1)
    t.equal(text(await echo(stays, second, 'again')), 'again')
    t.comment(`settled after ${Math.round(performance.now() - since)} ms`)
    t.same(
      stays.events.map(({ type }) => type),
      ['connected', 'disconnected', 'connected'],
    )
  })
}

t.test('a new connection that brings no answer is given up, and the old one is kept', async (t) => {
  const nodes = await pair(t)
  const [a, b] = nodes
  const { address, swallow } = await tunnel(t, Number(b.mesh.advertise.split(':')[1]))
  await a.mesh.dial(b.mesh.advertise)
  await Promise.all([echo(a, b), echo(b, a)])
  await a.mesh.dial(address)
  swallow()
  await until(async () => (await connections(b)) === 2)
  const failed: unknown[] = []
  const ask = () =>
    Promise.all([echo(a, b), echo(b, a)]).catch((error) => {
      failed.push(error)
    })
  await until(
    async () => {
      await ask()
      return (await connections(a)) === 1 && (await connections(b)) === 1
    },
    () => failed,
    20_000,
  )
  t.same(failed, [], 'and it works all the time')
  t.same(
    nodes.flatMap(({ events }) => events.map(({ type }) => type)),
    ['connected', 'connected'],
  )
})

/** Starts the node anew with the identity it had. */
async function restart(t: TestScope, node: Node): Promise<Node> {
  const again = await makeNode(t, '', { dataDir: directories.get(node.mesh.id) ?? '' })
  again.mesh.onRequest('echo', async (_from, payload) => payload)
  await again.mesh.start()
  return again
}
