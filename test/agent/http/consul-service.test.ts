import t from 'tap'
import type { ServiceInstance } from '../../../discovery/catalog/types.ts'
import { harness, until } from './harness.ts'

function service(id: string, name: string): ServiceInstance {
  return {
    id,
    name,
    tags: ['mine'],
    address: '',
    port: 80,
    meta: {},
    weights: { passing: 1, warning: 1 },
    enableTagOverride: false,
    taggedAddresses: {},
  }
}

t.test(
  'every agent is an instance of the service consul, and only to readers of the catalogue',
  async (t) => {
    const { app, catalog } = harness()
    t.teardown(() => app.close())
    const json = async (url: string) => (await app.inject(url)).json()
    t.same(await json('/v1/catalog/services'), { consul: [] })
    t.same(await json('/v1/catalog/services?node-meta=zone:none'), {})
    t.match(await json('/v1/catalog/service/consul'), [
      {
        Node: 'n1',
        ServiceID: 'consul',
        ServiceName: 'consul',
        ServiceTags: [],
        ServiceAddress: '',
        ServicePort: 7946,
      },
      { Node: 'n2', ServiceID: 'consul', ServicePort: 7946 },
    ])
    t.match(await json('/v1/catalog/node/n1'), { Services: { consul: { Service: 'consul', Port: 7946 } } })
    catalog.otherAlive = false
    const passing = await json('/v1/health/service/consul?passing')
    t.match(passing, [{ Node: { Node: 'n1' }, Checks: [{ CheckID: 'serfHealth', Status: 'passing' }] }])
    t.equal(passing.length, 1, 'a dead node does not pass')
    t.same(await json('/v1/health/checks/consul'), [])
    t.same(await json('/v1/catalog/service/consul?tag=x'), [])
    t.same(await json('/v1/agent/services'), {}, 'nobody registered it')
    t.same(await json('/api/v1/services'), [])

    catalog.putService(service('consul', 'consul'))
    t.match(await json('/v1/catalog/services'), { consul: ['mine'] })
    const both = await json('/v1/catalog/service/consul')
    t.same(
      both.map((each: Record<string, unknown>) => [each.Node, each.ServicePort]),
      [
        ['n1', 80],
        ['n2', 7946],
      ],
      'what a node registered itself goes first',
    )
  },
)

t.test('who waits for the service consul is woken by agents and by nothing else', async (t) => {
  const { app, catalog } = harness()
  t.teardown(() => app.close())
  const url = '/v1/health/service/consul'
  const first = await app.inject(url)
  const index = first.headers['x-consul-index']
  let answered = false
  const waiting = app.inject(`${url}?index=${index}&wait=30s`).finally(() => {
    answered = true
  })
  await until('it waits', () => catalog.watching > 0)
  catalog.putService(service('web', 'web'))
  t.equal((await app.inject(url)).headers['x-consul-index'], index, 'another service leaves its index alone')
  t.notOk(answered)
  catalog.otherAlive = false
  catalog.touch()
  const answer = await waiting
  t.ok(Number(answer.headers['x-consul-index']) > Number(index))
  t.equal(answer.json()[1].Checks[0].Status, 'critical')
})
