import t from 'tap'
import { encodeDelta, encodeMessage } from '../../../discovery/catalog/codec.ts'
import { GRAVE_KEPT_MS, GRAVES_MAX, Graves } from '../../../discovery/catalog/graves.ts'
import { FakeNetwork, until } from '../fake-mesh.ts'
import { cluster, liar, type Node, rejected, sees } from './cluster.ts'
import { delta, message, record, sealed, service } from './fixtures.ts'

const stampOf = (id: string, incarnation: number, sequence = 1) =>
  sealed(record(id, sequence, [], [], { version: { incarnation, sequence } })).stamp

t.test('a grave is over everything of that life and those before, for its time', async (t) => {
  const graves = new Graves()
  graves.bury(stampOf('b', 5, 7), 0)
  t.same(graves.over('b', { incarnation: 5, sequence: 99 }), stampOf('b', 5, 7))
  t.ok(graves.over('b', { incarnation: 4, sequence: 1 }))
  t.equal(graves.over('b', { incarnation: 6, sequence: 0 }), undefined, 'a new life is not')
  t.equal(graves.over('c', { incarnation: 1, sequence: 0 }), undefined)
  graves.bury(stampOf('b', 3), 10)
  t.equal(graves.over('b', { incarnation: 5, sequence: 1 })?.incarnation, 5, 'an older life opens nothing')
  graves.prune(10 + GRAVE_KEPT_MS - 1)
  t.ok(graves.over('b', { incarnation: 5, sequence: 1 }))
  graves.prune(10 + GRAVE_KEPT_MS)
  t.equal(graves.size, 0)
})

t.test('graves are bounded, the oldest goes first', async (t) => {
  const graves = new Graves()
  const { signature, digest } = stampOf('b', 1)
  for (let i = 0; i < GRAVES_MAX + 1; i++) {
    graves.bury({ id: `n${i}`, incarnation: 1, sequence: 1, digest, signature }, i)
  }
  t.equal(graves.size, GRAVES_MAX)
  t.equal(graves.over('n0', { incarnation: 1, sequence: 1 }), undefined)
  t.ok(graves.over('n1', { incarnation: 1, sequence: 1 }))
})

/** `a` and `c` know the instance `web-1` of `b`; a clock that the test moves. */
async function three(t: Parameters<typeof cluster>[0], net: FakeNetwork) {
  const clock = { now: 0 }
  const nodes = await cluster(t, net, ['a', 'b', 'c'], { intervalMs: 30, now: () => clock.now })
  const [a, b, c] = nodes as [Node, Node, Node]
  b.catalog.local.putService(service('web-1'))
  for (const n of [a, c]) await until('there', () => sees(n, 'web').length === 1)
  return { a, b, c, clock }
}

/** The records of nodes that are forgotten are kept for a minute; after that they are gone. */
async function forget(n: Node, id: string, clock: { now: number }): Promise<void> {
  n.membership.reap(id)
  await new Promise((resolve) => setTimeout(resolve, 60))
  clock.now += 61_000
  await until('dropped', () => n.catalog.store.held(id) === undefined)
}

t.test(
  'a late step does not bring back a node that left, nor does a replay when it is forgotten',
  async (t) => {
    const net = new FakeNetwork()
    const { a, b, c, clock } = await three(t, net)
    const last = b.catalog.local.record()
    await b.catalog.stop()
    for (const n of [a, c]) n.membership.set('b', { status: 'left' })
    const late = encodeDelta(
      delta(last, {
        ...last,
        version: { incarnation: 1, sequence: 2 },
        services: new Map([['web-9', service('web-9')]]),
      }),
    )
    await b.mesh.publish('catalog', late)
    await until('refused', async () => (await rejected(a, 'buried')) === 1)
    t.same(sees(a, 'web'), [])
    await b.mesh.stop()

    await forget(a, 'b', clock)
    // Both the membership and the catalogue are told of it again, by somebody who kept everything.
    const ghost = await liar(net, 'ghost', (asked) =>
      encodeMessage(
        asked === 'fetch'
          ? { type: 'records', records: [message(last)] }
          : asked === 'compare'
            ? { type: 'digest', entries: [{ id: 'b', incarnation: 1, sequence: 1 }] }
            : { type: 'same' },
      ),
    )
    await ghost.dial('a:7946')
    a.membership.set('b', { status: 'alive' })
    await ghost.publish('catalog', late)
    const offer = encodeMessage({ type: 'offer', entries: [{ id: 'b', incarnation: 1, sequence: 1 }] })
    const ask = async () => await ghost.request('a', 'catalog', offer, { timeoutMs: 500 })
    await ask()
    await new Promise((resolve) => setTimeout(resolve, 50))
    t.same(sees(a, 'web'), [])
    t.equal(a.catalog.store.held('b'), undefined)

    clock.now += GRAVE_KEPT_MS
    await until('after its time it is taken', async () => {
      await ask()
      return sees(a, 'web').length === 1
    })
  },
)

t.test('who was cut off while a node left does not bring it back', async (t) => {
  const net = new FakeNetwork()
  const { a, b, c, clock } = await three(t, net)
  net.cut('c', 'a')
  net.cut('c', 'b')
  a.membership.set('b', { status: 'left' })
  await b.catalog.stop()
  await b.mesh.stop()
  await forget(a, 'b', clock)
  c.membership.set('b', { status: 'failed' })
  t.same(sees(c, 'web'), ['b web-1 critical'])
  net.heal()
  await c.mesh.dial('a:7946')
  // The membership of the one takes the word of the other.
  a.membership.set('b', { status: 'failed' })
  const before = net.requests.length
  await until('compared', () => net.requests.slice(before).filter((r) => r.from === 'a').length > 3)
  t.same(sees(a, 'web'), [])
  t.equal(a.catalog.store.held('b'), undefined)
})

t.test('a node that was thought to have left comes back with all it has', async (t) => {
  const net = new FakeNetwork()
  const { a, b, c, clock } = await three(t, net)
  net.cut('b', 'a')
  await forget(a, 'b', clock)
  t.same(sees(a, 'web'), [])
  net.heal()
  a.membership.set('b', { status: 'alive', incarnation: 2 })
  await b.mesh.dial('a:7946')
  for (const n of [a, c])
    await until(
      'back',
      () => String(sees(n, 'web')) === 'b web-1 passing',
      20_000,
      () => sees(n, 'web'),
    )
  t.equal(b.catalog.local.record().version.incarnation, 2)
  await until('equal', () => new Set([a, b, c].map((n) => n.catalog.store.digest().digest)).size === 1)
})
