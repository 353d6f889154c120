import t from 'tap'
import { LocalRecord } from '../../../discovery/catalog/local-record.ts'
import { memoryLog } from '../../discovery/health/fixtures.ts'
import { tempDir } from '../../discovery/temp-dir.ts'
import { harness } from './harness.ts'

type App = ReturnType<typeof harness>['app']
const put = (app: App, url: string, body?: unknown) =>
  app.inject({ method: 'PUT', url, ...(body === undefined ? {} : { payload: JSON.stringify(body) }) })
const register = (app: App, id: string, extra = {}) =>
  put(app, '/v1/agent/service/register', { ID: id, Name: 'web', ...extra })

t.test('a node in maintenance takes all its services out until it ends', async (t) => {
  const { app, catalog, health } = harness()
  t.teardown(() => app.close())
  await register(app, 'web1')
  const passing = async () => (await app.inject('/v1/health/service/web?passing')).json().length
  t.equal(await passing(), 1)
  const kept = health.kept
  const begun = await put(app, '/v1/agent/maintenance?enable=true&reason=new+disk')
  t.equal(begun.statusCode, 200)
  t.equal(begun.body, '')
  t.ok(health.kept > kept, 'the answer waits for the disk')
  t.match((await app.inject('/v1/agent/checks')).json()._node_maintenance, {
    CheckID: '_node_maintenance',
    Name: 'Node Maintenance Mode',
    Status: 'critical',
    Notes: 'new disk',
    Type: 'maintenance',
    ServiceID: '',
  })
  t.equal(await passing(), 0)
  await put(app, '/v1/agent/maintenance?enable=1')
  t.match(catalog.record().checks.get('_node_maintenance')?.notes, /no reason was provided/)
  t.equal((await put(app, '/v1/agent/maintenance?enable=false')).statusCode, 200)
  t.equal((await put(app, '/v1/agent/maintenance?enable=false')).statusCode, 200, 'ending twice is fine')
  t.equal(await passing(), 1)
})

t.test(
  'a service in maintenance leaves the others alone, and registering again does not end it',
  async (t) => {
    const { app, catalog } = harness()
    t.teardown(() => app.close())
    await register(app, 'a/b')
    await register(app, 'web2')
    t.equal((await put(app, '/v1/agent/service/maintenance/a%2Fb?enable=true&reason=slow')).statusCode, 200)
    t.match(catalog.record().checks.get('_service_maintenance:a/b'), {
      name: 'Service Maintenance Mode',
      status: 'critical',
      notes: 'slow',
      serviceId: 'a/b',
    })
    const passing = (await app.inject('/v1/health/service/web?passing')).json()
    t.same(
      passing.map((entry: { Service: { ID: string } }) => entry.Service.ID),
      ['web2'],
    )
    await put(app, '/v1/agent/service/register?replace-existing-checks', {
      ID: 'a/b',
      Name: 'web',
      Check: { TTL: '10s' },
    })
    t.same([...catalog.record().checks.keys()], ['_service_maintenance:a/b', 'service:a/b'])
    await put(app, '/v1/agent/service/maintenance/a%2Fb?enable=false')
    t.same([...catalog.record().checks.keys()], ['service:a/b'])
  },
)

t.test('what is refused', async (t) => {
  const { app, catalog } = harness()
  t.teardown(() => app.close())
  const refused: [string, number, string | RegExp][] = [
    ['/v1/agent/maintenance', 400, 'Missing value for enable'],
    ['/v1/agent/maintenance?enable=yes', 400, 'Invalid value for enable: "yes"'],
    [`/v1/agent/maintenance?enable=true&reason=${'x'.repeat(4_097)}`, 400, /reason/],
    ['/v1/agent/service/maintenance/?enable=true', 400, 'Missing service ID'],
    ['/v1/agent/service/maintenance/none', 400, 'Missing value for enable'],
    ['/v1/agent/service/maintenance/none?enable=true', 404, /^Unknown service ID "none"/],
  ]
  for (const [url, code, text] of refused) {
    const answer = await put(app, url)
    t.equal(answer.statusCode, code, url.slice(0, 60))
    t.match(answer.body, text)
  }
  for (const CheckID of ['_node_maintenance', '_service_maintenance:web']) {
    const answer = await put(app, '/v1/agent/check/register', { Name: 'c', CheckID, TTL: '1s' })
    t.same(
      [answer.statusCode, answer.body],
      [400, `Invalid check: the id "${CheckID}" belongs to maintenance mode`],
    )
  }
  t.equal(catalog.record().checks.size, 0)
})

t.test('maintenance survives a restart as it was', async (t) => {
  const dataDir = tempDir(t)
  const identity = { id: 'peer-1', name: 'n1', address: '10.0.0.1', meta: {} }
  const open = async (incarnation: number) => {
    const local = new LocalRecord({ dataDir }, { log: memoryLog().log })
    await local.open({ ...identity, incarnation })
    return local
  }
  const first = await open(1)
  const { app } = harness({ local: first })
  t.teardown(() => app.close())
  await register(app, 'web1')
  await put(app, '/v1/agent/maintenance?enable=true&reason=node')
  await put(app, '/v1/agent/service/maintenance/web1?enable=true&reason=service')
  t.same([...(await open(2)).record().checks.values()], [...first.record().checks.values()])
})

t.test('the health of a service of this node: status, text, JSON', async (t) => {
  const { app, catalog } = harness()
  t.teardown(() => app.close())
  await register(app, 'web1', { Check: { CheckID: 'c1', TTL: '10s' } })
  await register(app, 'web2', { Check: { CheckID: 'c2', TTL: '10s' } })
  for (const [verb, code, status] of [
    ['pass', 200, 'passing'],
    ['warn', 429, 'warning'],
    ['fail', 503, 'critical'],
  ] as const) {
    await put(app, `/v1/agent/check/${verb}/c1`)
    await put(app, '/v1/agent/check/pass/c2')
    const byId = await app.inject('/v1/agent/health/service/id/web1')
    t.equal(byId.statusCode, code)
    t.equal(byId.headers['x-consul-reason'], status)
    t.match(byId.json(), {
      AggregatedStatus: status,
      Service: { ID: 'web1', Service: 'web' },
      Checks: [{ CheckID: 'c1', Status: status }],
    })
    t.equal((await app.inject('/v1/agent/health/service/id/web2')).statusCode, 200)
    const byName = await app.inject('/v1/agent/health/service/name/web')
    t.equal(byName.statusCode, code, 'the worst decides')
    t.same(
      byName.json().map((info: { AggregatedStatus: string }) => info.AggregatedStatus),
      [status, 'passing'],
    )
    const text = await app.inject('/v1/agent/health/service/name/web?format=text')
    t.same([text.statusCode, text.body], [code, status])
  }
  await put(app, '/v1/agent/check/pass/c1')
  await put(app, '/v1/agent/service/maintenance/web1?enable=true')
  const url = '/v1/agent/health/service/id/web1'
  const held = await app.inject({ url, headers: { accept: 'text/plain' } })
  t.same([held.statusCode, held.body], [503, 'maintenance'])
  catalog.removeCheck('_service_maintenance:web1')
  await put(app, '/v1/agent/maintenance?enable=true')
  t.equal((await app.inject('/v1/agent/health/service/id/web2')).json().AggregatedStatus, 'maintenance')
})

t.test('the health of services that are not there', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const get = async (path: string) => {
    const { statusCode, body } = await app.inject(`/v1/agent/health/service/${path}`)
    return [statusCode, body]
  }
  t.same(await get('id/x?format=text'), [404, 'ServiceId x not found'])
  t.same(await get('name/x?format=text'), [404, 'ServiceName x Not Found'])
  t.same(await get('id/x'), [404, '{"AggregatedStatus":"critical","Service":null,"Checks":null}'])
  t.same(await get('name/x'), [404, '[]'])
  t.same(await get('id/'), [400, 'Missing serviceID'])
  t.same(await get('name/'), [400, 'Missing service Name'])
  t.same((await get('id/%C3%A9%0D%0Ax?format=text'))[0], 404, 'no name breaks the header')
})
