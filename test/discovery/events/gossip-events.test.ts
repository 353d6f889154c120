import { pino } from 'pino'
import { Registry } from 'prom-client'
import t from 'tap'
import { encodeEvent } from '../../../discovery/events/codec.ts'
import { GossipEvents } from '../../../discovery/events/gossip-events.ts'
import type { UserEvent } from '../../../discovery/events/types.ts'
import { FakeNetwork, until } from '../fake-mesh.ts'

const log = pino({ level: 'silent' })
const SPEC = { name: 'deploy', payload: new Uint8Array(), nodeFilter: '', serviceFilter: '', tagFilter: '' }
const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const event = (n: number, more: Partial<UserEvent> = {}): UserEvent => ({
  ...SPEC,
  id: uuid(n),
  lamportTime: n,
  ...more,
})

/** Agents called n0, n1, … that all see each other. */
async function agents(count: number) {
  const network = new FakeNetwork()
  const nodes = []
  for (let i = 0; i < count; i++) {
    const mesh = network.add(`peer-${i}`)
    await mesh.start()
    const metrics = new Registry()
    const record = () => ({
      id: mesh.id,
      name: `n${i}`,
      address: '10.0.0.1',
      version: { incarnation: 1, sequence: 1 },
      meta: {},
      services: new Map(),
      checks: new Map(),
    })
    const events = new GossipEvents({ mesh, local: { record }, log, metrics })
    await events.start()
    for (const other of nodes) await mesh.dial(other.mesh.advertise)
    nodes.push({ mesh, events, metrics })
  }
  const [a, b = nodes[0]] = nodes
  if (a === undefined || b === undefined) throw new Error('no agents')
  return { a, b, nodes }
}

async function count(metrics: Registry, outcome: string): Promise<number> {
  const values = (await metrics.getSingleMetric('constellation_events_total')?.get())?.values ?? []
  return values.find(({ labels }) => labels.outcome === outcome)?.value ?? 0
}

const names = (events: GossipEvents) => events.list().map(({ name }) => name)

t.test('an event reaches every agent, the one that fired it included', async (t) => {
  const { a, b } = await agents(3)
  const fired = await a.events.fire({ ...SPEC, payload: Buffer.from('v2') })
  t.same(a.events.list(), [fired])
  await until('it arrived', () => b.events.list().length === 1)
  t.equal(b.events.list()[0]?.id, fired.id)
  t.equal(Buffer.from(b.events.list()[0]?.payload ?? []).toString(), 'v2')
})

t.test('an agent lists only what its filters let through', async (t) => {
  const { a, b } = await agents(2)
  await a.events.fire({ ...SPEC, name: 'for n1', nodeFilter: '^n1$' })
  await a.events.fire({ ...SPEC, name: 'for all' })
  await until('they arrived', () => b.events.list().length === 2)
  t.same(names(a.events), ['for all'])
  t.same(names(b.events), ['for n1', 'for all'])
})

t.test('an event that comes twice is taken once, also its own', async (t) => {
  const { a, b } = await agents(2)
  const fired = await a.events.fire(SPEC)
  await until('it arrived', () => b.events.list().length === 1)
  a.mesh.gossiped('peer-1', 'events', encodeEvent(fired))
  b.mesh.gossiped('peer-0', 'events', encodeEvent(fired))
  t.equal(a.events.list().length, 1)
  t.equal(b.events.list().length, 1)
  t.equal(await count(b.metrics, 'repeated'), 1)
})

t.test('the newest 256 are kept', async (t) => {
  const { a, b } = await agents(2)
  for (let n = 1; n <= 300; n++) b.mesh.gossiped(a.mesh.id, 'events', encodeEvent(event(n)))
  const kept = b.events.list()
  t.equal(kept.length, 256)
  t.equal(kept.at(-1)?.id, uuid(300))
  t.equal(kept[0]?.id, uuid(45))
})

t.test('the clock is ahead of every event seen, those for others included', async (t) => {
  const { a, b } = await agents(2)
  t.equal((await a.events.fire(SPEC)).lamportTime, 1)
  b.mesh.gossiped(a.mesh.id, 'events', encodeEvent(event(40, { nodeFilter: '^nobody$' })))
  t.same(b.events.list(), [])
  t.equal((await b.events.fire(SPEC)).lamportTime, 41)
  await until('it arrived', () => a.events.list().length === 2)
  t.equal((await a.events.fire(SPEC)).lamportTime, 42)
  b.mesh.gossiped(a.mesh.id, 'events', encodeEvent(event(1, { id: uuid(77), lamportTime: 2 ** 50 })))
  const late = await b.events.fire(SPEC)
  await until('others still take what it fires', () => a.events.list().at(-1)?.id === late.id)
})

t.test('garbage, filters that are none and silence before the start are survived', async (t) => {
  const { a, b } = await agents(2)
  b.mesh.gossiped(a.mesh.id, 'events', Buffer.from('nonsense'))
  b.mesh.gossiped(a.mesh.id, 'events', encodeEvent(event(1, { nodeFilter: '(' })))
  t.same(b.events.list(), [])
  t.equal(await count(b.metrics, 'rejected'), 2)
  await b.events.stop()
  b.mesh.gossiped(a.mesh.id, 'events', encodeEvent(event(2)))
  t.same(b.events.list(), [])
})

t.test('what is out of bounds is not fired', async (t) => {
  const { a } = await agents(1)
  const refused = (spec: typeof SPEC, message: RegExp) =>
    t.rejects(a.events.fire(spec), { code: 'EVT_INVALID', message })
  await refused({ ...SPEC, name: '' }, /^Missing name$/)
  await refused({ ...SPEC, name: 'x'.repeat(256) }, /256 characters, the limit is 255/)
  await refused({ ...SPEC, payload: new Uint8Array(16 * 1024 + 1) }, /16385 bytes, the limit is 16384/)
  await refused({ ...SPEC, nodeFilter: '(' }, /^Invalid node filter: /)
  t.same(a.events.list(), [])
})

t.test(
  'listeners hear of every event that is taken, until they stop; one that throws harms nobody',
  async (t) => {
    const { a } = await agents(1)
    let heard = 0
    a.events.onEvent(() => {
      throw new Error('broken')
    })
    const stop = a.events.onEvent(() => heard++)
    await a.events.fire(SPEC)
    await a.events.fire({ ...SPEC, nodeFilter: 'nobody' })
    t.equal(heard, 1)
    stop()
    await a.events.fire(SPEC)
    t.equal(heard, 1)
  },
)
