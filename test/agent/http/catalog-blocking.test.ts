import { pino } from 'pino'
import t, { type Test } from 'tap'
import { parseWait } from '../../../agent/http/store-reads.ts'
import { CatalogStore } from '../../../discovery/catalog/store.ts'
import { check, FakeMembership, record, service } from '../../discovery/catalog/fixtures.ts'
import { harness, until } from './harness.ts'

const SERVICES = 50
const WAITERS = 1_000
const nameOf = (i: number) => `svc${String(i % SERVICES).padStart(2, '0')}`

/** A server over the real catalogue of the members n1 and n2. */
function running(t: Test, options: Parameters<typeof harness>[1] = {}) {
  const membership = new FakeMembership('n1')
  const store = new CatalogStore({ membership, log: pino({ level: 'silent' }) })
  store.start()
  membership.set('n2')
  const { app, metrics } = harness({ catalog: store }, options)
  t.teardown(() => app.close())
  const metric = async (name: string) => (await metrics.getSingleMetric(name)?.get())?.values[0]?.value ?? 0
  const waiting = () => metric('constellation_http_blocking_queries')
  const parked = async (count: number): Promise<void> => {
    let now = await waiting()
    await until(`${count} wait`, () => {
      void waiting().then((value) => {
        now = value
      })
      return now === count
    })
  }
  return { app, store, membership, parked, wakeUps: () => metric('constellation_http_wake_ups_total') }
}

t.test('of a thousand that wait for fifty services, those of the one that changed are woken', async (t) => {
  const { app, store, parked, wakeUps } = running(t)
  const all = (sequence: number, changed = -1) =>
    record(
      'n2',
      sequence,
      Array.from({ length: SERVICES }, (_, i) =>
        service(`${nameOf(i)}-1`, { tags: i === changed ? ['changed'] : [] }),
      ),
    )
  store.put(all(1), 0)
  const answered: string[] = []
  const asked = Array.from({ length: WAITERS }, async (_, i) => {
    const name = nameOf(i)
    const path = i % 2 === 0 ? '/v1/health/service' : '/v1/catalog/service'
    const index = store.indexOf({ kind: 'service', name })
    const answer = await app.inject(`${path}/${name}?index=${index}&wait=60s`)
    answered.push(name)
    return { name, index, answer }
  })
  await parked(WAITERS)
  store.put(all(2, 7), 0)
  await parked(WAITERS - WAITERS / SERVICES)
  t.same(answered, Array(WAITERS / SERVICES).fill(nameOf(7)))
  t.equal(await wakeUps(), WAITERS / SERVICES, 'nobody else as much as looked')

  // A node is part of what a service looks like: all are told when it fails.
  const before = await wakeUps()
  store.put({ ...all(3, 7), meta: { zone: 'other' } }, 0)
  await parked(0)
  t.equal(answered.length, WAITERS, 'all were answered')
  t.ok((await wakeUps()) - before >= WAITERS - WAITERS / SERVICES)
  for (const { name, index, answer } of await Promise.all(asked)) {
    if (Number(answer.headers['x-consul-index']) > index && answer.json().length === 1) continue
    t.fail(`${name}: ${answer.headers['x-consul-index']} after ${index}, ${answer.body}`)
  }
})

t.test('those who wait for one list are sent one rendering of it', async (t) => {
  const { app, store, parked } = running(t)
  store.put(record('n2', 1, [service('web-1')], [check('c', 'web-1')]), 0)
  let renders = 0
  const checks = store.checks.bind(store)
  store.checks = () => {
    renders++
    return checks()
  }
  const index = store.indexOf({ kind: 'checks' })
  const url = (i: number) => `/v1/health/state/any?index=${index}&wait=${60 + i}s${i % 2 ? '&stale' : ''}`
  const asked = Array.from({ length: 100 }, (_, i) => app.inject(url(i)))
  const filtered = app.inject(`${url(0)}&filter=${encodeURIComponent('CheckID == c')}`)
  const pretty = app.inject(`${url(0)}&pretty`)
  await parked(102)
  renders = 0
  store.put(record('n2', 2, [service('web-1')], [check('c', 'web-1', { status: 'critical' })]), 0)
  const bodies = await Promise.all(asked.map(async (answer) => (await answer).body))
  t.equal(new Set(bodies).size, 1)
  t.match(bodies[0], /"CheckID":"c",.*"Status":"critical"/)
  t.same(
    (await filtered).json().map(({ CheckID }: { CheckID: string }) => CheckID),
    ['c'],
  )
  t.equal((await pretty).body, JSON.stringify(JSON.parse(bodies[0] ?? ''), null, 4))
  t.equal(renders, 3, 'one for the list, one that is filtered, one that is indented')
})

t.test('who waits for a service that is not there is woken when it comes, and when it goes', async (t) => {
  const { app, store, parked, wakeUps } = running(t)
  store.put(record('n2', 1, [service('other-1'), service('gone-1')]), 0)
  const url = '/v1/health/service/web'
  const indexOf = (answer: { headers: Record<string, unknown> }) => Number(answer.headers['x-consul-index'])
  const none = await app.inject(url)
  t.same(none.json(), [])
  t.ok(indexOf(none) >= 1)
  const coming = app.inject(`${url}?index=${indexOf(none)}&wait=60s`)
  await parked(1)
  store.put(record('n2', 2, [service('other-1', { port: 81 })]), 0)
  t.equal(await wakeUps(), 0, 'the end of another service wakes nobody')
  store.put(record('n2', 3, [service('other-1', { port: 81 }), service('web-1')]), 0)
  const there = await coming
  t.equal(there.json().length, 1)
  t.ok(indexOf(there) > indexOf(none))
  const going = app.inject(`${url}?index=${indexOf(there)}&wait=60s`)
  await parked(1)
  store.put(record('n2', 4, [service('other-1', { port: 81 })]), 0)
  const gone = await going
  t.same(gone.json(), [])
  t.ok(indexOf(gone) > indexOf(there), 'the index of its extinction')
  const again = app.inject(`${url}?index=${indexOf(gone)}&wait=60s`)
  await parked(1)
  await app.close()
  t.equal((await again).statusCode, 200)
})

t.test('a node that dies wakes who waits for it, for its checks and for what ran on it', async (t) => {
  const { app, store, membership, parked } = running(t)
  store.put(record('n2', 1, [service('web-1')]), 0)
  const urls = [
    '/v1/health/service/web',
    '/v1/health/node/n2',
    '/v1/health/state/critical',
    '/v1/catalog/nodes',
  ]
  const asked = await Promise.all(
    urls.map(async (url) => {
      const index = (await app.inject(url)).headers['x-consul-index']
      return { url, answer: app.inject(`${url}?index=${index}&wait=60s`) }
    }),
  )
  const names = app.inject(`/v1/catalog/services?index=${store.index}&wait=60s`)
  await parked(5)
  membership.set('n2', { status: 'failed' })
  for (const { url, answer } of asked) t.equal((await answer).statusCode, 200, url)
  for (const { url, answer } of asked.slice(0, 3)) t.match((await answer).body, '"critical"', url)
  await parked(1)
  membership.set('n2', { status: 'left' })
  t.same((await names).json(), { consul: [] })
})

t.test('an index from another store is answered at once, with one that is smaller', async (t) => {
  const { app, store } = running(t)
  store.put(record('n2', 1, [service('web-1')]), 0)
  for (const path of ['health/service/web', 'catalog/services', 'catalog/nodes', 'health/state/any']) {
    const answer = await app.inject(`/v1/${path}?index=1000000&wait=60s`)
    const index = Number(answer.headers['x-consul-index'])
    t.ok(index >= 1 && index <= store.index, path)
  }
})

t.test('how long a read of the catalogue waits', async (t) => {
  const { app, store } = running(t, { random: () => 0.999 })
  const startedAt = performance.now()
  const answer = await app.inject(`/v1/catalog/services?index=${store.index}&wait=320ms`)
  const tookMs = performance.now() - startedAt
  t.equal(answer.headers['x-consul-index'], String(store.indexOf({ kind: 'services' })))
  t.ok(tookMs >= 339, `wait and up to a sixteenth more: ${tookMs} ms`)
  t.equal(parseWait(''), 300_000)
  t.equal(parseWait('2h'), 600_000, 'ten minutes at most')
  t.equal(parseWait('120000ms'), 120_000)
})
