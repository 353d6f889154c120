import { pino } from 'pino'
import t, { type Test } from 'tap'
import { CatalogStore } from '../../../discovery/catalog/store.ts'
import { check, FakeMembership, record, service } from '../../discovery/catalog/fixtures.ts'
import { harness, until } from './harness.ts'

/** A server over the real catalogue: `Node-B` runs `CaseSvc`, `node-c` runs `casesvc` and `other`. */
function running(t: Test) {
  const membership = new FakeMembership('n1')
  const store = new CatalogStore({ membership, log: pino({ level: 'silent' }) })
  store.start()
  const { app } = harness({ catalog: store, membership })
  t.teardown(() => app.close())
  membership.set('Node-B')
  membership.set('node-c')
  store.put(record('Node-B', 1, [service('CaseSvc-1', { tags: ['Prod'] })], [check('c', 'CaseSvc-1')]), 0)
  store.put(record('node-c', 1, [service('casesvc-2', { tags: ['prod', 'x'] }), service('other-1')]), 0)
  const get = async (url: string) => (await app.inject(url)).json()
  return { app, store, membership, get }
}

type Entry = { Service: { ID: string; Service: string } }
const ids = (entries: readonly Entry[]) => entries.map(({ Service }) => `${Service.Service} ${Service.ID}`)
const BOTH = ['CaseSvc CaseSvc-1', 'casesvc casesvc-2']

t.test(
  'the case of services, tags and nodes does not count in a lookup, and is kept in the answer',
  async (t) => {
    const { get } = running(t)
    for (const name of ['CaseSvc', 'casesvc', 'CASESVC']) {
      t.same(ids(await get(`/v1/health/service/${name}`)), BOTH, name)
      t.match(await get(`/v1/catalog/service/${name}`), [
        { ServiceName: 'CaseSvc' },
        { ServiceName: 'casesvc' },
      ])
      t.match(await get(`/v1/health/checks/${name}`), [{ CheckID: 'c', ServiceName: 'CaseSvc' }])
    }
    t.same(ids(await get('/v1/health/service/casesvc?tag=PROD')), BOTH)
    t.same(ids(await get('/v1/health/service/casesvc?tag=pROD&tag=X')), BOTH.slice(1))
    t.match(await get('/v1/catalog/service/casesvc?tag=prod'), [{ ServiceTags: ['Prod'] }, {}])
    t.same(await get('/v1/health/service/casesv'), [])
    t.match(await get('/v1/catalog/services'), { CaseSvc: ['Prod'], casesvc: ['prod', 'x'] })

    t.match(await get('/v1/catalog/node/node-b'), { Node: { Node: 'Node-B' }, Services: { 'CaseSvc-1': {} } })
    t.match(await get('/v1/catalog/node-services/NODE-C'), { Node: { Node: 'node-c' } })
    t.match(await get('/v1/health/node/NODE-b'), [
      { Node: 'Node-B', CheckID: 'serfHealth' },
      { CheckID: 'c' },
    ])
    const { Node } = await get('/v1/catalog/node/node-c')
    t.match(await get(`/v1/catalog/node/${Node.ID.toUpperCase()}`), { Node: { Node: 'node-c' } })
    t.equal((await get('/v1/health/service/Consul')).length, 3, 'also of the agents themselves')
  },
)

t.test('of two nodes whose names differ in case alone, each is found by its own', async (t) => {
  const { get, membership, store } = running(t)
  membership.set('NODE-C')
  store.put(record('NODE-C', 1, [service('only-1')]), 0)
  t.match(await get('/v1/catalog/node/NODE-C'), { Node: { Node: 'NODE-C' }, Services: { 'only-1': {} } })
  t.match(await get('/v1/catalog/node/node-c'), { Node: { Node: 'node-c' }, Services: { 'other-1': {} } })
  membership.set('NODE-C', { status: 'left' })
  t.match(await get('/v1/catalog/node/NODE-C'), { Node: { Node: 'node-c' } })
})

t.test('who waits for a service is woken by what happens to any spelling of it', async (t) => {
  const { app, store, membership } = running(t)
  const wait = async (path: string) => {
    const now = await app.inject(path)
    let answered = false
    const answer = app.inject(`${path}?index=${now.headers['x-consul-index']}&wait=60s`).then((response) => {
      answered = true
      return response
    })
    return { answer, isAnswered: () => answered }
  }
  const news = await wait('/v1/health/service/cASESVC')
  const other = await wait('/v1/health/service/Other')
  store.put(record('Node-B', 2, [service('CaseSvc-1', { port: 81 })], [check('c', 'CaseSvc-1')]), 0)
  await until('a change', news.isAnswered)
  t.match((await news.answer).json(), [{ Service: { Port: 81 } }, {}])
  t.notOk(other.isAnswered(), 'nobody else')

  const end = await wait('/v1/catalog/service/casesvc')
  store.put(record('Node-B', 3, []), 0)
  await until('one spelling has gone', end.isAnswered)
  t.match((await end.answer).json(), [{ ServiceName: 'casesvc' }])

  const node = await wait('/v1/health/node/NODE-C')
  membership.set('node-c', { status: 'failed' })
  await until('a node', node.isAnswered)
  t.match((await node.answer).json(), [{ Status: 'critical' }])
  t.match((await other.answer).json(), [{ Checks: [{ Status: 'critical' }] }])
})
