import t from 'tap'
import { nearestFirst } from '../../../agent/http/near.ts'
import type { ServiceInstance } from '../../../discovery/catalog/types.ts'
import { FakeMembership } from './fake-discovery.ts'
import { harness } from './harness.ts'

function service(id: string): ServiceInstance {
  return {
    id,
    name: 'web',
    tags: [],
    address: '',
    port: 80,
    meta: {},
    weights: { passing: 1, warning: 1 },
    enableTagOverride: false,
    taggedAddresses: {},
  }
}

/** A place so many milliseconds from the origin. */
const at = (ms: number) => ({ vec: [ms / 1000, 0, 0, 0, 0, 0, 0, 0], height: 0, adjustment: 0, error: 0.1 })

t.test('the nearest come first where it is asked for', async (t) => {
  const membership = new FakeMembership()
  const { app, catalog } = harness({ membership })
  t.teardown(() => app.close())
  catalog.putService(service('a'))
  catalog.other.services.set('b', service('b'))
  const nodes = async (url: string) => {
    const answer = (await app.inject(url)).json() as { Node: string | { Node: string } }[]
    return [...new Set(answer.map(({ Node }) => (typeof Node === 'string' ? Node : Node.Node)))]
  }
  const urls = [
    '/v1/catalog/nodes',
    '/v1/catalog/service/web',
    '/v1/health/service/web',
    '/v1/health/state/any',
  ]
  membership.places.set('peer-1', at(0)).set('peer-2', at(30))
  for (const url of urls) {
    t.same(await nodes(`${url}?near=n2`), ['n2', 'n1'], url)
    t.same(await nodes(`${url}?near=_agent`), ['n1', 'n2'], `${url} from the agent`)
    t.same(await nodes(`${url}?near=nobody`), ['n1', 'n2'], `${url} from nowhere`)
    t.same(await nodes(url), ['n1', 'n2'], `${url} unsorted`)
  }
  const check = (id: string, serviceId: string) =>
    ({
      id,
      name: id,
      status: 'passing',
      notes: '',
      output: '',
      serviceId,
      type: '',
      interval: '',
      timeout: '',
    }) as const
  catalog.putCheck(check('c1', 'a'))
  catalog.other.checks.set('c2', check('c2', 'b'))
  t.same(await nodes('/v1/health/checks/web?near=n2'), ['n2', 'n1'])

  const from = async (remoteAddress: string) =>
    (
      (await app.inject({ url: '/v1/catalog/nodes?near=_ip', remoteAddress })).json() as { Node: string }[]
    ).map(({ Node }) => Node)
  t.same(await from('10.0.0.2'), ['n2', 'n1'], 'from the node the request came from')
  t.same(await from('::ffff:10.0.0.2'), ['n2', 'n1'])
  t.same(await from('10.0.0.99'), ['n1', 'n2'])

  membership.places.delete('peer-1')
  t.same(await nodes('/v1/catalog/nodes?near=n2'), ['n2', 'n1'], 'what has no place comes last')
  membership.places.clear()
  t.same(await nodes('/v1/catalog/nodes?near=n2'), ['n2', 'n1'], 'a node is nearest to itself')
})

t.test('those that are as near, or are nowhere, keep their order', async (t) => {
  const membership = new FakeMembership()
  const { catalog, app } = harness()
  t.teardown(() => app.close())
  const [first] = catalog.nodes()
  if (first === undefined) throw new Error('there is no node')
  const on = (id: string) => ({ node: { ...first, record: { ...first.record, id, name: id } } })
  const context = { membership, catalog } as never
  const request = { query: { near: '_agent' } } as never
  membership.places.set('peer-1', at(0)).set('x', at(5)).set('y', at(5)).set('z', at(1))
  const sorted = nearestFirst(context, request)
  const names = (ids: readonly string[]) => sorted(ids.map(on)).map(({ node }) => node.record.id)
  t.same(names(['u', 'y', 'v', 'x', 'z', 'w']), ['z', 'y', 'x', 'u', 'v', 'w'])
})
