import { pino } from 'pino'
import t from 'tap'
import { CatalogStore } from '../../../discovery/catalog/store.ts'
import { check, FakeMembership, record, service } from './fixtures.ts'

function setup(...members: string[]) {
  const membership = new FakeMembership('a')
  for (const id of members) membership.set(id)
  const store = new CatalogStore({ membership, log: pino({ level: 'silent' }) })
  store.start()
  return { membership, store }
}

t.test('an instance is joined with its node, serfHealth first, then node checks, then its own', async (t) => {
  const { store } = setup('b')
  const checks = [
    check('z', 'web-1'),
    check('c', 'web-1', { status: 'warning' }),
    check('disk', ''),
    check('x', 'db-1'),
  ]
  store.put(record('b', 1, [service('web-1'), service('db-1')], checks), 0)
  const [web] = store.instances('web')
  t.same(
    web?.checks.map((c) => c.id),
    ['serfHealth', 'disk', 'c', 'z'],
  )
  t.equal(web?.status, 'warning')
  t.equal(web?.node.record.name, 'b')
  t.equal(store.instances('db')[0]?.status, 'passing')
  t.match(web?.checks[0], {
    name: 'Serf Health Status',
    output: 'Agent alive and reachable',
    serviceId: '',
  })
  t.same(
    store.checks().map(({ node, check }) => `${node.record.name} ${check.id}`),
    ['a serfHealth', 'b serfHealth', 'b c', 'b disk', 'b x', 'b z'],
  )
})

t.test('lists are in the order of node names, then ids, whatever came first', async (t) => {
  const { store } = setup('c', 'b')
  store.put(record('c', 1, [service('web-2'), service('web-1', { tags: ['t2', 't1'] })]), 0)
  store.put(record('b', 1, [service('web-9', { tags: ['t0'] }), service('api-1')]), 0)
  t.same(
    store.instances('web').map((i) => `${i.node.record.name} ${i.service.id}`),
    ['b web-9', 'c web-1', 'c web-2'],
  )
  t.same(
    [...store.services()],
    [
      ['api', []],
      ['web', ['t0', 't1', 't2']],
    ],
  )
  t.same(
    store.nodes().map((n) => n.record.name),
    ['a', 'b', 'c'],
  )
  t.same(
    store.instancesOn('c').map((i) => i.service.id),
    ['web-1', 'web-2'],
  )
  t.same(store.instancesOn('nobody'), [])
  t.equal(store.node('b')?.alive, true)
})

t.test('a member without a record is shown empty, a record without a member is not shown', async (t) => {
  const { store, membership } = setup('b')
  t.match(store.node('b'), { alive: true, record: { address: 'b', services: new Map() } })
  store.put(record('x', 1, [service('web-1')]), 0)
  t.same(store.instances('web'), [])
  membership.set('x')
  t.equal(store.instances('web').length, 1, 'shown once the membership knows it')
})

t.test('a record that claims the name of another node is not shown', async (t) => {
  const { store } = setup('b', 'c')
  store.put(record('c', 1, [service('web-1')], [], { name: 'b' }), 0)
  t.same(store.instances('web'), [])
  t.equal(store.node('b')?.record.id, 'b')
})

t.test('failed stays and is critical, suspect counts as alive, left goes', async (t) => {
  const { store, membership } = setup('b')
  store.put(record('b', 1, [service('web-1')]), 0)
  membership.set('b', { status: 'suspect' })
  t.equal(store.node('b')?.alive, true)
  const before = store.serviceIndex('web')
  membership.set('b', { status: 'failed' })
  t.equal(store.node('b')?.alive, false)
  t.match(store.instances('web')[0], {
    status: 'critical',
    checks: [{ id: 'serfHealth', status: 'critical', output: 'Agent not live or unreachable' }],
  })
  t.ok(store.serviceIndex('web') > before, 'the services it hosts are touched')
  membership.set('b', { status: 'left' })
  t.equal(store.node('b'), undefined)
  t.same(store.instances('web'), [])
  t.same([...store.services().keys()], [])
  membership.set('b', { status: 'alive', incarnation: 2 })
  t.equal(store.instances('web')[0]?.status, 'passing', 'and may come back')
})

t.test('indexes: only what changed moves, and what does not change moves nothing', async (t) => {
  const { store, membership } = setup('b')
  t.ok(store.index >= 1)
  store.put(record('b', 1, [service('web-1'), service('db-1')], [check('c', 'web-1')]), 0)
  const first = store.index
  t.equal(store.serviceIndex('web'), first)
  t.equal(store.serviceIndex('db'), first)

  store.put(record('b', 2, [service('web-1'), service('db-1')], [check('c', 'web-1')]), 0)
  t.equal(store.index, first, 'an identical registration moves nothing')
  t.equal(store.held('b')?.version.sequence, 2)
  membership.set('b', { incarnation: 7, meta: { a: 'b' } })
  t.equal(store.index, first, 'nor does news of the membership that nobody sees')

  const changed = [check('c', 'web-1', { status: 'critical' })]
  store.put(record('b', 3, [service('web-1'), service('db-1')], changed), 0)
  t.equal(store.serviceIndex('web'), first + 1, 'a check moves its service')
  t.equal(store.serviceIndex('db'), first, 'and no other')
  t.equal(store.instances('web')[0]?.modifyIndex, first, 'the registration is as it was')

  store.put(record('b', 4, [service('web-1', { port: 81 }), service('db-1')], changed), 0)
  t.match(store.instances('web')[0], { createIndex: first, modifyIndex: first + 2 })
  t.equal(store.node('b')?.modifyIndex, first, 'and so is the node')

  store.put(
    record('b', 5, [service('web-1', { port: 81 }), service('db-1')], [...changed, check('disk', '')]),
    0,
  )
  t.equal(store.serviceIndex('web'), store.index, 'a check of the node moves all it hosts')
  t.equal(store.serviceIndex('db'), store.index)

  t.equal(store.serviceIndex('nothing'), 1)
  store.put(record('b', 6, [service('db-1')], [check('disk', '')]), 0)
  t.equal(store.serviceIndex('web'), store.index, 'an extinct service answers the last extinction')
  t.equal(store.serviceIndex('nothing'), store.index)
  t.ok(store.serviceIndex('db') < store.index)
  store.put(record('b', 7, [service('db-1')], [check('disk', '')], { address: '10.9.9.9' }), 0)
  t.equal(store.serviceIndex('db'), store.index, 'the address of the node counts')
  t.equal(store.node('b')?.modifyIndex, store.index)
})

t.test('an instance that changes its service touches both', async (t) => {
  const { store } = setup('b')
  store.put(record('b', 1, [service('web-1'), service('web-2')]), 0)
  store.put(record('b', 2, [service('web-1', { name: 'api' }), service('web-2')]), 0)
  t.equal(store.serviceIndex('web'), store.index)
  t.equal(store.serviceIndex('api'), store.index)
  t.same(
    store.instances('web').map((i) => i.service.id),
    ['web-2'],
  )
})

t.test('older and equal versions are refused', async (t) => {
  const { store } = setup('b')
  store.put(record('b', 5, [service('web-1')]), 0)
  t.notOk(store.put(record('b', 5), 0))
  t.notOk(store.put(record('b', 4), 0))
  t.ok(store.put(record('b', 0, [], [], { version: { incarnation: 2, sequence: 0 } }), 0), 'a restart wins')
  t.same(store.instances('web'), [])
})

t.test('subscriptions fire once per change that matches', async (t) => {
  const { store, membership } = setup('b')
  const fired: string[] = []
  const stopAll = store.onChange({ kind: 'all' }, () => fired.push('all'))
  store.onChange({ kind: 'service', name: 'web' }, () => {
    fired.push(`web ${store.instances('web').length}`)
  })
  store.onChange({ kind: 'service', name: 'web' }, () => {
    throw new Error('a bad listener')
  })
  store.put(record('b', 1, [service('web-1'), service('web-2'), service('db-1')]), 0)
  t.same(fired, ['all', 'web 2'], 'one record, one call, after it was applied')
  fired.length = 0
  store.put(record('b', 2, [service('web-1'), service('web-2'), service('db-1', { port: 5 })]), 0)
  t.same(fired, ['all'])
  fired.length = 0
  store.put(record('b', 3, [service('web-1'), service('web-2'), service('db-1', { port: 5 })]), 0)
  t.same(fired, [])
  stopAll()
  membership.set('b', { status: 'failed' })
  t.same(fired, ['web 2'])
  fired.length = 0
  membership.set('b', { status: 'left' })
  t.same(fired, ['web 0'])
})

t.test('records of reaped and unknown nodes are dropped', async (t) => {
  const { store, membership } = setup('b')
  store.put(record('b', 1, [service('web-1')]), 0)
  store.put(record('x', 1), 0)
  membership.reap('b')
  t.equal(store.node('b'), undefined)
  store.prune(1000)
  t.ok(store.held('b'), 'for a while it may still turn up')
  store.prune(61_001)
  t.equal(store.held('b'), undefined)
  t.equal(store.held('x'), undefined)
  for (let i = 0; i < 300; i++) store.put(record(`u${i}`, 1), 0)
  t.equal(store.put(record('u999', 1), 0), false, 'unknown nodes are bounded')
})

t.test('the digest is one of the versions of those known and not left, whatever came first', async (t) => {
  const [one, other] = [setup('b', 'c', 'd'), setup('d', 'c', 'b')]
  t.equal(one.store.digest().digest, other.store.digest().digest, 'of nothing')
  for (const each of [record('b', 3, [service('web-1')]), record('c', 1)]) one.store.put(each, 0)
  for (const each of [record('c', 1), record('b', 2)]) other.store.put(each, 0)
  t.not(one.store.digest().digest, other.store.digest().digest, 'a version apart')
  other.store.put(record('b', 3, [service('web-1')]), 0)
  t.same(one.store.digest(), other.store.digest())
  t.match(one.store.digest(), { digest: /^[0-9a-f]{64}$/, records: 2 })
  one.store.put(record('x', 1), 0)
  one.store.put(record('d', 1), 0)
  one.membership.set('d', { status: 'left' })
  t.same(one.store.digest(), other.store.digest(), 'strangers and those that left do not count')
  one.membership.set('c', { status: 'failed' })
  t.same(one.store.digest(), other.store.digest(), 'the failed do')
})

t.test('a lookup is not recomputed while nothing changes', async (t) => {
  const { store } = setup('b')
  store.put(record('b', 1, [service('web-1')]), 0)
  t.equal(store.instances('web'), store.instances('web'))
  const before = store.instances('web')
  store.put(record('b', 2, [service('web-1')], [check('c', 'web-1')]), 0)
  t.not(store.instances('web'), before)
  t.equal(store.instances('web')[0]?.checks.length, 2)
})

t.test('a check has indexes of its own: of when it came, and of when it changed last', (t) => {
  const { store, membership } = setup('b')
  const put = (sequence: number, ...checks: ReturnType<typeof check>[]) =>
    store.put(record('b', sequence, [service('web-1')], checks), 0)
  const indexes = (id: string) => store.node('b')?.checkIndexes?.get(id)
  put(1, check('c', 'web-1'), check('disk', ''))
  const came = store.index
  t.same(indexes('c'), { createIndex: came, modifyIndex: came })
  put(2, check('c', 'web-1', { status: 'critical' }), check('disk', ''))
  const changed = store.index
  t.ok(changed > came)
  t.same(indexes('c'), { createIndex: came, modifyIndex: changed })
  t.same(indexes('disk'), { createIndex: came, modifyIndex: came }, 'the other one did not change')
  t.equal(store.instances('web')[0]?.modifyIndex, came, 'nor did the instance')
  membership.set('b', { status: 'failed' })
  t.equal(indexes('serfHealth')?.modifyIndex, store.index)
  t.equal(indexes('c')?.modifyIndex, changed)
  put(3, check('disk', ''))
  t.equal(indexes('c'), undefined)
  t.end()
})
