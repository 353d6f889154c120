import type { Connection } from '@libp2p/interface'
import { pino } from 'pino'
import t from 'tap'
import { Connections } from '../../../discovery/mesh/connections.ts'
import { MeshMetrics } from '../../../discovery/mesh/metrics.ts'
import { Refusals } from '../../../discovery/mesh/refusals.ts'
import type { PeerEvent } from '../../../discovery/mesh/types.ts'

/** The book of connections with a clock the test moves, and connections that do nothing. */
function book() {
  const clock = { now: 0 }
  const events: PeerEvent[] = []
  const shared = { log: pino({ level: 'silent' }), metrics: new MeshMetrics(), now: () => clock.now }
  const connections = new Connections(
    { self: 'self', dialTimeoutMs: 1_000, handshakeTimeoutMs: 1_000, connectionsMax: 4, onDemandMax: 2 },
    {
      ...shared,
      host: {
        dial: async () => {
          throw new Error('nobody dials here')
        },
      },
      refusals: new Refusals(shared),
      listeners: new Set([(event: PeerEvent) => events.push(event)]),
    },
  )
  let ids = 0
  const open = (peer: string): Connection => {
    ids += 1
    const connection = {
      id: `c${ids}`,
      status: 'open',
      direction: 'inbound',
      remotePeer: { toString: () => peer },
      remoteAddr: {
        getComponents: () => [
          { name: 'ip4', value: '10.0.0.1' },
          { name: 'tcp', value: '1' },
        ],
      },
    } as unknown as Connection
    connections.opened(connection)
    return connection
  }
  return { clock, connections, events, metrics: shared.metrics, open, raw: () => new EventTarget() as never }
}

t.test(
  'an agreed end means nothing; one that did not come in time is used again, and its loss counts',
  async (t) => {
    const { clock, connections, events, open } = book()
    const first = open('a')
    connections.retire('a')
    t.equal(connections.current('a'), undefined, 'no stream is opened on it')
    connections.closed(first)
    t.match(events[1], { type: 'disconnected', peer: 'a', parted: true })

    const second = open('a')
    connections.retire('a')
    clock.now += 5_000
    t.equal(connections.current('a'), second)
    connections.closed(second)
    t.strictSame(events[3], { type: 'disconnected', peer: 'a' })
  },
)

t.test('one that both ends have agreed to close is there until it is closed, but not used', async (t) => {
  const { clock, connections, open } = book()
  const first = open('a')
  connections.retire('a')
  const [second] = [open('a'), open('b')]
  t.same([connections.unsettled('a'), connections.others(second)], [[second], [first]])
  connections.settle(second, [first])
  clock.now += 5_000
  t.equal(connections.current('a'), second, 'nor later, as there is another one')
  t.same([connections.unsettled('a'), connections.surplus('a')], [[second], [first]])
  connections.closed(first)
  t.same(connections.others(second), [])
})

t.test('of several the agreed one is used; another one as soon as it is the only one', async (t) => {
  const { connections, events, open } = book()
  const [first, second] = [open('a'), open('a')]
  t.equal(connections.current('a'), first, 'nothing is agreed')
  t.same(connections.unsettled('a'), [second, first])
  connections.settle(second, [first])
  t.equal(connections.current('a'), second)
  t.ok(connections.isSurplus(first))
  t.same([connections.unsettled('a'), connections.surplus('a')], [[second], [first]])
  const third = open('a')
  t.equal(connections.current('a'), second)
  t.same(connections.unsettled('a'), [third, second])

  connections.closed(third)
  connections.closed(second)
  t.equal(connections.current('a'), first)
  t.notOk(connections.isSurplus(first))
  t.equal(events.length, 1)
  connections.closed(first)
  t.strictSame(events[1], { type: 'disconnected', peer: 'a' })
})

t.test('what was lost before it was agreed on is forgotten', async (t) => {
  const { connections, events, metrics, open } = book()
  const [first, second] = [open('a'), open('a')]
  connections.closed(first)
  connections.settle(second, [first])
  t.equal((await metrics.surplus.get()).values[0]?.value, 0)
  t.same(connections.unsettled('a'), [second])
  t.equal(events.length, 1)
})

t.test(
  'a place that was promised is taken until the connection came, or what carried it closed',
  async (t) => {
    const { connections, open, raw } = book()
    connections.keep([])
    const [first, second] = [raw(), raw()] as EventTarget[]
    t.ok(connections.admit('a', first as never))
    t.ok(connections.admit('b', second as never))
    t.notOk(connections.admit('c', raw()))
    second?.dispatchEvent(new Event('close'))
    t.ok(connections.admit('c', raw()), 'the place of b')
    const a = open('a')
    t.equal(connections.onDemand, 1)
    t.notOk(connections.admit('d', raw()), 'a is here, c is promised')
    // The promise was kept: that its carrier closes later gives nothing back twice.
    first?.dispatchEvent(new Event('close'))
    t.notOk(connections.admit('d', raw()))
    connections.closed(a)
    t.ok(connections.admit('d', raw()))
  },
)

t.test('those that are kept have places nobody else can take', async (t) => {
  const { connections, open, raw } = book()
  connections.keep(['k1', 'k2', 'k3', 'k4'])
  open('a')
  open('b')
  t.notOk(connections.admit('c', raw()))
  for (const peer of ['k1', 'k2', 'k3', 'k4']) {
    t.ok(connections.admit(peer, raw()))
    open(peer)
  }
  t.notOk(connections.admit('k1', raw()), 'six are all there may be')
  connections.keep(null)
  t.equal(connections.onDemand, 0)
})
