import t from 'tap'
import type { ServiceInstance } from '../../../discovery/catalog/types.ts'
import { harness } from './harness.ts'

function service(id: string, name: string, tags: string[]): ServiceInstance {
  return {
    id,
    name,
    tags,
    address: '',
    port: 80,
    meta: {},
    weights: { passing: 1, warning: 1 },
    enableTagOverride: false,
    taggedAddresses: {},
  }
}

function stocked() {
  const h = harness()
  h.catalog.putService(service('web1', 'web', ['v1', 'a']))
  h.catalog.other.services.set('web2', service('web2', 'web', ['v2', 'a']))
  h.catalog.other.services.set('db', service('db', 'db', []))
  return h
}

t.test('reads of the catalogue', async (t) => {
  const { app, catalog } = stocked()
  t.teardown(() => app.close())
  const json = async (url: string) => (await app.inject(url)).json()

  t.same(await json('/v1/catalog/datacenters'), ['dc1'])
  const nodes = await app.inject('/v1/catalog/nodes')
  t.equal(nodes.headers['x-consul-index'], String(catalog.index))
  t.match(nodes.json(), [
    {
      Node: 'n1',
      Address: '10.0.0.1',
      TaggedAddresses: { lan: '10.0.0.1', wan: '10.0.0.1', lan_ipv4: '10.0.0.1', wan_ipv4: '10.0.0.1' },
      Meta: { zone: 'a', 'consul-network-segment': '' },
      CreateIndex: 3,
      ModifyIndex: 4,
    },
    { Node: 'n2' },
  ])
  t.same(
    (await json('/v1/catalog/nodes?node-meta=zone:b')).map((node: { Node: string }) => node.Node),
    ['n2'],
  )
  t.same(await json('/v1/catalog/services'), { consul: [], db: [], web: ['a', 'v1', 'v2'] })
  t.equal(
    (await json('/v1/catalog/nodes?node-meta=consul-network-segment:')).length,
    2,
    'what every node shows',
  )
  t.same(await json('/v1/catalog/services?node-meta=zone:a'), { consul: [], web: ['a', 'v1'] })
  t.same(await json('/v1/catalog/services?node-meta=zone:a&node-meta=zone:b'), {})

  const ids = async (url: string) => (await json(url)).map((each: { ServiceID: string }) => each.ServiceID)
  t.same(await ids('/v1/catalog/service/web'), ['web1', 'web2'])
  t.same(await ids('/v1/catalog/service/web?tag=a&tag=v2'), ['web2'])
  t.same(await ids('/v1/catalog/service/web?near=_agent&tag=none'), [])
  t.match((await json('/v1/catalog/service/web'))[0], {
    Node: 'n1',
    ServiceName: 'web',
    ServiceAddress: '',
    ServicePort: 80,
    ServiceLocality: null,
  })
  t.equal(
    (await app.inject('/v1/catalog/service/web')).headers['x-consul-index'],
    String(catalog.serviceIndex('web')),
  )
  t.equal((await app.inject('/v1/catalog/service/')).body, 'Missing service name')

  const node = await json('/v1/catalog/node/n2')
  t.same(Object.keys(node.Services), ['consul', 'db', 'web2'])
  t.equal((await json(`/v1/catalog/node/${node.Node.ID.slice(0, 12)}`)).Node.Node, 'n2')
  t.same(
    (await json('/v1/catalog/node-services/n2')).Services.map((each: { ID: string }) => each.ID),
    ['consul', 'db', 'web2'],
  )
})

t.test('health', async (t) => {
  const { app, catalog } = stocked()
  t.teardown(() => app.close())
  const json = async (url: string) => (await app.inject(url)).json()
  catalog.putCheck({
    id: 'c1',
    name: 'C',
    status: 'warning',
    notes: '',
    output: 'o',
    serviceId: 'web1',
    type: 'http',
    interval: '10s',
    timeout: '',
  })
  catalog.otherAlive = false
  const ids = async (url: string) =>
    (await json(url)).map((each: { Node: string; CheckID: string }) => `${each.Node} ${each.CheckID}`)
  t.same(await ids('/v1/health/node/n1'), ['n1 serfHealth', 'n1 c1'])
  t.same(await ids('/v1/health/node/none'), [])
  t.same(await ids('/v1/health/checks/web'), ['n1 c1'])
  t.same(await ids('/v1/health/state/any'), ['n1 serfHealth', 'n1 c1', 'n2 serfHealth'])
  t.same(await ids('/v1/health/state/critical'), ['n2 serfHealth'])
  t.same(await ids('/v1/health/state/any?node-meta=zone:b'), ['n2 serfHealth'])
  t.same(await ids('/v1/health/state/unknown'), [])
  t.same((await json('/v1/health/service/web?passing')).length, 0)
  t.same((await json('/v1/health/service/web?tag=v2')).length, 1)
  t.equal((await app.inject('/v1/health/service/')).body, 'Missing service name')
  t.equal((await app.inject('/v1/health/node/')).body, 'Missing node name')
  t.equal((await app.inject('/v1/health/state/')).body, 'Missing check state')
  t.match((await json('/v1/health/checks/web'))[0], {
    ServiceName: 'web',
    ServiceTags: ['v1', 'a'],
    Interval: '10s',
    Type: 'http',
    Definition: {},
  })
})

t.test('the catalogue answers without a leader', async (t) => {
  const { app, consensus } = stocked()
  t.teardown(() => app.close())
  consensus.loseLeader()
  for (const url of ['/v1/catalog/services', '/v1/health/service/web', '/v1/catalog/nodes?consistent']) {
    const answer = await app.inject(url)
    t.equal(answer.statusCode, 200, url)
    t.match(answer.headers, {
      'x-consul-knownleader': 'false',
      'x-consul-lastcontact': /^\d+$/,
      'x-consul-effective-consistency': 'stale',
    })
  }
  t.equal((await app.inject('/v1/catalog/nodes?stale&consistent')).statusCode, 400)
  t.equal((await app.inject('/v1/catalog/nodes?filter=x')).statusCode, 500)
})
