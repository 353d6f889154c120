import t from 'tap'
import type { ServiceInstance } from '../../../discovery/catalog/types.ts'
import { compileFilters, type FilteredNode } from '../../../discovery/events/filters.ts'

function node(name: string, services: Record<string, string[]>): FilteredNode {
  const instances = Object.entries(services).map(([id, tags]): [string, ServiceInstance] => [
    id,
    {
      id,
      name: id.split('#')[0] ?? id,
      tags,
      address: '',
      port: 80,
      meta: {},
      weights: { passing: 1, warning: 1 },
      enableTagOverride: false,
      taggedAddresses: {},
    },
  ])
  return { name, services: new Map(instances) }
}

const filters = (nodeFilter: string, serviceFilter = '', tagFilter = '') => ({
  nodeFilter,
  serviceFilter,
  tagFilter,
})
const NODE = node('web-1', { 'api#1': ['blue'], 'api#2': ['green'], db: ['primary'] })

t.test('an event is for a node that every filter matches, anywhere in the text', async (t) => {
  const matching = [
    filters(''),
    filters('web'),
    filters('^web-[0-9]+$'),
    filters('(?i)WEB'),
    filters('', 'api'),
    filters('', '^api$', '^green$'),
    filters('web', 'db', 'primary'),
    filters('', '.', '.'),
  ]
  for (const each of matching) t.equal(compileFilters(each)(NODE), true, JSON.stringify(each))
  const others = [
    filters('^eb'),
    filters('db'),
    filters('', '^ap$'),
    filters('', 'db', 'green'),
    filters('^db-', 'api'),
    filters('web', 'nope'),
  ]
  for (const each of others) t.equal(compileFilters(each)(NODE), false, JSON.stringify(each))
  t.equal(compileFilters(filters('', '.'))(node('n', {})), false, 'no service, nothing to match')
})

t.test('what is no filter is refused, and the filter is named', async (t) => {
  const refused = (given: ReturnType<typeof filters>, message: string | RegExp) =>
    t.throws(() => compileFilters(given), { code: 'EVT_INVALID', message })
  refused(filters('('), /^Invalid node filter: .*missing closing \)/)
  refused(filters('', '['), /^Invalid service filter: /)
  refused(filters('', 'api', '(?=x)'), /^Invalid tag filter: .*\(\?=/)
  refused(filters('', '', 'blue'), 'Tag filter provided without service filter')
  refused(filters('x'.repeat(513)), 'Invalid node filter: it has 513 characters, the limit is 512')
  refused(filters('(ab{400}){2}|(cd{400}){2}'), 'Invalid node filter: it is too complex')
})

t.test('an expression that takes others for ever is answered', async (t) => {
  // An engine that backtracks needs about 2^200 steps.
  const hostile = compileFilters(filters('^(a+)+$'))
  t.equal(hostile(node(`${'a'.repeat(200)}!`, {})), false)
})
