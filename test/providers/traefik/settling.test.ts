import t from 'tap'
import type { JsonObject } from '../../../providers/traefik/json.ts'
import { isRemovalOnly } from '../../../providers/traefik/settling.ts'

/** A document with one router and the servers of one service. */
function document(rule: string, urls: readonly string[], more: JsonObject = {}): JsonObject {
  const services = { web: { loadBalancer: { servers: urls.map((url) => ({ url })) } } }
  return { http: { routers: { web: { rule, service: 'web' } }, services, ...more } }
}

t.test('what only takes servers away', (t) => {
  const before = document('a', ['1', '2'])
  t.ok(isRemovalOnly(before, document('a', ['1'])))
  t.ok(isRemovalOnly(before, document('a', [])))
  t.ok(isRemovalOnly(before, before))
  t.end()
})

t.test('what does more than that', (t) => {
  const before = document('a', ['1', '2'])
  t.notOk(isRemovalOnly(before, document('b', ['1'])), 'another rule')
  t.notOk(isRemovalOnly(before, document('a', ['1', '3'])), 'another server')
  t.notOk(isRemovalOnly(before, document('a', ['1'], { middlewares: { x: { compress: {} } } })), 'more')
  t.notOk(isRemovalOnly(document('a', ['1'], { middlewares: {} }), document('a', [])), 'less')
  const sticky = document('a', ['1'])
  const service = { loadBalancer: { servers: [{ url: '1' }], sticky: {} } }
  t.notOk(isRemovalOnly(before, { http: { ...(sticky.http as JsonObject), services: { web: service } } }))
  const renamed = { http: { routers: { web: { rule: 'a', service: 'web' } }, services: { api: service } } }
  t.notOk(isRemovalOnly(before, renamed), 'another service')
  t.end()
})
