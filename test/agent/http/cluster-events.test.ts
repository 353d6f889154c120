import { pino } from 'pino'
import t, { type Test } from 'tap'
import { ClusterEventLog, EVENTS_KEPT } from '../../../agent/cluster-events/event-log.ts'
import { clusterEventTexts } from '../../../agent/http/cluster-events.ts'
import { harness, listen, until } from './harness.ts'
import { openStream, StreamReader } from './stream-reader.ts'

async function server(t: Test) {
  const clusterEvents = new ClusterEventLog({ wall: () => 0, log: pino({ level: 'silent' }) })
  const made = harness({ clusterEvents })
  t.teardown(() => made.app.close())
  const port = await listen(made.app)
  const open = async (query = '', lastEventId?: string) =>
    new StreamReader(await openStream(t, port, `/api/v1/events${query}`, lastEventId))
  return { ...made, clusterEvents, open }
}

const shown = (reader: StreamReader) =>
  reader.events.map(({ event, data }) => `${event} ${data.n ?? ''}`.trim())

t.test('what happens is told as it happens, after what is asked of what was', async (t) => {
  const { open, clusterEvents } = await server(t)
  clusterEvents.add('node-joined', { n: 1 })
  clusterEvents.add('node-failed', { n: 2 })
  const all = await open('?recent=10')
  const one = await open('?recent=1')
  const new_ = await open()
  await until('ready', () => [all, one, new_].every((reader) => shown(reader).includes('ready')))
  clusterEvents.add('service-up', { n: 3 })
  await until('three', () => [all, one, new_].every((reader) => shown(reader).includes('service-up 3')))
  t.same(shown(all), ['node-joined 1', 'node-failed 2', 'ready', 'service-up 3'])
  t.same(shown(one), ['node-failed 2', 'ready', 'service-up 3'])
  t.same(shown(new_), ['ready', 'service-up 3'])
  t.match(all.response.headers, { 'content-type': 'text/event-stream' })
  t.equal(all.events[0]?.data.time, '1970-01-01T00:00:00.000Z')
})

t.test('a client that comes back goes on where it was, and is told if that is not possible', async (t) => {
  const { open, clusterEvents } = await server(t)
  const first = await open()
  await until('ready', () => first.events.length === 1)
  clusterEvents.add('node-joined', { n: 1 })
  await until('one', () => first.events.length === 2)
  first.response.destroy()
  clusterEvents.add('node-failed', { n: 2 })
  const again = await open('', first.lastId)
  await until('two', () => again.events.length === 2)
  t.same(shown(again), ['node-failed 2', 'ready'], 'first what is remembered')
  const foreign = await open('', '00000000-1')
  await until('reset', () => foreign.events.length === 2)
  t.same(shown(foreign), ['reset', 'ready'])
  for (let i = 0; i < 2 * EVENTS_KEPT; i++) clusterEvents.add('node-failed', {})
  const late = await open('', again.lastId)
  await until('reset', () => late.events.length === 2)
  t.same(shown(late), ['reset', 'ready'])
  const run = again.lastId.slice(0, 8)
  const ahead = await open('', `${run}-999999`)
  await until('reset', () => ahead.events.length === 2)
  t.same(shown(ahead), ['reset', 'ready'])
})

t.test('ready parts what is remembered from what is new, however much it is', async (t) => {
  const clusterEvents = new ClusterEventLog({ wall: () => 0, log: pino({ level: 'silent' }) })
  for (let n = 1; n <= 200; n++) clusterEvents.add(n % 2 === 0 ? 'node-failed' : 'service-up', { n })
  const end = new AbortController()
  t.teardown(() => end.abort())
  const texts = clusterEventTexts(clusterEvents, {
    run: 'r',
    recent: 0,
    position: 44,
    accepts: ({ type }) => type === 'node-failed',
    signal: AbortSignal.any([end.signal, AbortSignal.timeout(20_000)]),
    keepAliveMs: 60_000,
  })
  const told: string[] = []
  for await (const text of texts) {
    const [, event, id] = /^event: (.*)\nid: r-(\d+)\n/.exec(text) ?? []
    told.push(`${event} ${id}`)
    // It happens while the stream still sends what was.
    if (told.length === 1) clusterEvents.add('node-failed', { n: 201 })
    if (event === 'node-failed' && id === '201') break
  }
  const before = Array.from({ length: 78 }, (_, i) => `node-failed ${46 + 2 * i}`)
  t.same(told, [...before, 'ready 200', 'node-failed 201'])
})

t.test('only the types that are asked for', async (t) => {
  const { open, clusterEvents, app } = await server(t)
  const reader = await open('?type=node-failed&type=lease-moved')
  await until('ready', () => reader.events.length === 1)
  for (const type of ['node-joined', 'node-failed', 'service-up', 'lease-moved'] as const)
    clusterEvents.add(type, {})
  await until('two', () => reader.events.length === 3)
  t.same(shown(reader), ['ready', 'node-failed', 'lease-moved'])
  t.equal((await app.inject('/api/v1/events?recent=x')).statusCode, 400)
  const latest = await open('?type=node-failed&recent=1')
  await until('ready', () => shown(latest).includes('ready'))
  t.same(shown(latest), ['node-failed', 'ready'], 'recent counts those that are asked for')
  const mistyped = await app.inject('/api/v1/events?type=node-failed&type=node-faild')
  t.equal(mistyped.statusCode, 400)
  t.match(
    mistyped.json().error.message,
    /^"node-faild" is no type of event: there are node-joined, .*user-event$/,
  )
})

t.test('a stream that is sent nothing of what happens stays alive, and knows where it is', async (t) => {
  const clusterEvents = new ClusterEventLog({ wall: () => 0, log: pino({ level: 'silent' }) })
  const end = new AbortController()
  const busy = setInterval(() => clusterEvents.add('service-up', {}), 5)
  t.teardown(() => {
    clearInterval(busy)
    end.abort()
  })
  const texts = clusterEventTexts(clusterEvents, {
    run: 'r',
    recent: 0,
    position: null,
    accepts: ({ type }) => type === 'lease-moved',
    signal: AbortSignal.any([end.signal, AbortSignal.timeout(20_000)]),
    keepAliveMs: 50,
  })
  t.match((await texts.next()).value, /^event: ready\nid: r-0\n/)
  const [, first] = /^: keep-alive\nid: r-(\d+)\n\n$/.exec(String((await texts.next()).value)) ?? []
  t.ok(Number(first) > 0, `the first is at ${first}`)
  const [, second] = /^: keep-alive\nid: r-(\d+)\n\n$/.exec(String((await texts.next()).value)) ?? []
  t.ok(Number(second) > Number(first), `the second is at ${second}`)
  clusterEvents.add('lease-moved', { n: 1 })
  clearInterval(busy)
  t.match((await texts.next()).value, /^event: lease-moved\n/)
  t.match((await texts.next()).value, /^: keep-alive\n/, 'also when nothing happens at all')
})
