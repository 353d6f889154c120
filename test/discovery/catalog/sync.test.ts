import { join } from 'node:path'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { encodeDelta, encodeMessage } from '../../../discovery/catalog/codec.ts'
import { diffRecords } from '../../../discovery/catalog/delta.ts'
import { GossipCatalog } from '../../../discovery/catalog/gossip-catalog.ts'
import { SwimMembership } from '../../../discovery/membership/swim-membership.ts'
import { type FakeMesh, FakeNetwork, until } from '../fake-mesh.ts'
import { tempDir } from '../temp-dir.ts'
import { check, FakeMembership, record, service } from './fixtures.ts'

const log = pino({ level: 'silent' })

interface Node {
  readonly mesh: FakeMesh
  readonly membership: FakeMembership
  readonly catalog: GossipCatalog
  readonly metrics: Registry
}

interface NodeOptions {
  readonly incarnation?: number
  readonly hasSeeds?: boolean
  readonly intervalMs?: number
  readonly others?: readonly string[]
}

async function node(
  t: Test,
  net: FakeNetwork,
  dir: string,
  id: string,
  options: NodeOptions = {},
): Promise<Node> {
  const mesh = net.add(id)
  const membership = new FakeMembership(id, options)
  for (const other of options.others ?? []) membership.set(other)
  const metrics = new Registry()
  const catalog = new GossipCatalog(
    {
      name: id,
      address: mesh.advertise,
      meta: {},
      dataDir: join(dir, id),
      intervalMs: options.intervalMs ?? 50,
    },
    { mesh, membership, log, metrics },
  )
  await mesh.start()
  await catalog.start()
  t.teardown(() => catalog.stop())
  return { mesh, membership, catalog, metrics }
}

/** Nodes that know each other and are connected. */
async function cluster(
  t: Test,
  net: FakeNetwork,
  ids: readonly string[],
  options: NodeOptions = {},
): Promise<Node[]> {
  const dir = tempDir(t)
  const nodes: Node[] = []
  for (const id of ids) nodes.push(await node(t, net, dir, id, { ...options, others: ids }))
  for (const { mesh } of nodes) {
    for (const id of ids) if (id > mesh.id) await mesh.dial(`${id}:7946`)
  }
  await until('synced', () => nodes.every((n) => n.catalog.store.synced))
  return nodes
}

const sees = (n: Node, name: string) =>
  n.catalog.store.instances(name).map((i) => `${i.node.record.name} ${i.service.id} ${i.status}`)

const rejected = async (n: Node, reason: string) => {
  const text = await n.metrics.metrics()
  return Number(new RegExp(`rejected_total\\{reason="${reason}"\\} (\\d+)`).exec(text)?.[1] ?? 0)
}

t.test('a registration reaches everybody by gossip alone', async (t) => {
  const net = new FakeNetwork()
  const [a, b, c] = (await cluster(t, net, ['a', 'b', 'c'], { intervalMs: 60_000 })) as [Node, Node, Node]
  const requests = net.requests.length
  a.catalog.local.putService(service('web-1'))
  a.catalog.local.putCheck(check('c', 'web-1'))
  t.same(sees(a, 'web'), ['a web-1 passing'], 'at once where it was made')
  for (const n of [b, c]) await until('there', () => sees(n, 'web').length === 1)
  t.equal(b.catalog.store.held('a')?.version.sequence, 2)
  t.match(await b.metrics.metrics(), /deltas_applied_total 1/, 'the changes of one turn are one step')
  a.catalog.local.removeService('web-1')
  for (const n of [b, c]) await until('gone', () => sees(n, 'web').length === 0)
  t.equal(net.requests.length, requests, 'nothing was fetched')
})

t.test('with all gossip lost, anti-entropy repairs', async (t) => {
  const net = new FakeNetwork()
  const [a, b, c] = (await cluster(t, net, ['a', 'b', 'c'])) as [Node, Node, Node]
  net.dropPublish = () => true
  a.catalog.local.putService(service('web-1'))
  b.catalog.local.putService(service('web-2'))
  const all = ['a web-1 passing', 'b web-2 passing']
  for (const n of [a, b, c]) await until('all', () => String(sees(n, 'web')) === String(all), 5000)
  t.equal(new Set([a, b, c].map((n) => n.catalog.store.digest().digest)).size, 1)
  const gauges = [a, b, c].map(async ({ metrics }) =>
    (await metrics.metrics()).match(/^constellation_catalog_digest .*$/m),
  )
  const [[one], ...rest] = (await Promise.all(gauges)) as [[string], ...[string][]]
  t.match(one, /digest [1-9]\d{6,}$/)
  for (const [other] of rest) t.equal(other, one, 'the metric is the same')
})

t.test('a lost step is noticed with the next one and closed by fetching', async (t) => {
  const net = new FakeNetwork()
  const [a, b] = (await cluster(t, net, ['a', 'b'], { intervalMs: 60_000 })) as [Node, Node]
  net.dropPublish = () => true
  a.catalog.local.putService(service('web-1'))
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  net.dropPublish = () => false
  a.catalog.local.putService(service('web-2'))
  await until('both', () => sees(b, 'web').length === 2)
  t.ok(net.requests.some((r) => r.from === 'b' && r.to === 'a' && r.channel === 'catalog'))
})

t.test('a large change is announced and fetched', async (t) => {
  const net = new FakeNetwork()
  const [a, b] = (await cluster(t, net, ['a', 'b'], { intervalMs: 60_000 })) as [Node, Node]
  for (let i = 0; i < 700; i++) a.catalog.local.putService(service(`web-${i}`))
  await until('all', () => sees(b, 'web').length === 700)
})

t.test('records of others are relayed where the owner cannot be reached', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const ids = ['a', 'b', 'c']
  const [a, b, c] = [
    await node(t, net, dir, 'a', { others: ids }),
    await node(t, net, dir, 'b', { others: ids }),
    await node(t, net, dir, 'c', { others: ids }),
  ]
  net.cut('a', 'c')
  await a.mesh.dial('b:7946')
  await c.mesh.dial('b:7946')
  a.catalog.local.putService(service('web-1'))
  await until('relayed', () => sees(c, 'web').length === 1)
  t.equal(sees(b, 'web').length, 1)
})

t.test('a restart with a higher incarnation wins, an older record does not come back', async (t) => {
  const net = new FakeNetwork()
  const [a, b] = (await cluster(t, net, ['a', 'b'])) as [Node, Node]
  for (let i = 0; i < 5; i++) a.catalog.local.putService(service('old-1', { port: i }))
  await until('there', () => b.catalog.store.instances('old').length === 1)
  await a.catalog.stop()
  await a.mesh.stop()
  const again = await node(t, net, tempDir(t), 'a', { incarnation: 2, others: ['b'] })
  again.catalog.local.putService(service('new-1'))
  await again.mesh.dial('b:7946')
  await until('new', () => sees(b, 'new').length === 1 && sees(b, 'old').length === 0)
  t.same(sees(again, 'old'), [], 'its own record is its own')
})

t.test('a node that forgot its incarnation goes beyond what others remember', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const a = await node(t, net, dir, 'a', { incarnation: 1, others: ['b'] })
  const b = await node(t, net, dir, 'b', { others: ['a'] })
  b.catalog.store.put(
    record('a', 7, [service('ghost-1')], [], { version: { incarnation: 9, sequence: 7 } }),
    0,
  )
  a.catalog.local.putService(service('web-1'))
  await a.mesh.dial('b:7946')
  await until('its own word counts', () => sees(b, 'web').length === 1 && sees(b, 'ghost').length === 0)
  t.equal(a.catalog.local.record().version.incarnation, 10)
})

t.test('steps that are old, forged or garbage change nothing and are counted', async (t) => {
  const net = new FakeNetwork()
  const [a, b] = (await cluster(t, net, ['a', 'b'], { intervalMs: 60_000 })) as [Node, Node]
  a.catalog.local.putService(service('web-1'))
  await until('there', () => sees(b, 'web').length === 1)
  const index = b.catalog.store.index

  const old = encodeDelta(diffRecords(record('a', 0), record('a', 1, [service('evil-1')])))
  await a.mesh.publish('catalog', old)
  const forged = encodeDelta(diffRecords(record('b', 0), record('b', 99, [service('evil-1')])))
  await a.mesh.publish('catalog', forged)
  const other = encodeDelta(diffRecords(record('x', 0), record('x', 99, [service('evil-1')])))
  await a.mesh.publish('catalog', other)
  await a.mesh.publish('catalog', Buffer.from('{"format":1,"type":"delta","body":"{}"}'))
  const bad = { ...diffRecords(record('a', 1), record('a', 2)), checks: [check('c', 'nobody')] }
  await a.mesh.publish('catalog', encodeDelta(bad))
  for (const turn of [1, 2, 3]) await new Promise((resolve) => setTimeout(resolve, turn))
  t.equal(await rejected(b, 'stale'), 1)
  t.equal(await rejected(b, 'forged'), 2)
  t.equal(await rejected(b, 'garbage'), 1)
  t.equal(await rejected(b, 'inconsistent'), 1)
  t.same(sees(b, 'evil'), [])
  t.equal(b.catalog.store.index, index)
  t.equal(b.catalog.store.held('x'), undefined)
  const answer = await a.mesh.request('b', 'catalog', Buffer.from([0xff]), { timeoutMs: 500 })
  t.match(JSON.parse(Buffer.from(answer).toString()), { type: 'error' }, 'a bad request is answered')
})

t.test('nobody else writes the record of this node', async (t) => {
  const net = new FakeNetwork()
  const [a] = (await cluster(t, net, ['a', 'b'], { intervalMs: 60_000 })) as [Node, Node]
  const evil = net.add('evil')
  evil.onRequest('catalog', async () => {
    const lie = record('a', 50, [service('evil-1')], [], { version: { incarnation: 1, sequence: 50 } })
    return encodeMessage({ type: 'records', records: [lie] })
  })
  await evil.start()
  await evil.dial('a:7946')
  const digest = encodeMessage({ type: 'digest', entries: [{ id: 'z', incarnation: 1, sequence: 1 }] })
  await evil.request('a', 'catalog', digest, { timeoutMs: 500 })
  await until('it was asked', () => net.requests.some((r) => r.from === 'a' && r.to === 'evil'))
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.same(sees(a, 'evil'), [])
})

t.test('synced: alone without seeds at once, otherwise after the first exchange', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const alone = await node(t, net, dir, 'a')
  t.ok(alone.catalog.store.synced)
  const seeking = await node(t, net, dir, 'b', { hasSeeds: true })
  t.notOk(seeking.catalog.store.synced)
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.notOk(seeking.catalog.store.synced)
  await seeking.mesh.dial('a:7946')
  await until('synced', () => seeking.catalog.store.synced)
  const knows = await node(t, net, dir, 'c', { others: ['a'] })
  t.notOk(knows.catalog.store.synced, 'a member is known, so there is something to learn')
})

t.test(
  'with the real membership: a killed node turns critical, a left one goes, a restarted one returns',
  async (t) => {
    const net = new FakeNetwork()
    const dir = tempDir(t)
    const timings = {
      evidenceTimeoutMs: 60,
      redialMs: 20,
      gossipIntervalMs: 20,
      failedRedialMs: 100,
      dialBackoffMinMs: 20,
    }
    const start = async (id: string, seeds: string[]) => {
      const mesh = net.add(id)
      const membership = new SwimMembership(
        { name: id, meta: {}, dataDir: join(dir, id), join: seeds, timings },
        { mesh, log },
      )
      const catalog = new GossipCatalog(
        { name: id, address: mesh.advertise, meta: {}, dataDir: join(dir, id), intervalMs: 50 },
        { mesh, membership, log },
      )
      await mesh.start()
      await membership.start()
      await catalog.start()
      const stop = async () => {
        await catalog.stop()
        await membership.stop()
        await mesh.stop()
      }
      t.teardown(stop)
      return { mesh, membership, catalog, metrics: new Registry(), stop }
    }
    const a = await start('a', [])
    const b = await start('b', ['a:7946'])
    const view = () =>
      a.catalog.store.instances('web').map((i) => `${i.node.record.name} ${i.service.id} ${i.status}`)
    b.catalog.local.putService(service('web-1'))
    b.catalog.local.putCheck(check('c', 'web-1'))
    await until('registered', () => String(view()) === 'b web-1 passing', 5000, view)
    await b.stop()
    await until('critical', () => String(view()) === 'b web-1 critical', 5000, view)
    t.equal(a.catalog.store.node('b')?.alive, false)
    const again = await start('b', [])
    await until('back, its check not run yet', () => a.catalog.store.node('b')?.alive === true, 5000, view)
    await until(
      'the placeholder decides',
      () => a.catalog.store.instances('web')[0]?.checks[1]?.status === 'critical',
      5000,
      view,
    )
    again.catalog.local.putCheck(check('c', 'web-1'))
    await until('passing', () => String(view()) === 'b web-1 passing', 5000, view)
    await again.membership.leave()
    await until('gone', () => view().length === 0 && a.catalog.store.node('b') === undefined)
  },
)
