import { spawn } from 'node:child_process'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { Libp2pMesh } from '../../../discovery/mesh/libp2p-mesh.ts'
import {
  bytes,
  capturedLog,
  KEY,
  type LogLine,
  makeNode,
  metric,
  type TestScope,
  text,
  until,
} from './cluster.ts'

const ERROR = 50

const errors = (node: { readonly lines: readonly LogLine[] }) =>
  node.lines.filter(({ level }) => level >= ERROR).map(({ msg }) => msg)
const refused = (node: Awaited<ReturnType<typeof makeNode>>) =>
  metric(node.metrics, 'constellation_mesh_refused_peers_total', { reason: 'identity_in_use' })

/** Another process of the node whose data is in `dataDir`, as far as the mesh can see: with a clock that can be moved on. */
async function another(t: TestScope, dataDir: string) {
  const { lines, log } = capturedLog()
  const clock = { aheadMs: 0 }
  const mesh = await Libp2pMesh.create(
    { dataDir, clusterName: 'home', keys: [KEY], listen: { host: '127.0.0.1', port: 0 }, advertise: null },
    { log, now: () => performance.now() + clock.aheadMs },
  )
  mesh.onRequest('echo', async (_from, payload) => payload)
  t.teardown(() => mesh.stop())
  await mesh.start()
  return { mesh, lines, clock }
}

/** Two connected nodes, and a copy of the data of the first one. */
async function copied(t: TestScope) {
  const base = t.testdir()
  const first = await makeNode(t, base, { dataDir: join(base, 'first') })
  const member = await makeNode(t, base)
  first.mesh.onRequest('echo', async (_from, payload) => payload)
  await Promise.all([first.mesh.start(), member.mesh.start()])
  await first.mesh.dial(member.mesh.advertise)
  await until(() => member.mesh.connected().length === 1)
  const copy = join(base, 'copy')
  cpSync(join(base, 'first'), copy, { recursive: true })
  return { base, first, member, copy }
}

t.test('a second process with one identity is refused, and everybody is told where both are', async (t) => {
  const { first, member, copy } = await copied(t)
  const twin = await another(t, copy)
  t.equal(twin.mesh.id, first.mesh.id)
  await t.rejects(twin.mesh.dial(member.mesh.advertise), { code: 'MSH_IDENTITY_IN_USE' })
  await t.rejects(member.mesh.dial(twin.mesh.advertise), { code: 'MSH_IDENTITY_IN_USE' })
  t.equal(await refused(member), 2)
  t.same(
    member.events.map(({ type }) => type),
    ['connected'],
  )
  t.equal(text(await member.mesh.request(first.mesh.id, 'echo', bytes('x'), { timeoutMs: 20_000 })), 'x')
  await until(() => errors(first).length > 0)
  for (const [node, addresses] of [
    [member, [first.mesh.advertise, twin.mesh.advertise]],
    [twin, [first.mesh.advertise, member.mesh.advertise]],
    [first, [twin.mesh.advertise]],
  ] as const) {
    const lines = errors(node)
    t.equal(lines.length, 1, lines.join('\n'))
    for (const address of addresses) t.match(lines[0], address)
    t.match(lines[0], first.mesh.id)
    t.match(lines[0], /The data_dir was copied: stop one of the two and empty its data_dir/)
  }

  await first.mesh.stop()
  await until(() => member.mesh.connected().length === 0)
  await t.rejects(twin.mesh.dial(member.mesh.advertise), { code: 'MSH_IDENTITY_IN_USE' }, 'it stands back')
  twin.clock.aheadMs = 15_001
  t.equal(await twin.mesh.dial(member.mesh.advertise), member.mesh.id, 'the first is gone')
  t.equal(text(await member.mesh.request(twin.mesh.id, 'echo', bytes('x'), { timeoutMs: 20_000 })), 'x')
})

t.test('while one member refuses it, it does not get in through another that knows neither', async (t) => {
  const { base, first, member, copy } = await copied(t)
  const twin = await another(t, copy)
  const fresh = await makeNode(t, base)
  await fresh.mesh.start()
  await t.rejects(twin.mesh.dial(member.mesh.advertise), { code: 'MSH_IDENTITY_IN_USE' })
  await t.rejects(twin.mesh.dial(fresh.mesh.advertise), { code: 'MSH_IDENTITY_IN_USE' })
  await t.rejects(fresh.mesh.dial(twin.mesh.advertise), {
    code: 'MSH_IDENTITY_IN_USE',
    message: `its identity was in use at ${first.mesh.advertise} a moment ago`,
  })
  t.same(fresh.events, [])
  t.equal(await first.mesh.dial(fresh.mesh.advertise), fresh.mesh.id)
})

t.test('the two meet', async (t) => {
  const { first, member, copy } = await copied(t)
  const twin = await another(t, copy)
  await t.rejects(first.mesh.dial(first.mesh.advertise), { code: 'MSH_SELF' })
  await t.rejects(first.mesh.dial(twin.mesh.advertise), { code: 'MSH_IDENTITY_IN_USE' })
  await t.rejects(twin.mesh.dial(first.mesh.advertise), { code: 'MSH_IDENTITY_IN_USE' })
  t.match(errors(first)[0], twin.mesh.advertise)
  t.match(errors(twin)[0], first.mesh.advertise)
  t.same(first.mesh.connected(), [member.mesh.id])
})

t.test('a restart takes the place of a process that answers nothing', async (t) => {
  const base = t.testdir()
  const member = await makeNode(t, base)
  await member.mesh.start()
  const program = join(import.meta.dirname, 'member.ts')
  const key = Buffer.from(KEY).toString('base64')
  const dataDir = join(base, 'first')
  const child = spawn(process.execPath, [program, dataDir, key], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const address = await new Promise<string>((resolve) => {
    createInterface(child.stdout).once('line', resolve)
  })
  const id = await member.mesh.dial(address)
  const busy = await another(t, dataDir)
  await t.rejects(busy.mesh.dial(member.mesh.advertise), { code: 'MSH_IDENTITY_IN_USE' })
  await busy.mesh.stop()

  child.kill('SIGSTOP')
  const again = await another(t, dataDir)
  t.equal(await again.mesh.dial(member.mesh.advertise), member.mesh.id)
  t.same(
    member.events.map(({ type }) => type),
    ['connected', 'disconnected', 'connected'],
  )
  t.equal(text(await member.mesh.request(id, 'echo', bytes('x'), { timeoutMs: 20_000 })), 'x')
  t.equal(await metric(member.metrics, 'constellation_mesh_connections'), 1)
  child.kill('SIGCONT')
  await t.rejects(member.mesh.dial(address), { code: 'MSH_IDENTITY_IN_USE' }, 'it comes to itself, too late')
})

t.test('a restart of one that is gone waits for nobody', async (t) => {
  const { first, member, copy } = await copied(t)
  await first.mesh.stop()
  const again = await another(t, copy)
  t.equal(await again.mesh.dial(member.mesh.advertise), member.mesh.id)
  t.equal(await refused(member), 0)
  t.same(errors(member), [])
})
