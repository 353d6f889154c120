import { join } from 'node:path'
import { Registry } from 'prom-client'
import t from 'tap'
import { encodeDelta, encodeMessage, encodeVersion } from '../../../discovery/catalog/codec.ts'
import { GossipCatalog } from '../../../discovery/catalog/gossip-catalog.ts'
import { SwimMembership } from '../../../discovery/membership/swim-membership.ts'
import { FakeNetwork, until } from '../fake-mesh.ts'
import { tempDir } from '../temp-dir.ts'
import { cluster, liar, log, type Node, node, rejected, sees } from './cluster.ts'
import { check, delta, message, record, sealed, service } from './fixtures.ts'

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
  for (const n of [a, b, c]) await until('all', () => String(sees(n, 'web')) === String(all), 20_000)
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
  const a = await node(t, net, dir, 'a', { incarnation: 9, others: ['b'] })
  const b = await node(t, net, dir, 'b', { others: ['a'] })
  await a.mesh.dial('b:7946')
  a.catalog.local.putService(service('ghost-1'))
  await until('there', () => sees(b, 'ghost').length === 1)
  await a.catalog.stop()
  await a.mesh.stop()
  const again = await node(t, net, tempDir(t), 'a', { incarnation: 1, others: ['b'] })
  again.catalog.local.putService(service('web-1'))
  await again.mesh.dial('b:7946')
  await until('its own word counts', () => sees(b, 'web').length === 1 && sees(b, 'ghost').length === 0)
  t.equal(again.catalog.local.record().version.incarnation, 10)
})

t.test('that it lived before is told by its own signature only', async (t) => {
  const net = new FakeNetwork()
  const [a] = (await cluster(t, net, ['a', 'b'], { intervalMs: 60_000 })) as [Node, Node]
  const life = record('a', 7, [], [], { version: { incarnation: 9, sequence: 7 } })
  let asked = 0
  const say = (by: string) => () => {
    asked++
    return encodeMessage({ type: 'same', yours: { stamp: sealed(life, by).stamp, buried: true } })
  }
  const evil = await liar(net, 'evil', say('evil'))
  await evil.dial('a:7946')
  await until('counted', async () => (await rejected(a, 'forged')) === 1)
  t.equal(asked, 1)
  t.equal(a.catalog.local.record().version.incarnation, 1)
  const honest = await liar(net, 'honest', say('a'))
  await honest.dial('a:7946')
  await until('raised', () => a.catalog.local.record().version.incarnation === 10)
})

t.test('that it was forgotten is believed once a minute, whatever is said', async (t) => {
  const net = new FakeNetwork()
  const [a] = (await cluster(t, net, ['a', 'b'], { intervalMs: 60_000 })) as [Node, Node]
  let asked = 0
  const evil = await liar(net, 'evil', () => {
    asked++
    const { stamp } = sealed(a.catalog.local.record())
    return encodeMessage({ type: 'same', yours: { stamp, buried: true } })
  })
  for (const turn of [1, 2, 3, 4]) {
    await evil.dial('a:7946')
    await until('asked', () => asked === turn)
    net.close('evil', 'a')
  }
  await until('raised', () => a.catalog.local.record().version.incarnation > 1)
  t.equal(a.catalog.local.record().version.incarnation, 2)
})

t.test('steps that are old, forged or garbage change nothing and are counted', async (t) => {
  const net = new FakeNetwork()
  const [a, b] = (await cluster(t, net, ['a', 'b'], { intervalMs: 60_000 })) as [Node, Node]
  a.catalog.local.putService(service('web-1'))
  await until('there', () => sees(b, 'web').length === 1)
  const index = b.catalog.store.index
  const requests = net.requests.length
  const evil = [service('evil-1')]

  await a.mesh.publish('catalog', encodeDelta(delta(record('a', 0), record('a', 1, evil))))
  for (const owner of ['b', 'x']) {
    await a.mesh.publish('catalog', encodeDelta(delta(record(owner, 0), record(owner, 99, evil))))
  }
  const unsigned = delta(record('a', 1), record('a', 2, evil), 'b')
  await a.mesh.publish('catalog', encodeDelta(unsigned))
  await a.mesh.publish('catalog', encodeVersion(unsigned.stamp))
  await a.mesh.publish('catalog', Buffer.from('{"format":2,"type":"delta","body":"{}"}'))
  await until('counted', async () => (await rejected(b, 'garbage')) === 1)
  t.equal(await rejected(b, 'stale'), 1)
  t.equal(await rejected(b, 'forged'), 4)
  t.same(sees(b, 'evil'), [])
  t.equal(b.catalog.store.index, index)
  t.equal(b.catalog.store.held('x'), undefined)
  t.equal(net.requests.length, requests, 'and nothing is asked for')
  const answer = await a.mesh.request('b', 'catalog', Buffer.from([0xff]), { timeoutMs: 500 })
  t.match(JSON.parse(Buffer.from(answer).toString()), { type: 'error' }, 'a bad request is answered')
})

t.test('a signed step whose words were changed on the way is not taken: the owner is asked', async (t) => {
  const net = new FakeNetwork()
  const [a, b] = (await cluster(t, net, ['a', 'b'], { intervalMs: 60_000 })) as [Node, Node]
  net.dropPublish = () => true
  a.catalog.local.putService(service('web-1'))
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  net.dropPublish = () => false
  const real = delta(record('a', 0, [], [], { address: 'a' }), a.catalog.local.record())
  const changed = {
    ...real,
    services: [{ entry: service('evil-1'), text: JSON.stringify(service('evil-1')) }],
  }
  await a.mesh.publish('catalog', encodeDelta(changed))
  await until('fetched', () => sees(b, 'web').length === 1)
  t.same(sees(b, 'evil'), [])
  t.equal(await rejected(b, 'diverged'), 1)
})

t.test('a record that others changed, or that another signed, is not taken from anybody', async (t) => {
  const net = new FakeNetwork()
  const [a] = (await cluster(t, net, ['a', 'b'], { intervalMs: 60_000 })) as [Node, Node]
  a.membership.set('x')
  const good = message(record('x', 50, [service('web-1'), service('web-2')]))
  const lies = [
    message(record('x', 50, [service('web-1')]), 'evil'),
    message(record('a', 50, [service('evil-1')])),
    { ...good, services: [...good.services].reverse().slice(1) },
    { ...good, services: [...good.services, JSON.stringify(service('evil-1'))] },
    { ...good, head: good.head.replace('10.0.0.1', '10.6.6.6') },
    { ...good, stamp: { ...good.stamp, sequence: 51 } },
    {
      ...good,
      stamp: { ...good.stamp, digest: good.stamp.digest.replace(/^./, (c) => (c === '0' ? '1' : '0')) },
    },
    { ...good, services: ['{"id":', ...good.services.slice(1)] },
  ]
  let turn = 0
  const evil = await liar(net, 'evil', (asked) => {
    if (asked === 'compare')
      return encodeMessage({ type: 'digest', entries: [{ id: 'x', incarnation: 1, sequence: 50 }] })
    if (asked !== 'fetch') return encodeMessage({ type: 'same' })
    return encodeMessage({ type: 'records', records: [lies[turn++] ?? good] })
  })
  for (let i = 0; i < lies.length; i++) {
    await evil.dial('a:7946')
    await until('asked', () => turn > i)
    await new Promise((resolve) => setTimeout(resolve, 5))
    net.close('evil', 'a')
    t.equal(a.catalog.store.held('x'), undefined, `lie ${i}`)
  }
  t.same(sees(a, 'evil'), [])
  t.equal(await rejected(a, 'forged'), lies.length - 1, 'all but what was said about the asker itself')
  await evil.dial('a:7946')
  await until('the true one is taken, also from a liar', () => sees(a, 'web').length === 2)
})

t.test('a signed record that is too large is refused by name, and not asked for again', async (t) => {
  const net = new FakeNetwork()
  const [a] = (await cluster(t, net, ['a', 'b'], { intervalMs: 60_000 })) as [Node, Node]
  a.membership.set('x')
  const meta = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`k${i}`, 'x'.repeat(500)]))
  const large = record(
    'x',
    3,
    Array.from({ length: 10 }, (_, i) => service(`web-${i}`, { meta })),
  )
  let fetches = 0
  const evil = await liar(net, 'evil', (asked) => {
    if (asked === 'compare')
      return encodeMessage({ type: 'digest', entries: [{ id: 'x', incarnation: 1, sequence: 3 }] })
    if (asked === 'fetch') fetches++
    return encodeMessage(
      asked === 'fetch' ? { type: 'records', records: [message(large)] } : { type: 'same' },
    )
  })
  const before = net.requests.length
  for (let i = 0; i < 3; i++) {
    await evil.dial('a:7946')
    const compared = (n: number) => net.requests.slice(before).filter((r) => r.from === 'a').length >= n
    await until('compared', async () => compared(3 + i) && (await rejected(a, 'too-large')) === 1)
    net.close('evil', 'a')
  }
  t.equal(fetches, 1)
  t.equal(a.catalog.store.held('x'), undefined)
})

t.test('when nothing differs one digest is all that is sent', async (t) => {
  const net = new FakeNetwork()
  const [a, b] = (await cluster(t, net, ['a', 'b'], { intervalMs: 60_000 })) as [Node, Node]
  a.catalog.local.putService(service('web-1'))
  await until('there', () => sees(b, 'web').length === 1)
  const before = net.requests.length
  net.close('a', 'b')
  await a.mesh.dial('b:7946')
  await until('both compared', () => net.requests.length >= before + 2)
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(net.requests.length, before + 2, 'one question each')
})

t.test('a joiner has every record without waiting for its turn to compare', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const a = await node(t, net, dir, 'a', { intervalMs: 60_000 })
  // More than are kept of nodes the membership has not heard of.
  const ids = Array.from({ length: 300 }, (_, i) => `n${i}`)
  for (const id of ids) a.membership.set(id)
  const records = ids.map((id) => message(record(id, 1, [service('web-1')])))
  const entries = ids.map((id) => ({ id, incarnation: 1, sequence: 1 }))
  const source = await liar(net, 'n0', (asked) => {
    if (asked === 'fetch') return encodeMessage({ type: 'records', records })
    return encodeMessage(asked === 'compare' ? { type: 'digest', entries } : { type: 'same' })
  })
  await source.dial('a:7946')
  await until('the one has all', () => sees(a, 'web').length === 300)
  const joiner = await node(t, net, dir, 'z', { intervalMs: 60_000, hasSeeds: true })
  await joiner.mesh.dial('a:7946')
  await until('synced', () => joiner.catalog.store.synced)
  for (const id of ['a', ...ids]) joiner.membership.set(id)
  await until(
    'everything',
    () => sees(joiner, 'web').length === 300,
    20_000,
    () => sees(joiner, 'web').length,
  )
})

t.test('synced: alone without seeds at once, otherwise after the first exchange', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const alone = await node(t, net, dir, 'a')
  t.ok(alone.catalog.store.synced)
  const seeking = await node(t, net, dir, 'b', { hasSeeds: true, intervalMs: 60_000 })
  t.notOk(seeking.catalog.store.synced)
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.notOk(seeking.catalog.store.synced)
  await seeking.mesh.dial('a:7946')
  await until('synced', () => seeking.catalog.store.synced)
  const knows = await node(t, net, dir, 'c', { others: ['a'] })
  t.notOk(knows.catalog.store.synced, 'a member is known, so there is something to learn')
})

t.test('synced: also when nobody was found for a while, or who was there has failed', async (t) => {
  const net = new FakeNetwork()
  const dir = tempDir(t)
  const waits = await node(t, net, dir, 'b', { hasSeeds: true, others: ['a'], intervalMs: 50 })
  const survivor = await node(t, net, dir, 'c', { hasSeeds: true, intervalMs: 150 })
  t.notOk(survivor.catalog.store.synced)
  await until('synced', () => survivor.catalog.store.synced)
  t.notOk(waits.catalog.store.synced, 'in more looks than that, as somebody lives who knows more')
  waits.membership.set('a', { status: 'failed' })
  await until('synced', () => waits.catalog.store.synced)
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
    await until('registered', () => String(view()) === 'b web-1 passing', 20_000, view)
    await b.stop()
    await until('critical', () => String(view()) === 'b web-1 critical', 20_000, view)
    t.equal(a.catalog.store.node('b')?.alive, false)
    const again = await start('b', [])
    await until('back, its check not run yet', () => a.catalog.store.node('b')?.alive === true, 20_000, view)
    await until(
      'the placeholder decides',
      () => a.catalog.store.instances('web')[0]?.checks[1]?.status === 'critical',
      20_000,
      view,
    )
    again.catalog.local.putCheck(check('c', 'web-1'))
    await until('passing', () => String(view()) === 'b web-1 passing', 20_000, view)
    await again.membership.leave()
    await until('gone', () => view().length === 0 && a.catalog.store.node('b') === undefined)
  },
)

t.test('whoever is compared with has a connection that is kept', async (t) => {
  const net = new FakeNetwork()
  const [a, , c] = (await cluster(t, net, ['a', 'b', 'c'], { intervalMs: 10 })) as [Node, Node, Node]
  a.mesh.keep(['b'])
  c.mesh.keep(['b'])
  const compared = (from: string, to: string) =>
    net.requests.filter((request) => request.from === from && request.to === to).length
  const before = compared('a', 'c') + compared('c', 'a')
  const others = compared('a', 'b') + compared('c', 'b')
  await until('compared often', () => compared('a', 'b') + compared('c', 'b') > others + 20)
  t.ok(compared('a', 'c') + compared('c', 'a') <= before + 2, 'but for what was under way')
  net.cut('a', 'c')
  net.heal()
  await a.mesh.dial('c:7946')
  const after = compared('a', 'c') + compared('c', 'a')
  await until('compared again', () => compared('a', 'b') > others + 20)
  t.equal(compared('a', 'c') + compared('c', 'a'), after)
})
