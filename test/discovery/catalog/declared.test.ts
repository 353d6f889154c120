import { pino } from 'pino'
import t from 'tap'
import { CatalogStore } from '../../../discovery/catalog/store.ts'
import type { CatalogSelector, DeclaredNode } from '../../../discovery/catalog/types.ts'
import { check, FakeMembership, record, service } from './fixtures.ts'

function setup(...members: string[]) {
  const membership = new FakeMembership('a')
  for (const id of members) membership.set(id)
  const store = new CatalogStore({ membership, log: pino({ level: 'silent' }) })
  store.start()
  return { membership, store }
}

function declared(name: string, more: Partial<DeclaredNode> = {}): DeclaredNode {
  return {
    name,
    uuid: '',
    address: '192.0.2.7',
    taggedAddresses: {},
    meta: { kind: 'printer' },
    stands: true,
    services: new Map([['ipp', service('ipp', { port: 631 })]]),
    checks: new Map([['ping', check('ping', '')]]),
    ...more,
  }
}

t.test('a declared node is shown with its services and checks, without serfHealth', async (t) => {
  const { store } = setup()
  store.declare('printer', declared('printer'))
  t.match(store.node('printer'), {
    alive: true,
    cordoned: false,
    record: { address: '192.0.2.7', declared: { uuid: '' } },
  })
  const [ipp] = store.instances('ipp')
  t.same(
    ipp?.checks.map(({ id }) => id),
    ['ping'],
  )
  t.equal(ipp?.status, 'passing')
  store.declare('printer', null)
  t.equal(store.node('printer'), undefined)
  t.same(store.instances('ipp'), [])
})

t.test('what is declared under the name of a member is added to what the member says', async (t) => {
  const { store } = setup('b')
  store.put(record('b', 1, [service('web-1'), service('ipp', { port: 80 })]), 0)
  const services = new Map([
    ['ipp', service('ipp', { port: 631 })],
    ['lpd', service('lpd', { port: 515 })],
  ])
  const checks = new Map([['c', check('c', 'lpd', { status: 'critical' })]])
  store.declare('b', declared('b', { services, checks }))
  t.match(store.node('b'), { alive: true, record: { address: '10.0.0.1', meta: {} } })
  t.equal(store.instances('ipp')[0]?.service.port, 80, 'the member goes before the declaration')
  t.match(store.instances('lpd')[0], { status: 'critical', node: { record: { name: 'b' } } })
  t.same(
    store.checksOn('b').map(({ check: { id } }) => id),
    ['serfHealth', 'c'],
  )
  store.put(record('b', 2), 0)
  t.equal(store.instances('ipp')[0]?.service.port, 631, 'until the member takes its own back')
})

t.test('a declared node gives way to a member of its name, and is back as failed without it', async (t) => {
  const { store, membership } = setup()
  store.declare('b', declared('b'))
  membership.set('b')
  t.equal(store.nodes().filter((node) => node.record.name === 'b').length, 1)
  t.equal(store.node('b')?.record.id, 'b')
  t.equal(store.instances('ipp').length, 1)
  membership.set('b', { status: 'failed' })
  t.equal(store.instances('ipp')[0]?.status, 'critical', 'its host is down')
  membership.set('b', { status: 'left' })
  t.equal(store.node('b')?.record.address, '192.0.2.7')
  t.equal(store.instances('ipp')[0]?.status, 'critical')
})

t.test('services declared for a name that nobody has are not shown', async (t) => {
  const { store, membership } = setup()
  store.declare('b', declared('b', { stands: false }))
  t.equal(store.node('b'), undefined)
  t.same(store.instances('ipp'), [])
  membership.set('b')
  t.equal(store.instances('ipp').length, 1)
})

t.test('a cordoned node has a critical check, so that no view sends traffic to it', async (t) => {
  const { store } = setup('b')
  store.put(record('b', 1, [service('web-1')], [check('c', 'web-1')]), 0)
  const index = store.serviceIndex('web')
  store.setCordoned(new Set(['b', 'unknown']))
  t.equal(store.node('b')?.cordoned, true)
  t.match(store.instances('web')[0], {
    status: 'critical',
    checks: [{ id: 'serfHealth' }, { id: '_node_cordon', status: 'critical' }, { id: 'c' }],
  })
  t.ok(store.serviceIndex('web') > index)
  t.same(
    store.checksIn('critical').map(({ check: { id } }) => id),
    ['_node_cordon'],
  )
  const before = store.index
  store.setCordoned(new Set(['b', 'unknown']))
  t.equal(store.index, before, 'the same again is no change')
  store.setCordoned(new Set())
  t.equal(store.instances('web')[0]?.status, 'passing')
})

t.test('a subscriber is told once of each change to what it looks at, and of nothing else', async (t) => {
  const { store, membership } = setup('b', 'c')
  const selectors: Record<string, CatalogSelector> = {
    all: { kind: 'all' },
    nodes: { kind: 'nodes' },
    services: { kind: 'services' },
    checks: { kind: 'checks' },
    b: { kind: 'node', name: 'b' },
    c: { kind: 'node', name: 'c' },
    web: { kind: 'service', name: 'web' },
    api: { kind: 'service', name: 'api' },
  }
  let heard: string[] = []
  for (const [name, selector] of Object.entries(selectors)) store.onChange(selector, () => heard.push(name))
  const told = (change: () => void): string => {
    const before = new Map(Object.entries(selectors).map(([name, s]) => [name, store.indexOf(s)]))
    heard = []
    change()
    const moved = Object.keys(selectors).filter(
      (name) => store.indexOf(selectors[name] as CatalogSelector) !== before.get(name),
    )
    t.same([...heard].sort(), moved.sort(), 'the index moves for those who are told')
    return heard.sort().join(' ')
  }
  const web = service('web-1')
  t.equal(
    told(() => store.put(record('b', 1, [web], [check('k', 'web-1')]), 0)),
    'all b checks nodes services web',
    'the address arrives with the record',
  )
  t.equal(
    told(() => store.put(record('b', 2, [web], [check('k', 'web-1', { output: 'x' })]), 0)),
    'all b checks web',
  )
  t.equal(
    told(() => store.put(record('b', 3, [web, service('api-1')], [check('k', 'web-1', { output: 'x' })]), 0)),
    'all api b checks services',
  )
  t.equal(
    told(() => membership.set('b', { status: 'failed' })),
    'all api b checks nodes services web',
  )
  t.equal(
    told(() => membership.set('c', { status: 'left' })),
    'all c checks nodes services',
  )
})

t.test('instances are found by tag, in the order of all', async (t) => {
  const { store } = setup('b', 'c')
  store.put(record('c', 1, [service('web-1', { tags: ['x', 'y', 'x'] })]), 0)
  store.put(record('b', 1, [service('web-1', { tags: ['y'] })]), 0)
  const nodes = (tag: string) => store.instancesTagged('web', tag).map(({ node }) => node.record.name)
  t.same(nodes('y'), ['b', 'c'])
  t.same(nodes('x'), ['c'])
  t.same(nodes('z'), [])
  store.put(record('b', 2, [service('web-1', { tags: ['z'] })]), 0)
  t.same(nodes('y'), ['c'])
  t.same(nodes('z'), ['b'])
  t.same(store.instancesTagged('nobody', 'y'), [])
})

t.test('what is declared about a host whose agent left is no better than the agent was', async (t) => {
  for (const end of ['left', 'forgotten'] as const) {
    const { membership, store } = setup('b')
    store.declare('b', declared('b'))
    t.match(store.instances('ipp')[0], { status: 'passing' })
    membership.set('b', { status: 'failed' })
    t.match(store.instances('ipp')[0], { status: 'critical' })
    if (end === 'left') membership.set('b', { status: 'left' })
    else membership.reap('b')
    store.prune(0)
    t.match(store.node('b'), { alive: false }, end)
    t.match(store.instances('ipp')[0], { status: 'critical', checks: [{ id: 'serfHealth' }, {}] })
    t.same([...store.outlived], ['b'])

    store.declare('b', declared('b'))
    t.match(store.node('b'), { alive: true }, 'who declares it anew says that it lives')
    t.match(store.instances('ipp')[0], { status: 'passing' })
    t.equal(store.outlived.size, 0)
  }
})

t.test('an agent that comes back takes what is declared about its host over again', async (t) => {
  const { membership, store } = setup('b')
  store.declare('b', declared('b'))
  membership.set('b', { status: 'left' })
  t.equal(store.outlived.size, 1)
  membership.set('b', { status: 'alive', incarnation: 2 })
  t.equal(store.outlived.size, 0)
  t.match(store.instances('ipp'), [{ status: 'passing', node: { record: { name: 'b' } } }])
  t.equal(store.nodes().filter(({ record }) => record.name === 'b').length, 1)
})
