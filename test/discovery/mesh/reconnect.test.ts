import { spawn } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { runsMs } from '../../held-up.ts'
import { bytes, KEY, makeNode, metric, type TestScope, text, until } from './cluster.ts'

t.test('a peer that stops is disconnected at once, and its own node reports nobody dead', async (t) => {
  const base = t.testdir()
  const a = await makeNode(t, base)
  const b = await makeNode(t, base)
  await Promise.all([a.mesh.start(), b.mesh.start()])
  await a.mesh.dial(b.mesh.advertise)
  await until(() => b.events.length === 1)
  await b.mesh.stop()
  await until(
    () => a.events.length === 2,
    () => a.events,
    1_000,
  )
  t.match(a.events[1], { type: 'disconnected', peer: b.mesh.id })
  t.same(a.mesh.connected(), [])
  t.same(
    b.events.map((event) => event.type),
    ['connected'],
  )
})

t.test('the last message of a node that stops arrives', async (t) => {
  const base = t.testdir()
  const a = await makeNode(t, base)
  const b = await makeNode(t, base)
  const got: number[] = []
  a.mesh.onMessage('x', (_from, payload) => got.push(payload.length))
  await Promise.all([a.mesh.start(), b.mesh.start()])
  await b.mesh.dial(a.mesh.advertise)
  b.mesh.send(a.mesh.id, 'x', bytes('1'))
  await until(() => got.length === 1)
  for (let i = 0; i < 20; i += 1) b.mesh.send(a.mesh.id, 'x', new Uint8Array(1_000))
  await b.mesh.stop()
  await until(
    () => got.length === 21,
    () => got.length,
    2_000,
  )
})

t.test('after a restart on the same port messages flow again without any help', async (t) => {
  const base = t.testdir()
  const a = await makeNode(t, base)
  const first = await makeNode(t, base, { dataDir: join(base, 'b') })
  const got: string[] = []
  first.mesh.onMessage('x', (_from, payload) => got.push(text(payload)))
  await Promise.all([a.mesh.start(), first.mesh.start()])
  const port = Number(first.mesh.advertise.split(':')[1])
  a.mesh.setAddress(first.mesh.id, first.mesh.advertise)
  await until(() => {
    a.mesh.send(first.mesh.id, 'x', bytes('before'))
    return got.includes('before')
  })
  await first.mesh.stop()
  await until(() => a.mesh.connected().length === 0)
  const second = await makeNode(t, base, { dataDir: join(base, 'b'), listen: { host: '127.0.0.1', port } })
  second.mesh.onMessage('x', (_from, payload) => got.push(text(payload)))
  await second.mesh.start()
  t.equal(second.mesh.id, first.mesh.id)
  await until(() => {
    a.mesh.send(first.mesh.id, 'x', bytes('after'))
    return got.includes('after')
  })
})

t.test('nodes that dial each other at the same moment lose nothing', async (t) => {
  const base = t.testdir()
  for (let round = 0; round < 5; round += 1) {
    const a = await makeNode(t, base)
    const b = await makeNode(t, base)
    const got = { a: 0, b: 0 }
    a.mesh.onMessage('x', () => {
      got.a += 1
    })
    b.mesh.onMessage('x', () => {
      got.b += 1
    })
    await Promise.all([a.mesh.start(), b.mesh.start()])
    a.mesh.setAddress(b.mesh.id, b.mesh.advertise)
    b.mesh.setAddress(a.mesh.id, a.mesh.advertise)
    for (let i = 0; i < 50; i += 1) {
      t.ok(a.mesh.send(b.mesh.id, 'x', bytes('x')) && b.mesh.send(a.mesh.id, 'x', bytes('x')))
    }
    await until(
      () => got.a === 50 && got.b === 50,
      () => got,
    )
    t.same(
      [...a.events, ...b.events].map((event) => event.type),
      ['connected', 'connected'],
    )
    await Promise.all([a.mesh.stop(), b.mesh.stop()])
  }
})

t.test('a forgotten peer is disconnected and not dialled again', async (t) => {
  const base = t.testdir()
  const a = await makeNode(t, base)
  const b = await makeNode(t, base)
  b.mesh.onMessage('x', () => {})
  await Promise.all([a.mesh.start(), b.mesh.start()])
  a.mesh.setAddress(b.mesh.id, b.mesh.advertise)
  a.mesh.send(b.mesh.id, 'x', bytes('x'))
  await until(() => a.mesh.connected().length === 1)
  a.mesh.forget(b.mesh.id)
  await until(() => a.events.length === 2 && b.events.length === 2)
  t.notOk(a.mesh.send(b.mesh.id, 'x', bytes('x')))
})

/** Starts a node in a process of its own. */
async function spawnMember(t: TestScope, base: string) {
  const args = [
    join(import.meta.dirname, 'member.ts'),
    join(base, 'child'),
    Buffer.from(KEY).toString('base64'),
  ]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const address = await new Promise<string>((resolve) => {
    child.stdout.once('data', (data) => resolve(String(data).trim()))
  })
  return { child, address }
}

t.test('a process that is killed is disconnected within 100 ms', async (t) => {
  const base = t.testdir()
  const a = await makeNode(t, base)
  await a.mesh.start()
  const { child, address } = await spawnMember(t, base)
  const peer = await a.mesh.dial(address)
  t.equal(text(await a.mesh.request(peer, 'echo', bytes('x'), { timeoutMs: 20_000 })), 'x')
  const exited = new Promise<number>((resolve) => child.once('exit', () => resolve(runsMs())))
  const gone = new Promise<number>((resolve) => {
    a.mesh.onPeer((event) => {
      if (event.type === 'disconnected') resolve(runsMs())
    })
  })
  const asked = a.mesh.request(peer, 'nobody', bytes('x'), { timeoutMs: 2_000 }).catch((error) => error.code)
  child.kill('SIGKILL')
  t.ok((await gone) - (await exited) < 100)
  t.ok(['MSH_UNREACHABLE', 'MSH_CLOSED'].includes(await asked))
})

t.test('a process that hangs is found out by its silence, and comes back when it goes on', async (t) => {
  const base = t.testdir()
  const a = await makeNode(t, base, { limits: { keepAliveMs: 50 } })
  await a.mesh.start()
  const { child, address } = await spawnMember(t, base)
  const peer = await a.mesh.dial(address)
  a.mesh.setAddress(peer, address)
  const ask = () => a.mesh.request(peer, 'echo', bytes('x'), { timeoutMs: 500 }).catch((error) => error)
  await until(async () => (await ask()) instanceof Uint8Array)
  child.kill('SIGSTOP')
  await until(
    () => a.mesh.connected().length === 0,
    () => a.events,
    5_000,
  )
  child.kill('SIGCONT')
  await until(async () => (await ask()) instanceof Uint8Array)
})

t.test('an idle connection is kept', async (t) => {
  const base = t.testdir()
  const limits = { keepAliveMs: 10 }
  const a = await makeNode(t, base, { limits })
  const b = await makeNode(t, base, { limits })
  b.mesh.onMessage('x', () => {})
  await Promise.all([a.mesh.start(), b.mesh.start()])
  await a.mesh.dial(b.mesh.advertise)
  a.mesh.send(b.mesh.id, 'x', bytes('x'))
  // The message and then nothing but questions and answers.
  const heard = () => metric(a.metrics, 'constellation_mesh_frames_total', { direction: 'in' })
  await until(async () => (await heard()) >= 10)
  t.same(
    a.events.map((event) => event.type),
    ['connected'],
  )
  t.equal(await metric(a.metrics, 'constellation_mesh_connections'), 1)
})
