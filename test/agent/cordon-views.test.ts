import { pino } from 'pino'
import t from 'tap'
import { CatalogStore } from '../../discovery/catalog/store.ts'
import { aliasResult } from '../../discovery/health/alias-check.ts'
import { FakeMembership, record } from '../discovery/catalog/fixtures.ts'
import { FakeLocal, service } from '../discovery/health/fixtures.ts'
import { harness } from './http/harness.ts'

/** A catalogue of this node, n1, and the node n2, each with an instance of `web`. */
function catalogOfTwo() {
  const membership = new FakeMembership('peer-1')
  membership.set('peer-1', { name: 'n1' })
  membership.set('peer-2', { name: 'n2' })
  const catalog = new CatalogStore({ membership, log: pino({ level: 'silent' }) })
  catalog.start()
  const local = new FakeLocal()
  local.putService(service('web'))
  catalog.put(local.record(), 0)
  catalog.put(record('peer-2', 1, [service('web')], [], { name: 'n2' }), 0)
  return { catalog, local }
}

t.test('the health of a service says that its node is cordoned', async (t) => {
  const { catalog, local } = catalogOfTwo()
  const { app } = harness({ catalog, local })
  t.teardown(() => app.close())
  const cordon = {
    CheckID: '_node_cordon',
    Name: 'Node Cordoned',
    Node: 'n1',
    Status: 'critical',
    ServiceID: '',
  }
  for (const path of ['id/web', 'name/web']) {
    const url = `/v1/agent/health/service/${path}`
    catalog.setCordoned(new Set(['peer-1']))
    const held = await app.inject(url)
    t.same([held.statusCode, held.headers['x-consul-reason']], [503, 'critical'], path)
    t.match([held.json()].flat(), [{ AggregatedStatus: 'critical', Checks: [cordon] }])
    const text = await app.inject(`${url}?format=text`)
    t.same([text.statusCode, text.body], [503, 'critical'])
    catalog.setCordoned(new Set(['peer-2']))
    const free = await app.inject(url)
    t.equal(free.statusCode, 200, 'the cordon of another node does not count')
    t.match([free.json()].flat(), [{ AggregatedStatus: 'passing', Checks: { length: 0 } }])
  }
})

t.test('an alias of a cordoned node is critical, with a service and without', async (t) => {
  const { catalog } = catalogOfTwo()
  const result = (name: string) =>
    aliasResult({ type: 'alias', node: 'n2', service: name }, catalog, { node: 'n1', check: 'alias' })
  t.match([result(''), result('web')], [{ status: 'passing' }, { status: 'passing' }])
  catalog.setCordoned(new Set(['peer-2']))
  const cordoned = { status: 'critical', output: /^Aliased check "Node Cordoned" failing: An operator/ }
  t.match([result(''), result('web')], [cordoned, cordoned])
  catalog.setCordoned(new Set(['peer-1']))
  t.match([result(''), result('web')], [{ status: 'passing' }, { status: 'passing' }])
})
