import t, { type Test } from 'tap'
import { SwimMembership } from '../../../discovery/membership/swim-membership.ts'
import { PARTING_CHANNEL } from '../../../discovery/mesh/parting.ts'
import { heldUpMs } from '../../held-up.ts'
import { tempDir } from '../temp-dir.ts'
import { bytes, capturedLog, makeNode, metric, type TestScope, text, until } from './cluster.ts'

const CONNECTIONS_MAX = 4
const ON_DEMAND_MAX = 16
const NODES = 12
const LIMITS = { connectionsMax: CONNECTIONS_MAX, onDemandMax: ON_DEMAND_MAX, idleMs: 1_000 }

/** A node with mesh and membership, as the agent wires them, in a mesh of at most 4 kept connections. */
async function member(t: TestScope, base: string, index: number, join: readonly string[]) {
  const name = `n${index}`
  const node = await makeNode(t, base, { dataDir: `${base}/${name}`, limits: LIMITS })
  const { mesh } = node
  const membership = new SwimMembership(
    { name, meta: {}, dataDir: `${base}/${name}`, join, timings: { connectionsMax: CONNECTIONS_MAX } },
    { mesh, log: capturedLog('warn').log },
  )
  const suspected: string[] = []
  membership.onChange((each) => {
    if (each.status !== 'alive') suspected.push(`${each.name} ${each.status}`)
  })
  const heard = new Set<string>()
  mesh.subscribe('news', (_from, payload) => heard.add(text(payload)))
  mesh.onRequest('echo', async (_from, payload) => payload)
  t.teardown(async () => {
    await membership.stop()
    await mesh.stop()
  })
  await mesh.start()
  await membership.start()
  const alive = () => membership.members().filter(({ status }) => status === 'alive').length
  return { ...node, name, membership, suspected, heard, alive }
}

type Node = Awaited<ReturnType<typeof member>>

const connections = (node: Node) => metric(node.metrics, 'constellation_mesh_connections')
const onDemand = (node: Node) => metric(node.metrics, 'constellation_mesh_on_demand_connections')

t.test('twelve nodes that keep four connections each', { timeout: 120_000 }, async (t) => {
  const base = tempDir(t)
  const nodes: Node[] = []
  for (let i = 0; i < NODES; i += 1) {
    const seed = nodes[0]?.mesh.advertise
    nodes.push(await member(t, base, i, seed === undefined ? [] : [seed]))
  }
  const state = () =>
    nodes.map(
      (node) =>
        `${node.name}: ${node.alive()} alive, ${node.mesh.connected().length} connected, ${node.suspected}`,
    )
  let most = 0
  for (const node of nodes) {
    node.mesh.onPeer(() => {
      most = Math.max(most, node.mesh.connected().length)
    })
  }
  const heldUpBefore = heldUpMs()
  const nobodySuspected = (t: Test, others: readonly Node[], but = '') => {
    // Nobody answered while the machine let none of them run.
    if (heldUpMs() - heldUpBefore >= 500) return
    const suspected = others.flatMap((node) =>
      node.suspected.filter((each) => but === '' || !each.startsWith(`${but} `)),
    )
    t.same(suspected, [])
  }
  const atRest = async () => {
    for (const node of nodes) if ((await onDemand(node)) > 0) return false
    return true
  }
  await until(() => nodes.every((node) => node.alive() === NODES), state, 30_000)
  const first = nodes[0]
  const killed = nodes[NODES - 1]
  if (first === undefined || killed === undefined) throw new Error('unreachable')

  await t.test('what is not kept closes when it is idle, and nobody is suspected for it', async (t) => {
    await until(atRest, state, 30_000)
    for (const node of nodes) {
      // Those who dialled each other at the same moment have agreed on one.
      await until(async () => (await connections(node)) === CONNECTIONS_MAX, state)
      t.equal(node.mesh.connected().length, CONNECTIONS_MAX)
    }
    nobodySuspected(t, nodes)
  })

  await t.test('gossip reaches everybody', async () => {
    let sent = 0
    await until(
      async () => {
        sent += 1
        await first.mesh.publish('news', bytes('once'))
        return nodes.every((node) => node === first || node.heard.has('once'))
      },
      () => ({ sent, without: nodes.filter((node) => !node.heard.has('once')).map(({ name }) => name) }),
    )
  })

  await t.test(
    'a request reaches a node without a connection, and what was made for it closes',
    async (t) => {
      await until(atRest, state, 30_000)
      const far = nodes.filter((node) => node !== first && !first.mesh.connected().includes(node.mesh.id))
      t.equal(far.length, NODES - 1 - CONNECTIONS_MAX)
      for (const node of far) {
        t.equal(text(await first.mesh.request(node.mesh.id, 'echo', bytes('x'), { timeoutMs: 20_000 })), 'x')
        t.ok(first.mesh.connected().includes(node.mesh.id))
      }
      await until(atRest, state, 30_000)
      t.equal(first.mesh.connected().length, CONNECTIONS_MAX)
      t.ok((await metric(first.metrics, 'constellation_mesh_parted_total')) > 0)
      nobodySuspected(t, nodes)
    },
  )

  await t.test('a node that dies is known to everybody soon', async (t) => {
    const others = nodes.filter((node) => node !== killed)
    const since = performance.now()
    await killed.membership.stop()
    await killed.mesh.stop()
    const knows = (node: Node) => node.membership.get(killed.mesh.id)?.status === 'failed'
    await until(() => others.every(knows), state, 15_000)
    t.comment(`known to all ${others.length} others after ${Math.round(performance.now() - since)} ms`)
    nobodySuspected(t, others, killed.name)
  })
  t.ok(most < NODES, `${most} connected at most`)
  await Promise.all(nodes.map(({ membership }) => membership.stop()))
})

/** One that keeps nobody, and `count` that it may talk to, all with the bounds. */
async function bounded(
  t: TestScope,
  limits: Partial<typeof LIMITS>,
  count: number,
  limitsOfOthers: Partial<typeof LIMITS> = {},
) {
  const base = t.testdir()
  const make = async (options: object) => {
    const node = await makeNode(t, base, options)
    node.mesh.onRequest('echo', async (_from, payload) => payload)
    await node.mesh.start()
    return node
  }
  const one = await make({ limits })
  one.mesh.keep([])
  const others = await Promise.all(Array.from({ length: count }, () => make({ limits: limitsOfOthers })))
  for (const { mesh } of others) {
    mesh.keep([])
    mesh.setAddress(one.mesh.id, one.mesh.advertise)
    one.mesh.setAddress(mesh.id, mesh.advertise)
  }
  return { one, others }
}

t.test('beyond the bound connections are refused from both sides, with the reason', async (t) => {
  const limits = { connectionsMax: 4, onDemandMax: 2, idleMs: 60_000 }
  const { one, others } = await bounded(t, limits, 4)
  const [a, b, c, d] = others.map(({ mesh }) => mesh)
  if (!a || !b || !c || !d) throw new Error('unreachable')
  const options = { timeoutMs: 20_000 }
  for (const mesh of [a, b]) t.equal(text(await mesh.request(one.mesh.id, 'echo', bytes('x'), options)), 'x')
  await t.rejects(c.request(one.mesh.id, 'echo', bytes('x'), options), {
    code: 'MSH_FULL',
    message: /as many connections as it may have \(mesh\.connections_max, mesh\.on_demand_max there\)/,
  })
  await t.rejects(one.mesh.request(d.id, 'echo', bytes('x'), options), {
    code: 'MSH_FULL',
    message:
      /this node has as many connections as it may have \(mesh\.connections_max 4, mesh\.on_demand_max 2\)/,
  })
  const value = (name: string, labels = {}) => metric(one.metrics, `constellation_mesh_${name}`, labels)
  t.equal(await value('connections'), 2)
  t.equal(await value('on_demand_connections'), 2)
  t.equal(await value('refused_peers_total', { reason: 'full' }), 1)
  t.equal(await value('dials_total', { result: 'full' }), 1)
  t.equal(await value('connections_max', { kind: 'on_demand' }), 2)
  one.mesh.keep([c.id])
  t.equal(await value('on_demand_connections'), 2)
  await until(
    async () =>
      text(await c.request(one.mesh.id, 'echo', bytes('x'), options).catch(() => bytes(''))) === 'x',
  )
  t.equal(await value('connections'), 3, 'one that is to be kept has a place of its own')
})

t.test('those that come at the same moment do not exceed the bound together', async (t) => {
  const limits = { connectionsMax: 4, onDemandMax: 3, idleMs: 60_000 }
  const { one, others } = await bounded(t, limits, 8)
  const ask = ({ mesh }: (typeof others)[number]) =>
    mesh.request(one.mesh.id, 'echo', bytes('x'), { timeoutMs: 20_000 }).then(
      () => 'ok',
      (error) => error.code,
    )
  const answers = await Promise.all(others.map(ask))
  t.same(answers.toSorted(), [...Array(5).fill('MSH_FULL'), ...Array(3).fill('ok')])
  t.equal(await metric(one.metrics, 'constellation_mesh_connections'), 3)
})

t.test('an agreed end is told as such, the next one without agreement is not', async (t) => {
  const { one, others } = await bounded(t, { idleMs: 400 }, 1, { idleMs: 400 })
  const [other] = others
  if (other === undefined) throw new Error('unreachable')
  const { mesh, events } = other
  await mesh.request(one.mesh.id, 'echo', bytes('x'), { timeoutMs: 20_000 })
  await until(
    () => events.length === 2,
    () => events,
  )
  t.match(events, [{ type: 'connected' }, { type: 'disconnected', parted: true }])
  await mesh.request(one.mesh.id, 'echo', bytes('x'), { timeoutMs: 20_000 })
  mesh.keep(null)
  await one.mesh.stop()
  await until(
    () => events.length === 4,
    () => events,
  )
  t.notMatch(events[3], { parted: true })
})

t.test('what came up while the other end agreed to part is not lost when that one dials', async (t) => {
  const base = tempDir(t)
  const nodes = [
    // The first one does not ask to part, however long nothing ran.
    await makeNode(t, base, { limits: { idleMs: 60_000 } }),
    await makeNode(t, base, { limits: { idleMs: 2_400 } }),
  ]
  const [a, b] = nodes
  if (a === undefined || b === undefined) throw new Error('unreachable')
  const answer = Promise.withResolvers<Uint8Array>()
  b.mesh.onRequest('slow', () => answer.promise)
  const received: string[] = []
  a.mesh.onMessage('news', (_from, payload) => received.push(text(payload)))
  for (const { mesh } of nodes) {
    mesh.keep([])
    await mesh.start()
  }
  a.mesh.setAddress(b.mesh.id, b.mesh.advertise)
  b.mesh.setAddress(a.mesh.id, a.mesh.advertise)
  await a.mesh.dial(b.mesh.advertise)
  const mayPart = () =>
    a.mesh.request(b.mesh.id, PARTING_CHANNEL, new Uint8Array(0), { timeoutMs: 20_000 }).then(([yes]) => yes)
  await until(async () => (await mayPart()) === 1)

  let failure: unknown
  const slow = a.mesh.request(b.mesh.id, 'slow', bytes('x'), { timeoutMs: 20_000 })
  slow.catch((error: unknown) => {
    failure = error
  })
  t.ok(b.mesh.send(a.mesh.id, 'news', bytes('hello')))
  const counts = (name: string) =>
    Promise.all(nodes.map(({ metrics }) => metric(metrics, `constellation_mesh_${name}`)))
  let last: unknown
  await until(
    async () => {
      last = await counts('surplus_connections')
      return failure !== undefined || (last as number[])[0] === 1
    },
    () => last,
  )
  t.equal(failure, undefined)
  answer.resolve(bytes('ok'))
  t.equal(text(await slow), 'ok')
  await until(
    async () => {
      last = await counts('connections')
      return (last as number[]).every((count) => count === 1)
    },
    () => last,
  )
  t.same(received, ['hello'])
  t.same(
    nodes.flatMap(({ events }) => events.map(({ type }) => type)),
    ['connected', 'connected'],
  )
})
