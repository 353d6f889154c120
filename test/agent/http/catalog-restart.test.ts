import { pino } from 'pino'
import t, { type Test } from 'tap'
import { runIndexes } from '../../../discovery/catalog/run-indexes.ts'
import { CatalogStore } from '../../../discovery/catalog/store.ts'
import { FakeMembership, record, service } from '../../discovery/catalog/fixtures.ts'
import { harness } from './harness.ts'

const WALL_MS = Date.UTC(2026, 10, 21)
const WEB = '/v1/health/service/web?passing'

/** The agent of n1 as it is after a start: it knows n2, which runs `web` on that port. */
function run(t: Test, { startedMs, random, port }: { startedMs: number; random: number; port: number }) {
  const membership = new FakeMembership('n1')
  const log = pino({ level: 'silent' })
  const store = new CatalogStore({ membership, log, indexes: runIndexes(startedMs, random) })
  store.start()
  membership.set('n2')
  let sequence = 0
  const put = (webPort: number, others: number) =>
    store.put(
      record('n2', ++sequence, [
        service('web', { port: webPort }),
        ...Array.from({ length: others }, (_, i) => service(`other-${i}`)),
      ]),
      0,
    )
  put(port, 0)
  const { app } = harness({ catalog: store })
  t.teardown(() => app.close())
  const ask = async (index?: string) => {
    const began = performance.now()
    const answer = await app.inject(index === undefined ? WEB : `${WEB}&index=${index}&wait=20s`)
    const [web] = answer.json()
    return {
      index: String(answer.headers['x-consul-index']),
      port: web?.Service.Port,
      ms: performance.now() - began,
    }
  }
  return { ask, put }
}

t.test(
  'who waited at an agent before it was started again learns at once what changed meanwhile',
  async (t) => {
    const before = run(t, { startedMs: WALL_MS, random: 0.3, port: 80 })
    for (let i = 1; i < 10; i++) before.put(80, i)
    const { index } = await before.ask()
    const after = run(t, { startedMs: WALL_MS + 5000, random: 0.1, port: 9999 })
    for (let i = 1; i < 30; i++) after.put(9999, i)
    const answer = await after.ask(index)
    t.equal(answer.port, 9999)
    t.ok(answer.ms < 5000, `after ${answer.ms} ms`)
    t.ok(Number(answer.index) > Number(index), 'and the index has not gone back')
  },
)

t.test('who goes from one agent to another learns at once what is known there', async (t) => {
  for (const [here, there] of [
    [0, 3],
    [3, 0],
    [0, 0],
  ] as const) {
    const one = run(t, { startedMs: WALL_MS + here, random: 0.3, port: 80 })
    const other = run(t, { startedMs: WALL_MS + there, random: 0.7, port: 9999 })
    for (let i = 1; i < 20; i++) {
      one.put(80, i)
      other.put(9999, i)
    }
    const { index } = await one.ask()
    const answer = await other.ask(index)
    t.equal(answer.port, 9999)
    t.ok(answer.ms < 5000, `started ${there - here} ms later: after ${answer.ms} ms`)
  }
})

t.test(
  'a node that has just started answers once it knows the catalogue, and says so if that takes long',
  async (t) => {
    let complete = false
    const waits: number[] = []
    const readiness = {
      ready: () => false,
      reasons: () => [],
      alive: () => true,
      get complete() {
        return complete
      },
      whenComplete: async (ms: number) => {
        waits.push(ms)
        return complete
      },
    }
    const { app, catalog } = harness({ readiness })
    t.teardown(() => app.close())
    const paths = [
      '/v1/catalog/services',
      '/v1/catalog/nodes',
      WEB,
      '/v1/health/state/any',
      '/api/v1/services',
    ]
    for (const path of paths) {
      const answer = await app.inject(path)
      t.equal(answer.statusCode, 500, path)
      t.match(answer.body, /has just started/, path)
    }
    t.strictSame(waits, Array(paths.length).fill(2000))
    catalog.putService(service('own'))
    t.equal((await app.inject('/v1/health/service/own')).statusCode, 200, 'what it has itself it says')
    complete = true
    for (const path of paths) t.equal((await app.inject(path)).statusCode, 200, path)
    t.equal(waits.length, paths.length, 'nobody waits any more')
  },
)
