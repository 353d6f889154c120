import { pino } from 'pino'
import t from 'tap'
import { ClusterEventLog, EVENTS_KEPT } from '../../../agent/cluster-events/event-log.ts'
import { ClusterEventSource } from '../../../agent/cluster-events/event-source.ts'
import { CORDONS, type ConsensusStatus } from '../../../consensus/client.ts'
import type { LeaseInfo } from '../../../consensus/leases.ts'
import { CatalogStore } from '../../../discovery/catalog/store.ts'
import type { UserEvent } from '../../../discovery/events/types.ts'
import { check, FakeMembership, record, service } from '../../discovery/catalog/fixtures.ts'

const log = pino({ level: 'silent' })

async function setup(
  t: { teardown(fn: () => Promise<void>): void },
  options: { readonly fresh?: boolean } = {},
) {
  const membership = new FakeMembership('a')
  const catalog = new CatalogStore({ membership, log })
  catalog.start()
  if (!options.fresh) catalog.markSynced()
  const events = new ClusterEventLog({ wall: () => 0, log })
  const listeners = {
    status: (_: ConsensusStatus) => {},
    cordons: () => {},
    leases: () => {},
    user: () => {},
  }
  const world = {
    caughtUpIndex: options.fresh ? null : (5 as number | null),
    status: {
      leader: null,
      term: 1,

      cordoned: [],
      draining: [],
    } as unknown as ConsensusStatus,
    leases: [] as LeaseInfo[],
    userEvents: [] as UserEvent[],
  }
  const none = () => {}
  const source = new ClusterEventSource({
    events,
    membership,
    catalog,
    client: {
      status: () => world.status,
      onStatus: (listener) => {
        listeners.status = listener
        return none
      },
      watch: (selector, listener) => {
        if (selector === CORDONS) listeners.cordons = listener
        return none
      },
    },
    leases: {
      list: () => world.leases,
      onChange: (listener) => {
        listeners.leases = listener
        return none
      },
    },
    userEvents: {
      list: () => world.userEvents,
      onEvent: (listener) => {
        listeners.user = listener
        return none
      },
    },
    caughtUpIndex: () => world.caughtUpIndex,
  })
  await source.start()
  t.teardown(() => source.stop())
  let read = 0
  const told = async () => {
    await Promise.resolve()
    const out = (events.after(read, 1000) ?? []).map(({ type, data }) => ({ type, ...data }))
    read = events.sequence
    return out
  }
  return { membership, catalog, events, listeners, world, told, source }
}

t.test('a node joins, is suspected, recovers, fails, comes back and leaves', async (t) => {
  const { membership, told } = await setup(t)
  membership.set('b')
  t.match(await told(), [{ type: 'node-joined', node: 'b', id: 'b' }])
  for (const [status, type] of [
    ['suspect', 'node-suspected'],
    ['alive', 'node-recovered'],
    ['failed', 'node-failed'],
    ['alive', 'node-recovered'],
    ['left', 'node-left'],
    ['alive', 'node-joined'],
  ] as const) {
    membership.set('b', { status })
    t.match((await told()).at(0), { type, node: 'b' })
  }
})

t.test('an instance comes up, goes down with the reason, and what the others are is said', async (t) => {
  const { membership, catalog, told } = await setup(t)
  membership.set('b')
  membership.set('c')
  await told()
  const critical = check('http', 'web-1', { name: 'HTTP', status: 'critical', output: 'refused\nmore' })
  catalog.put(record('b', 1, [service('web-1')], [critical]), 0)
  t.same(await told(), [], 'what was never up does not go down')
  catalog.put(record('b', 2, [service('web-1')], [check('http', 'web-1')]), 0)
  t.match(await told(), [
    { type: 'service-up', service: 'web', node: 'b', id: 'web-1', port: 80, healthy: 1 },
  ])
  catalog.put(record('c', 1, [service('web-1')]), 0)
  t.match(await told(), [{ type: 'service-up', node: 'c', healthy: 2 }])
  catalog.put(record('b', 3, [service('web-1')], [critical]), 0)
  t.match(await told(), [{ type: 'service-down', node: 'b', reason: 'HTTP: refused', healthy: 1 }])
  catalog.put(record('b', 4, [service('web-1')], [{ ...critical, output: 'still' }]), 0)
  t.same(await told(), [], 'another output is no event')
  membership.set('c', { status: 'failed' })
  t.match(await told(), [
    { type: 'node-failed' },
    {
      type: 'service-down',
      node: 'c',
      reason: 'Serf Health Status: Agent not live or unreachable',
      healthy: 0,
    },
  ])
  membership.set('c', { status: 'alive' })
  t.match(await told(), [{ type: 'node-recovered' }, { type: 'service-up', node: 'c' }])
  catalog.put(record('c', 2), 0)
  t.match(await told(), [{ type: 'service-down', node: 'c', reason: 'it is registered no more', healthy: 0 }])
})

t.test('leaders, leases, cordons and user events', async (t) => {
  const { membership, listeners, world, told } = await setup(t)
  membership.set('b')
  await told()
  const status = (more: Partial<ConsensusStatus>) => {
    world.status = { ...world.status, ...more }
    listeners.status(world.status)
    listeners.cordons()
  }
  status({ leader: 'b', term: 2 })
  status({ leader: 'b', term: 2 })
  t.same(await told(), [{ type: 'leader-changed', leader: 'b', previous: null, term: 2 }])
  status({ cordoned: ['b'] })
  status({ cordoned: ['b'], draining: ['b'] })
  status({ cordoned: [], draining: [] })
  t.same(
    (await told()).map(({ type }) => type),
    ['node-cordoned', 'node-draining', 'node-uncordoned'],
  )
  const lease = { name: 'dns', holder: 'b', fencingToken: 7, session: 's', heldBySelf: false }
  world.leases = [lease]
  listeners.leases()
  listeners.leases()
  world.leases = [{ ...lease, holder: null, fencingToken: null, session: null }]
  listeners.leases()
  world.leases = [{ ...lease, fencingToken: 8 }]
  listeners.leases()
  world.leases = []
  listeners.leases()
  listeners.leases()
  t.match(await told(), [
    { type: 'lease-moved', lease: 'dns', holder: 'b', previous: null, fencingToken: 7 },
    { type: 'lease-moved', holder: null, previous: 'b' },
    { type: 'lease-moved', holder: 'b', fencingToken: 8 },
    { type: 'lease-moved', lease: 'dns', holder: null, previous: 'b', fencingToken: null },
  ])
  const event = {
    id: '1',
    name: 'deploy',
    payload: Buffer.from('x'),
    nodeFilter: '',
    serviceFilter: '',
    tagFilter: '',
    lamportTime: 1,
  }
  world.userEvents = [event]
  listeners.user()
  world.userEvents = [event, { ...event, id: '2' }]
  listeners.user()
  t.match(await told(), [
    { type: 'user-event', id: '1', name: 'deploy', payload: 'eA==' },
    { type: 'user-event', id: '2' },
  ])
})

t.test('what came before the start is no event', async (t) => {
  const { source, membership, catalog, told } = await setup(t)
  await source.stop()
  membership.set('b')
  catalog.put(record('b', 1, [service('web-1')]), 0)
  await source.start()
  membership.set('b', { meta: { a: 'b' } })
  t.same(await told(), [])
})

t.test('what a node that starts catches up with is no event', async (t) => {
  const { membership, catalog, listeners, world, told } = await setup(t, { fresh: true })
  membership.set('b')
  t.match(await told(), [{ type: 'node-joined' }])
  catalog.put(record('b', 1, [service('web-1'), service('web-2')]), 0)
  t.same(await told(), [], 'services of its first exchange')
  catalog.put(record('a', 1, [service('web-1')]), 0)
  t.match(await told(), [{ type: 'service-up', node: 'a', healthy: 3 }], 'but its own are news')
  catalog.markSynced()
  catalog.put(record('b', 2, [service('web-1')]), 0)
  t.match(await told(), [{ type: 'service-down', node: 'b' }], 'without a leader too')

  world.status = { ...world.status, leader: 'b' }
  listeners.status(world.status)
  t.match(await told(), [{ type: 'leader-changed' }])
  const cordon = (...cordoned: string[]) => {
    world.status = { ...world.status, cordoned }
    catalog.setCordoned(new Set(cordoned))
    listeners.cordons()
  }
  const lease = { name: 'dns', holder: 'b', fencingToken: 7, session: 's', heldBySelf: false }
  cordon('b')
  cordon()
  world.leases = [lease]
  listeners.leases()
  cordon('b')
  t.same(await told(), [], 'what is in the log already')
  world.caughtUpIndex = 20
  t.same(await told(), [])
  cordon()
  t.match(await told(), [{ type: 'node-uncordoned' }, { type: 'service-up', node: 'b' }])
  world.leases = [{ ...lease, fencingToken: 20, session: 't' }]
  listeners.leases()
  t.same(await told(), [], 'seen late')
  world.leases = [{ ...lease, holder: 'a', fencingToken: 21, session: 'u' }]
  listeners.leases()
  t.match(await told(), [{ type: 'lease-moved', holder: 'a', previous: 'b' }])
})

t.test('the log remembers a bounded number, and says when it has forgotten', async (t) => {
  const events = new ClusterEventLog({ wall: () => 0, log })
  t.same(events.after(0, 10), [])
  t.equal(events.after(1, 10), null, 'a position of another run')
  for (let i = 0; i < 3 * EVENTS_KEPT; i++) events.add('user-event', { i })
  t.equal(events.after(0, 10), null)
  t.equal(events.after(2 * EVENTS_KEPT - 1, 1), null)
  t.match(events.after(2 * EVENTS_KEPT, 1), [{ sequence: 2 * EVENTS_KEPT + 1, data: { i: 2 * EVENTS_KEPT } }])
  t.equal(events.after(0, 10), null)
  t.equal(events.latest(5000).length, EVENTS_KEPT)
  t.match(events.latest(1), [{ data: { i: 3 * EVENTS_KEPT - 1 } }])
  t.same(events.latest(0), [])
})
