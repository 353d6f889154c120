import t, { type Test } from 'tap'
import type { HealthCheck, ServiceInstance } from '../../../../discovery/catalog/types.ts'
import { type Harness, harness, until } from '../harness.ts'

function service(id: string, name: string, more: Partial<ServiceInstance> = {}): ServiceInstance {
  return {
    id,
    name,
    tags: [],
    address: '',
    port: 80,
    meta: {},
    weights: { passing: 1, warning: 1 },
    enableTagOverride: false,
    taggedAddresses: {},
    ...more,
  }
}

function check(id: string, serviceId: string, status: HealthCheck['status']): HealthCheck {
  return { id, name: id, status, notes: '', output: '', serviceId, type: 'ttl', interval: '', timeout: '' }
}

/** `web` on both nodes, `db` on n2; the check of `web` on n1 warns. */
function stocked(t: Test): Harness {
  const h = harness()
  t.teardown(() => h.app.close())
  h.catalog.putService(service('web1', 'web', { tags: ['v1'], meta: { env: 'qa' }, port: 8080 }))
  h.catalog.putCheck(check('alive', 'web1', 'warning'))
  h.catalog.other.services.set('web2', service('web2', 'web', { tags: ['v2'] }))
  h.catalog.other.services.set(
    'db',
    service('db', 'db', { taggedAddresses: { lan: { address: 'a', port: 5 } } }),
  )
  return h
}

const at = (path: string, filter: string): string => `${path}?filter=${encodeURIComponent(filter)}`

t.test('every list is filtered by what the client sees', async (t) => {
  const { app } = stocked(t)
  const json = async (path: string, filter: string) => {
    const answer = await app.inject(at(path, filter))
    t.equal(answer.statusCode, 200, `${path} ${filter} ${answer.body}`)
    return answer.json()
  }
  const names = async (path: string, filter: string, name: string) =>
    (await json(path, filter)).map((each: Record<string, unknown>) => each[name])

  t.same(await names('/v1/catalog/nodes', 'Meta.zone == b', 'Node'), ['n2'])
  t.same(await names('/v1/catalog/nodes', 'TaggedAddresses.lan_ipv4 == "10.0.0.1"', 'Node'), ['n1'])
  t.same(await names('/v1/catalog/service/web', 'v2 in ServiceTags', 'ServiceID'), ['web2'])
  t.same(await names('/v1/catalog/service/web', 'NodeMeta.zone matches "^a" or ServicePort == 1', 'Node'), [
    'n1',
  ])
  t.same(await json('/v1/catalog/services', 'ServiceMeta.env == qa'), { web: ['v1'] })
  t.same(await json('/v1/catalog/services', 'ServiceName != web'), { consul: [], db: [] })
  t.same(await json('/v1/catalog/services', 'ServiceName == none'), {})
  t.same(Object.keys((await json('/v1/catalog/node/n2', 'Service == db')).Services), ['db'])
  t.same((await json('/v1/catalog/node/n2', 'Service == none')).Services, {})
  t.equal((await json('/v1/catalog/node/n2', 'TaggedAddresses.lan.Port == 5')).Services.db.ID, 'db')
  t.equal((await json('/v1/catalog/node-services/n2', 'Service != web')).Services.length, 2)

  const instances = async (filter: string) =>
    (await json('/v1/health/service/web', filter)).map((each: { Service: { ID: string } }) => each.Service.ID)
  t.same(await instances('Checks.Status == warning'), ['web1'])
  t.same(await instances('not Checks.Status == warning'), ['web2'])
  t.same(await instances('Service.Meta is empty and Node.Node == n2'), ['web2'])
  t.same(await instances('Service.Kind == "" and Service.Connect.Native == false'), ['web1', 'web2'])
  t.same(await names('/v1/health/node/n1', 'CheckID != serfHealth', 'CheckID'), ['alive'])
  t.same(await names('/v1/health/checks/web', 'Status == warning', 'CheckID'), ['alive'])
  t.same(await names('/v1/health/state/any', 'ServiceName == web', 'CheckID'), ['alive'])
  t.same(await names('/v1/health/state/any', '"v1" in ServiceTags', 'CheckID'), ['alive'])

  t.same(Object.keys(await json('/v1/agent/services', 'Service == web and Port == 8080')), ['web1'])
  t.same(await json('/v1/agent/services', 'env not in Meta'), {})
  t.same(Object.keys(await json('/v1/agent/checks', 'Status == warning')), ['alive'])
  t.same(await json('/v1/agent/checks', 'Status == passing'), {})
  t.same(await names('/v1/agent/members', 'Status == 4 or Name == n1', 'Name'), ['n1', 'n2'])
  t.same(await names('/v1/agent/members', 'Tags.role == consul and Addr contains ":"', 'Name'), ['n2'])

  const create = (Name: string) => app.inject({ method: 'PUT', url: '/v1/session/create', payload: { Name } })
  await create('one')
  await create('two')
  t.same(await names('/v1/session/list', 'Name == two', 'Name'), ['two'])
  t.same(await names('/v1/session/list', 'serfHealth in NodeChecks and Behavior == release', 'Name'), [
    'one',
    'two',
  ])
})

t.test('a filter that cannot be used is refused: 400 by the agent, 500 elsewhere', async (t) => {
  const { app } = stocked(t)
  const cases: [path: string, status: number][] = [
    ['/v1/agent/services', 400],
    ['/v1/agent/checks', 400],
    ['/v1/agent/members', 400],
    ['/v1/catalog/nodes', 500],
    ['/v1/catalog/services', 500],
    ['/v1/catalog/service/web', 500],
    ['/v1/catalog/node/n1', 500],
    ['/v1/catalog/node-services/n1', 500],
    ['/v1/health/node/n1', 500],
    ['/v1/health/checks/web', 500],
    ['/v1/health/service/web', 500],
    ['/v1/health/state/any', 500],
    ['/v1/session/list', 500],
  ]
  for (const [path, status] of cases) {
    const unknown = await app.inject(at(path, 'Nothing == x'))
    t.equal(unknown.statusCode, status, path)
    t.equal(unknown.body, 'Failed to create boolean expression evaluator: Selector "Nothing" is not valid')
    t.equal(unknown.headers['content-type'], 'text/plain; charset=utf-8')
    const broken = await app.inject(at(path, 'Node = x'))
    t.match(broken.body, /^Failed to create boolean expression evaluator: 1:6 \(5\): expected an operator/)
    t.equal((await app.inject(`${path}?filter=`)).statusCode, 200, 'an empty one is none')
  }
  for (const path of ['/v1/kv/x', '/v1/session/info/x', '/v1/status/leader', '/v1/agent/self']) {
    const answer = await app.inject(at(path, 'Node == x'))
    t.equal(answer.statusCode, 400, path)
    t.equal(answer.body, 'filter is not supported here')
  }
})

t.test('a filter that takes too much work is refused', async (t) => {
  const { app, catalog } = stocked(t)
  const tags = Array.from({ length: 128 }, (_, i) => `t${i}`)
  catalog.putService(service('web1', 'web', { tags }))
  for (const [path, field, status] of [
    ['/v1/health/service/web', 'Service.Tags', 500],
    ['/v1/catalog/services', 'ServiceTags', 500],
    ['/v1/agent/services', 'Tags', 400],
  ] as const) {
    const nested = `any ${field} as a { any ${field} as b { any ${field} as c { a == x } } }`
    const answer = await app.inject(at(path, nested))
    t.equal(answer.statusCode, status, path)
    t.match(answer.body, /: it looks at more than 10000 elements of collections within collections$/)
  }
})

t.test(
  'a blocking query with a filter has the index of everything and wakes for what it lets pass',
  async (t) => {
    const { app, catalog } = stocked(t)
    const url = at('/v1/health/service/web', 'not (Checks.Status == critical or Checks.Status == warning)')
    const first = await app.inject(url)
    t.equal(first.json().length, 1)
    const all = await app.inject('/v1/health/service/web')
    t.equal(first.headers['x-consul-index'], all.headers['x-consul-index'])
    let answered = false
    const waiting = app.inject(`${url}&index=${first.headers['x-consul-index']}&wait=30s`).then((answer) => {
      answered = true
      return answer
    })
    await until('it waits', () => catalog.watching > 0)
    catalog.putCheck(check('alive', 'web1', 'critical'))
    // Takes the same way as the answer of a query that woke before it.
    await app.inject('/v1/health/service/web')
    t.notOk(answered, 'what the filter leaves out does not wake it')
    catalog.putCheck(check('alive', 'web1', 'passing'))
    const answer = await waiting
    t.equal(answer.json().length, 2)
    t.ok(Number(answer.headers['x-consul-index']) > Number(first.headers['x-consul-index']))
  },
)
