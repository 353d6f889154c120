import t from 'tap'
import type { AccessRequest } from '../../../agent/http/permissions.ts'
import { harness } from './harness.ts'

t.test('a route without a permission cannot be added', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  t.throws(() => app.get('/ui', async () => ''), /route GET \/ui declares no permission/)
  t.throws(
    () => app.get('/ui', { config: { permission: 'everything' as never } }, async () => ''),
    /declares no permission/,
  )
  app.get('/ui', { config: { permission: 'public' } }, async () => 'fine')
  t.equal((await app.inject('/ui')).body, 'fine')
})

t.test('the policy decides before the body is read', async (t) => {
  const seen: AccessRequest[] = []
  const authorizer = {
    authorize: async (request: AccessRequest) => {
      seen.push(request)
      return request.token === 'good'
    },
  }
  const { app, consensus } = harness({ authorizer })
  t.teardown(() => app.close())
  const denied = await app.inject({
    method: 'PUT',
    url: '/v1/kv/a/b?flags=1',
    payload: Buffer.alloc(600_000),
  })
  t.equal(denied.statusCode, 403)
  t.equal(denied.body, 'Permission denied')
  t.same(seen, [{ permission: 'key:write', token: null, method: 'PUT', path: '/v1/kv/a/b' }])
  t.same(consensus.proposals, [])
  const api = await app.inject('/api/v1/leases')
  t.equal(api.statusCode, 403)
  t.equal(api.json().error.code, 'HTTP_FORBIDDEN')

  const ways: { url: string; headers: Record<string, string> }[] = [
    { url: '/v1/kv/a?token=good', headers: { 'x-consul-token': 'bad' } },
    { url: '/v1/kv/a', headers: { 'x-consul-token': 'good', authorization: 'Bearer bad' } },
    { url: '/v1/kv/a', headers: { authorization: 'Bearer good' } },
  ]
  for (const way of ways) t.equal((await app.inject({ method: 'GET', ...way })).statusCode, 404)
  t.equal(
    (await app.inject({ url: '/v1/kv/a', headers: { authorization: 'Basic eDp5' } })).statusCode,
    403,
    'basic credentials are no token, and no error',
  )
  t.equal((await app.inject('/healthz')).statusCode, 200, 'public')
})
