import { type AddressInfo, connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { runsMs } from '../../held-up.ts'
import { bytes, makeNode, metric, type TestScope, text, until } from './cluster.ts'

async function pair(t: TestScope, limits = {}) {
  const base = t.testdir()
  const a = await makeNode(t, base, { limits })
  const b = await makeNode(t, base, { limits })
  return { base, a, b }
}

t.test('two nodes exchange messages both ways', async (t) => {
  const { a, b } = await pair(t)
  const atA: string[] = []
  a.mesh.onMessage('chat', (from, payload) => atA.push(`${from} ${text(payload)}`))
  b.mesh.onMessage('chat', (from, payload) => b.mesh.send(from, 'chat', bytes(`re: ${text(payload)}`)))
  await Promise.all([a.mesh.start(), b.mesh.start()])
  t.equal(await a.mesh.dial(b.mesh.advertise), b.mesh.id)
  t.ok(a.mesh.send(b.mesh.id, 'chat', bytes('hi')))
  await until(() => atA.length > 0)
  t.same(atA, [`${b.mesh.id} re: hi`])
  t.same(a.mesh.connected(), [b.mesh.id])
  t.same(a.events, [{ type: 'connected', peer: b.mesh.id, address: b.mesh.advertise }])
  await until(() => b.events.length > 0)
  t.match(b.events, [{ type: 'connected', peer: a.mesh.id, address: /^127\.0\.0\.1:\d+$/ }])
  t.equal(await metric(a.metrics, 'constellation_mesh_connections'), 1)
  t.ok(Number(await metric(a.metrics, 'constellation_mesh_streams')) > 0, 'and its streams')
})

t.test('a known address is enough: the first message dials', async (t) => {
  const { a, b } = await pair(t)
  const got: string[] = []
  b.mesh.onMessage('chat', (_from, payload) => got.push(text(payload)))
  await Promise.all([a.mesh.start(), b.mesh.start()])
  t.notOk(a.mesh.send(b.mesh.id, 'chat', bytes('lost')), 'nobody knows where it is')
  a.mesh.setAddress(b.mesh.id, b.mesh.advertise)
  t.ok(a.mesh.send(b.mesh.id, 'chat', bytes('one')))
  t.ok(a.mesh.send(b.mesh.id, 'chat', bytes('two')))
  await until(() => got.length === 2)
  t.same(got, ['one', 'two'])
})

t.test('frames keep their order under load, through back-pressure', async (t) => {
  const { a, b } = await pair(t)
  const got: number[] = []
  const wrong: number[] = []
  b.mesh.onMessage('load', (_from, payload) => {
    const view = new DataView(payload.buffer, payload.byteOffset)
    got.push(view.getUint32(0))
    if (payload.length > 4 && payload.at(-1) !== 7) wrong.push(view.getUint32(0))
  })
  await Promise.all([a.mesh.start(), b.mesh.start()])
  await a.mesh.dial(b.mesh.advertise)
  let sent = 0
  while (sent < 3_000) {
    const payload = new Uint8Array(4 + ((sent * 7919) % 40_000)).fill(7)
    new DataView(payload.buffer).setUint32(0, sent)
    if (a.mesh.send(b.mesh.id, 'load', payload)) sent += 1
    else await sleep(1)
  }
  await until(
    () => got.length === sent,
    () => got.length,
    20_000,
  )
  t.same(
    got,
    Array.from({ length: sent }, (_, i) => i),
  )
  t.same(wrong, [])
})

t.test('requests are answered, many at once and out of order', async (t) => {
  const { a, b } = await pair(t)
  const release = Promise.withResolvers<void>()
  b.mesh.onRequest('echo', async (from, payload) => {
    t.equal(from, a.mesh.id)
    if (text(payload) === 'slow') await release.promise
    return bytes(`${text(payload)}!`)
  })
  await Promise.all([a.mesh.start(), b.mesh.start()])
  await a.mesh.dial(b.mesh.advertise)
  const ask = async (word: string) =>
    text(await a.mesh.request(b.mesh.id, 'echo', bytes(word), { timeoutMs: 5_000 }))
  const slow = ask('slow')
  t.same(await Promise.all(['x', 'y', 'z'].map(ask)), ['x!', 'y!', 'z!'])
  release.resolve()
  t.equal(await slow, 'slow!')
})

t.test('the ways a request fails have their own codes', async (t) => {
  const { a, b } = await pair(t, { frameBytesMax: 1_000 })
  let cancelled = 0
  let waiting = 0
  b.mesh.onRequest('work', async (_from, payload, signal) => {
    if (text(payload) === 'throw') throw new Error('no such thing')
    if (text(payload) === 'big') return new Uint8Array(1_001)
    waiting += 1
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    cancelled += 1
    return payload
  })
  await Promise.all([a.mesh.start(), b.mesh.start()])
  const ask = (word: string, options = {}) =>
    a.mesh.request(b.mesh.id, 'work', bytes(word), { timeoutMs: 5_000, ...options })
  await t.rejects(ask('x'), { code: 'MSH_UNREACHABLE', message: 'address is not known' })
  await a.mesh.dial(b.mesh.advertise)
  await t.rejects(ask('throw'), { code: 'MSH_REMOTE', message: 'no such thing' })
  await t.rejects(ask('big'), { code: 'MSH_REMOTE', message: 'limit is 1000' })
  await t.rejects(ask('x'.repeat(1_001)), { code: 'MSH_TOO_LARGE', message: /1001 bytes, the limit is 1000/ })
  await t.rejects(ask('wait', { timeoutMs: 30 }), { code: 'MSH_TIMEOUT' })
  await until(() => cancelled === 1)
  const controller = new AbortController()
  const aborted = ask('wait', { signal: controller.signal })
  await until(() => waiting === 2)
  controller.abort(new Error('changed my mind'))
  await t.rejects(aborted, { message: 'changed my mind' })
  await until(() => cancelled === 2)
  const lost = ask('wait')
  await until(() => waiting === 3)
  await Promise.all([t.rejects(lost, { code: 'MSH_CLOSED' }), b.mesh.stop()])
  a.mesh.setAddress(b.mesh.id, b.mesh.advertise)
  await t.rejects(ask('x'), { code: 'MSH_UNREACHABLE' })
})

t.test('a channel nobody serves is a clear error and does no harm', async (t) => {
  const { a, b } = await pair(t)
  b.mesh.onMessage('known', () => {})
  await Promise.all([a.mesh.start(), b.mesh.start()])
  await a.mesh.dial(b.mesh.advertise)
  const options = { timeoutMs: 2_000 }
  await t.rejects(a.mesh.request(b.mesh.id, 'unknown', bytes('x'), options), { code: 'MSH_UNREACHABLE' })
  await t.rejects(a.mesh.request(b.mesh.id, 'known', bytes('x'), options), { code: 'MSH_REMOTE' })
  t.same(a.mesh.connected(), [b.mesh.id])
})

t.test('a handler that throws is logged and the next message arrives', async (t) => {
  const { a, b } = await pair(t)
  const got: string[] = []
  b.mesh.onMessage('x', (_from, payload) => {
    got.push(text(payload))
    if (got.length === 1) throw new Error('handler bug')
  })
  await Promise.all([a.mesh.start(), b.mesh.start()])
  await a.mesh.dial(b.mesh.advertise)
  a.mesh.send(b.mesh.id, 'x', bytes('1'))
  a.mesh.send(b.mesh.id, 'x', bytes('2'))
  await until(() => got.length === 2)
  t.ok(b.lines.some((line) => line.level === 50 && line.msg.includes('handler of a message failed')))
})

t.test('a message over the limit is dropped with a clear line', async (t) => {
  const { a, b } = await pair(t, { frameBytesMax: 1_000 })
  b.mesh.onMessage('x', () => {})
  await Promise.all([a.mesh.start(), b.mesh.start()])
  await a.mesh.dial(b.mesh.advertise)
  t.notOk(a.mesh.send(b.mesh.id, 'x', new Uint8Array(1_001)))
  t.ok(a.lines.some((line) => line.msg.includes('1001 bytes and was dropped, the limit is 1000')))
  t.equal(await metric(a.metrics, 'constellation_mesh_dropped_frames_total', { reason: 'too_large' }), 1)
})

t.test('a peer that sends more than the limit loses its stream, not the node', async (t) => {
  const base = t.testdir()
  const a = await makeNode(t, base)
  const b = await makeNode(t, base, { limits: { frameBytesMax: 1_000 } })
  const got: number[] = []
  b.mesh.onMessage('x', (_from, payload) => got.push(payload.length))
  await Promise.all([a.mesh.start(), b.mesh.start()])
  await a.mesh.dial(b.mesh.advertise)
  a.mesh.send(b.mesh.id, 'x', new Uint8Array(5_000))
  await until(() => b.lines.some((line) => JSON.stringify(line).includes('5000 bytes, the limit is 1000')))
  await until(() => {
    a.mesh.send(b.mesh.id, 'x', new Uint8Array(10))
    return got.includes(10)
  })
})

t.test('what was queued when a stream broke goes on the next one', async (t) => {
  const base = t.testdir()
  const a = await makeNode(t, base)
  const b = await makeNode(t, base, { limits: { frameBytesMax: 1_000 } })
  const got: number[] = []
  b.mesh.onMessage('x', (_from, payload) => got.push(payload[0] ?? -1))
  await Promise.all([a.mesh.start(), b.mesh.start()])
  await a.mesh.dial(b.mesh.advertise)
  // More than the stream takes at once, and more than b accepts: it ends the stream while the others wait.
  a.mesh.send(b.mesh.id, 'x', new Uint8Array(1024 * 1024))
  for (let i = 0; i < 10; i += 1) t.ok(a.mesh.send(b.mesh.id, 'x', Uint8Array.of(i)))
  await until(
    () => got.length === 10,
    () => got,
  )
  t.same(got, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
})

t.test('a full queue drops and counts', async (t) => {
  const { a, b } = await pair(t, { queueFramesMax: 10 })
  const got: number[] = []
  b.mesh.onMessage('x', (_from, payload) => got.push(payload[0] ?? -1))
  await Promise.all([a.mesh.start(), b.mesh.start()])
  await a.mesh.dial(b.mesh.advertise)
  const accepted = Array.from({ length: 25 }, (_, i) => a.mesh.send(b.mesh.id, 'x', Uint8Array.of(i)))
  t.equal(accepted.filter(Boolean).length, 10)
  t.equal(await metric(a.metrics, 'constellation_mesh_dropped_frames_total', { reason: 'queue_full' }), 15)
  await until(() => got.length === 10)
  t.same(got, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
})

t.test('dialling says what is wrong', async (t) => {
  // A resolver may take its time to say no.
  const { a } = await pair(t, { dialTimeoutMs: 60_000 })
  await t.rejects(a.mesh.dial('127.0.0.1:1'), { code: 'MSH_STOPPED' })
  await a.mesh.start()
  await t.rejects(a.mesh.dial(a.mesh.advertise), {
    code: 'MSH_SELF',
    message: /that is this node itself$/,
  })
  const started = runsMs()
  await t.rejects(a.mesh.dial('127.0.0.1:1'), { code: 'MSH_UNREACHABLE', message: 'connection refused' })
  t.ok(runsMs() - started < 1_000, 'a refused dial rejects quickly')
  await t.rejects(a.mesh.dial('nonsense'), { code: 'MSH_UNREACHABLE', message: 'host:port' })
  await t.rejects(a.mesh.dial('no-such-host.invalid:1'), {
    code: 'MSH_UNREACHABLE',
    message: 'cannot be resolved',
  })
  t.same(a.mesh.connected(), [])
})

t.test('a dial ends with its signal and with its time', async (t) => {
  const silent = createServer()
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.teardown(() => silent.close())
  const sockets = new Set<{ destroy(): void }>()
  silent.on('connection', (socket) => sockets.add(socket.on('error', () => {})))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  const address = `127.0.0.1:${(silent.address() as { port: number }).port}`
  const { a } = await pair(t, { dialTimeoutMs: 100 })
  await a.mesh.start()
  await t.rejects(a.mesh.dial(address), { code: 'MSH_UNREACHABLE', message: 'no answer within 100 ms' })
  await t.rejects(a.mesh.dial(address, AbortSignal.timeout(10)), {
    code: 'MSH_UNREACHABLE',
    message: 'given up',
  })
})

t.test('a dial to a peer that has answered goes on beyond its time: the peer is busy', async (t) => {
  const heldMs = 1_600
  const { a, b } = await pair(t, { dialTimeoutMs: 1_500 })
  await Promise.all([a.mesh.start(), b.mesh.start()])
  const { port } = new URL(`tcp://${b.mesh.advertise}`)
  const began = performance.now()
  // The first thing b says arrives at once, all else late: nothing is lost.
  const slow = createServer((near) => {
    const far = connect(Number(port), '127.0.0.1')
    near.on('data', (data) => far.write(data))
    far.once('data', (answer) => {
      near.write(answer)
      let last = sleep(Math.max(0, began + heldMs - performance.now()))
      far.on('data', (data) => {
        last = last.then(() => void near.write(data))
      })
    })
    for (const socket of [near, far]) {
      t.teardown(() => socket.destroy())
      socket.on('error', () => {})
    }
  })
  await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve))
  t.teardown(() => slow.close())
  const address = `127.0.0.1:${(slow.address() as AddressInfo).port}`
  t.equal(await a.mesh.dial(address), b.mesh.id)
  t.ok(performance.now() - began > 1_500, 'or this test shows nothing')
})

t.test('only a refused connection counts as proof that nobody listens', async (t) => {
  const { a } = await pair(t)
  await a.mesh.start()
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const outcome = () => a.mesh.dial(address).then(String, (error: Error) => error.name)
  t.not(await outcome(), 'NobodyListensError', 'somebody listens, and hangs up')
  await new Promise((resolve) => server.close(resolve))
  t.equal(await outcome(), 'NobodyListensError')
})

t.test('another node at a known address is not taken for the one expected there', async (t) => {
  const { base, a, b } = await pair(t)
  const c = await makeNode(t, base)
  await Promise.all([a.mesh.start(), b.mesh.start(), c.mesh.start()])
  a.mesh.setAddress(b.mesh.id, c.mesh.advertise)
  const asked = a.mesh.request(b.mesh.id, 'x', bytes('x'), { timeoutMs: 2_000 })
  await t.rejects(asked, { code: 'MSH_UNREACHABLE', message: 'another node answers there' })
  t.same(a.mesh.connected(), [])
})

t.test('a dead peer is not dialled for every message, and reached as soon as it comes', async (t) => {
  const base = t.testdir()
  const now = performance.now()
  // The pause after a failed dial does not end meanwhile.
  const a = await makeNode(t, base, {}, 'info', () => now)
  const b = await makeNode(t, base)
  const got: string[] = []
  b.mesh.onMessage('x', (_from, payload) => got.push(text(payload)))
  await a.mesh.start()
  a.mesh.setAddress(b.mesh.id, '127.0.0.1:1')
  const failed = () => metric(a.metrics, 'constellation_mesh_dials_total', { result: 'failed' })
  t.ok(a.mesh.send(b.mesh.id, 'x', bytes('1')), 'waits for the dial')
  await until(async () => (await failed()) === 1)
  await until(() => !a.mesh.send(b.mesh.id, 'x', bytes('2')))
  t.notOk(a.mesh.send(b.mesh.id, 'y', bytes('3')), 'the pause holds for every channel')
  await t.rejects(a.mesh.request(b.mesh.id, 'x', bytes('x'), { timeoutMs: 100 }), {
    code: 'MSH_UNREACHABLE',
    message: 'next attempt in',
  })
  t.equal(await failed(), 1)
  await b.mesh.start()
  await b.mesh.dial(a.mesh.advertise)
  await until(() => a.mesh.connected().length === 1)
  t.ok(a.mesh.send(b.mesh.id, 'x', bytes('4')))
  await until(() => got.length > 0)
  t.same(got, ['4'])
})

t.test('a busy port is named', async (t) => {
  const { base, a } = await pair(t)
  await a.mesh.start()
  const port = Number(a.mesh.advertise.split(':')[1])
  const late = await makeNode(t, base, { listen: { host: '127.0.0.1', port } })
  await t.rejects(late.mesh.start(), { code: 'MSH_LISTEN', message: `127.0.0.1:${port}: the port is used` })
  await a.mesh.stop()
  await late.mesh.start()
  t.equal(late.mesh.advertise, `127.0.0.1:${port}`)
})

t.test('without a cluster key nothing listens and nothing is dialled', async (t) => {
  const base = t.testdir()
  const alone = await makeNode(t, base, { keys: [], listen: { host: '127.0.0.1', port: 27_946 } })
  await alone.mesh.start()
  t.equal(alone.mesh.advertise, '127.0.0.1:27946')
  await t.rejects(alone.mesh.dial('127.0.0.1:1'), { code: 'MSH_NO_KEY', message: 'cluster.key_file' })
  const probe = await makeNode(t, base)
  await probe.mesh.start()
  await t.rejects(probe.mesh.dial('127.0.0.1:27946'), { message: 'connection refused' })
  t.notOk(alone.mesh.send(probe.mesh.id, 'x', bytes('x')))
  await alone.mesh.publish('t', bytes('x'))
  await alone.mesh.stop()
})

t.test('a second handler of one kind is refused', async (t) => {
  const { a } = await pair(t)
  a.mesh.onMessage('x', () => {})
  a.mesh.onRequest('x', async (_from, payload) => payload)
  t.throws(() => a.mesh.onMessage('x', () => {}), { message: 'channel x' })
})

t.test('start and stop may be called twice, and a node starts again', async (t) => {
  const { a, b } = await pair(t)
  b.mesh.onRequest('echo', async (_from, payload) => payload)
  await Promise.all([a.mesh.start(), a.mesh.start(), b.mesh.start()])
  await Promise.all([b.mesh.stop(), b.mesh.stop()])
  await b.mesh.start()
  await a.mesh.dial(b.mesh.advertise)
  t.equal(text(await a.mesh.request(b.mesh.id, 'echo', bytes('x'), { timeoutMs: 20_000 })), 'x')
})
