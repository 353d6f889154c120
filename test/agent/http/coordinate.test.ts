import t from 'tap'
import { FakeMembership } from './fake-discovery.ts'
import { harness } from './harness.ts'

const at = (x: number) => ({ vec: [x, 0, 0, 0, 0, 0, 0, 0], height: 0.001, adjustment: -0.0001, error: 0.5 })

t.test('coordinates in Consul’s shape', async (t) => {
  const membership = new FakeMembership()
  membership.places.set('peer-2', at(0.01)).set('peer-1', at(0)).set('peer-3', at(9))
  const { app } = harness({ membership })
  t.teardown(() => app.close())
  const n2 = {
    Node: 'n2',
    Segment: '',
    Coord: { Adjustment: -0.0001, Error: 0.5, Height: 0.001, Vec: [0.01, 0, 0, 0, 0, 0, 0, 0] },
  }
  const nodes = await app.inject('/v1/coordinate/nodes')
  t.same(
    nodes.json().map(({ Node }: { Node: string }) => Node),
    ['n1', 'n2'],
    'those that left are not listed',
  )
  t.same(nodes.json()[1], n2)
  t.match(nodes.headers, { 'x-consul-index': /^\d+$/, 'x-consul-knownleader': 'true' })
  t.same((await app.inject('/v1/coordinate/node/n2')).json(), [n2])
  t.same((await app.inject('/v1/coordinate/node/N2')).json(), [n2], 'in any case')
  for (const unknown of ['n3', 'nobody']) {
    const { statusCode, body } = await app.inject(`/v1/coordinate/node/${unknown}`)
    t.same([statusCode, body], [404, ''], unknown)
  }
  t.equal((await app.inject('/v1/coordinate/node/')).statusCode, 400)
  t.match((await app.inject('/v1/coordinate/datacenters')).json(), [
    { Datacenter: 'dc1', AreaID: 'wan', Coordinates: [{ Node: 'n1.dc1' }, { Node: 'n2.dc1' }] },
  ])
  t.equal((await app.inject('/api/v1/nodes')).json()[0].rttMs, 0)
  t.equal(Math.round((await app.inject('/api/v1/nodes')).json()[1].rttMs * 10), 118)
})

t.test('the index moves when the coordinates do, and a query waits for it', async (t) => {
  const membership = new FakeMembership()
  const { app } = harness({ membership })
  t.teardown(() => app.close())
  t.same((await app.inject('/v1/coordinate/nodes')).json(), [], 'nothing is measured yet')
  const index = (await app.inject('/v1/coordinate/nodes')).headers['x-consul-index']
  const waited = await app.inject(`/v1/coordinate/nodes?index=${index}&wait=20ms`)
  t.equal(waited.headers['x-consul-index'], index)
  const ahead = await app.inject(`/v1/coordinate/nodes?index=${Number(index) + 100}&wait=1m`)
  t.equal(ahead.headers['x-consul-index'], index, 'an index of another agent waits for nothing')
})

t.test('force-leave', async (t) => {
  const membership = new FakeMembership()
  const { app } = harness({ membership })
  t.teardown(() => app.close())
  const send = async (path: string, method: 'PUT' | 'GET' = 'PUT') => {
    const { statusCode, body } = await app.inject({ method, url: `/v1/agent/force-leave/${path}` })
    return [statusCode, body]
  }
  t.same(await send('n2'), [200, ''])
  t.same(await send('peer-2?prune'), [200, ''])
  t.same(await send('n3?prune=1', 'GET'), [200, ''], 'as old clients ask')
  t.same(membership.forced, ['n2', 'peer-2 prune', 'n3 prune'])
  t.same(await send('nobody'), [500, "agent: No node found with name 'nobody'"])
  t.same(await send('n1'), [400, 'n1 is alive'])
  t.same(await send(''), [400, 'Missing node name'])
  const page = await app.inject({
    url: '/v1/agent/force-leave/n2',
    headers: { 'sec-fetch-site': 'cross-site' },
  })
  t.equal(page.statusCode, 403)
})
