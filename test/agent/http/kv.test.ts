import t from 'tap'
import { ConsensusError, outcomeUnknown } from '../../../consensus/errors.ts'
import { harness } from './harness.ts'

t.test('the life of a key (golden transcript A.1)', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  const get = (url: string) => app.inject({ method: 'GET', url })
  const put = async (url: string, payload: string | Buffer = '') =>
    (await app.inject({ method: 'PUT', url, payload })).body

  const missing = await get('/v1/kv/a/b')
  t.equal(missing.statusCode, 404)
  t.equal(missing.body, '')
  t.match(missing.headers, {
    'x-consul-index': '7',
    'x-consul-knownleader': 'true',
    'x-consul-lastcontact': '0',
    'x-consul-effective-consistency': 'leader',
    'content-length': '0',
  })

  const first = await app.inject({ method: 'PUT', url: '/v1/kv/a/b', payload: 'x' })
  t.equal(first.statusCode, 200)
  t.equal(first.headers['content-type'], 'application/json')
  t.equal(first.body, 'true')

  const found = await get('/v1/kv/a/b')
  t.equal(found.headers['x-consul-index'], '8', 'the index is the key’s own')
  t.equal(found.headers['content-type'], 'application/json')
  t.equal(
    found.body,
    '[{"LockIndex":0,"Key":"a/b","Flags":0,"Value":"eA==","CreateIndex":8,"ModifyIndex":8}]',
  )

  t.equal(await put('/v1/kv/a/b', 'x'), 'true')
  t.equal((await get('/v1/kv/a/b')).json()[0].ModifyIndex, 8, 'no change, no new index')

  t.equal(await put('/v1/kv/a%2Fb?flags=3304740253564472344'), 'true')
  const flagged = (await get('/v1/kv/a/b')).body
  t.match(flagged, '"Flags":3304740253564472344,"Value":null')
  t.notMatch(flagged, 'Session')
  const index = JSON.parse(flagged)[0].ModifyIndex

  t.equal(await put('/v1/kv/a/b?cas=8', 'y'), 'false')
  t.equal(await put('/v1/kv/a/b?cas=0', 'y'), 'false')
  t.equal(await put('/v1/kv/new?cas=0'), 'true')
  t.equal(
    await put(`/v1/kv/a/b?cas=${index}&wait=3000ms&stale=`, 'y'),
    'true',
    'client-wide parameters do no harm',
  )

  t.same((await get('/v1/kv/?keys&separator=/')).json(), ['a/', 'new'])
  t.same((await get('/v1/kv/?keys&seperator=/')).json(), ['a/', 'new'])
  t.same((await get('/v1/kv/a/?keys&separator=/')).json(), ['a/b'])
  t.same((await get('/v1/kv/?keys&recurse')).json(), ['a/b', 'new'], 'keys wins over recurse')
  const prefix = await get('/v1/kv/zzz?recurse')
  t.equal(prefix.statusCode, 404)
  t.equal(prefix.body, '')
  t.ok(prefix.headers['x-consul-index'])
  t.equal((await get('/v1/kv/zzz/?keys')).statusCode, 404)
  t.same((await get('/v1/kv/?recurse')).json().length, 2)

  const raw = await get('/v1/kv/a/b?raw')
  t.equal(raw.body, 'y')
  t.match(raw.headers, {
    'content-type': 'text/plain',
    'x-content-type-options': 'nosniff',
    'content-security-policy': 'sandbox',
  })

  const nameless = await get('/v1/kv/')
  t.equal(nameless.statusCode, 400)
  t.equal(nameless.body, 'Missing key name')
  t.equal(nameless.headers['content-type'], 'text/plain; charset=utf-8')
  t.equal((await get('/v1/kv')).body, 'Missing key name')
  t.equal(await put('/v1/kv/', 'x'), 'Missing key name')

  const conflict = await app.inject({ method: 'PUT', url: '/v1/kv/k?cas=1&acquire=s', payload: '' })
  t.equal(conflict.statusCode, 400)
  t.equal(conflict.body, 'Conflicting flags: acquire=s&cas=1\n')

  const remove = async (url: string) => (await app.inject({ method: 'DELETE', url })).body
  t.equal(await remove('/v1/kv/nope'), 'true')
  t.equal(await remove('/v1/kv/a/b?cas=1'), 'false')
  t.equal(await remove('/v1/kv/a/b?cas=1&recurse'), 'Conflicting flags: cas=1&recurse=\n')
  t.equal(await remove('/v1/kv/'), 'Missing key name')
  t.equal(await remove('/v1/kv/a?recurse'), 'true')
  t.equal((await get('/v1/kv/a/b')).statusCode, 404)
  t.ok(Number((await get('/v1/kv/a/b')).headers['x-consul-index']) > index)
  t.equal(await remove('/v1/kv/?recurse'), 'true')
  const none = await get('/v1/kv/?keys')
  t.equal(none.statusCode, 200)
  t.equal(none.body, '[]')
  t.equal(consensus.kvList('').length, 0)
})

t.test('locks', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  const put = (url: string, payload = '') => app.inject({ method: 'PUT', url, payload })
  consensus.addSession('s1')
  consensus.addSession('s2')
  t.equal((await put('/v1/kv/l?acquire=s1', 'n1')).body, 'true')
  t.equal((await put('/v1/kv/l?acquire=s2', 'n2')).body, 'false')
  t.match((await app.inject('/v1/kv/l')).json()[0], { LockIndex: 1, Session: 's1' })
  const unknown = await put('/v1/kv/l?acquire=00000000-0000-0000-0000-000000000000')
  t.equal(unknown.statusCode, 500)
  t.equal(unknown.body, 'invalid session "00000000-0000-0000-0000-000000000000"')
  t.equal((await put('/v1/kv/l?acquire=')).body, 'missing session')
  t.equal((await put('/v1/kv/l?release=s2')).body, 'false')
  t.equal((await put('/v1/kv/l?release=s1', 'bye')).body, 'true')
  const released = (await app.inject('/v1/kv/l')).json()[0]
  t.match(released, { LockIndex: 1, Value: 'Ynll' })
  t.notOk('Session' in released)
})

t.test('methods', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const post = await app.inject({ method: 'POST', url: '/v1/kv/x', payload: 'ignored' })
  t.equal(post.statusCode, 405)
  t.equal(post.headers.allow, 'OPTIONS,GET,PUT,DELETE')
  t.equal(post.body, 'method POST not allowed')
  const head = await app.inject({ method: 'HEAD', url: '/v1/kv/x' })
  t.equal(head.statusCode, 405)
  const options = await app.inject({ method: 'OPTIONS', url: '/v1/kv/x' })
  t.equal(options.statusCode, 200)
  t.equal(options.headers.allow, 'OPTIONS,GET,PUT,DELETE')
  t.equal(options.body, '')
})

t.test('parameters that are wrong', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  const wrong: [string, number, string | RegExp][] = [
    ['/v1/kv/x?stale&consistent', 400, 'Cannot specify ?stale with ?consistent, conflicting semantics.'],
    ['/v1/kv/x?index=abc', 400, 'Invalid index'],
    ['/v1/kv/x?index=1.5', 400, 'Invalid index'],
    ['/v1/kv/x?wait=10', 400, 'Invalid wait time'],
    ['/v1/kv/x?dc=elsewhere', 500, 'No path to datacenter'],
    ['/v1/kv/x?ns=team', 400, 'Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature'],
    ['/v1/kv/x?filter=a%3D%3Db', 400, 'filter is not supported'],
    ['/v1/kv/%zz', 400, /percent/],
    ['/v1/kv/a%', 400, /percent/],
    ['/v1/nothing', 404, 'Invalid URL path: not a recognized HTTP API endpoint'],
    ['/v1/query', 404, 'Invalid URL path: not a recognized HTTP API endpoint'],
    ['/v1', 404, 'Invalid URL path: not a recognized HTTP API endpoint'],
  ]
  for (const [url, status, text] of wrong) {
    const answer = await app.inject({ method: 'GET', url })
    t.equal(answer.statusCode, status, url)
    t.match(answer.body, text, url)
  }
  for (const url of ['/v1/kv/x?cas=x', '/v1/kv/x?flags=-1', '/v1/kv/x?flags=18446744073709551616']) {
    t.equal((await app.inject({ method: 'PUT', url, payload: '' })).statusCode, 400, url)
  }
  t.same(consensus.proposals, [], 'nothing was written')
  for (const url of ['/v1/kv/x?index=-1', '/v1/kv/x?index=&wait=', '/v1/kv/x?dc=dc1&ns=default']) {
    t.equal((await app.inject({ method: 'GET', url })).statusCode, 404, url)
  }
})

t.test('keys are bytes', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  const keys: [string, string][] = [
    ['a//b', 'a//b'],
    ['a%2Fb', 'a/b'],
    ['dir/', 'dir/'],
    ['%FF%00', '\xff\x00'],
    ['%C3%A9', '\xc3\xa9'],
    ['a+b%20c', 'a+b c'],
    ['%25zz', '%zz'],
    ['a;b=c', 'a;b=c'],
    ['q%3Fx', 'q?x'],
    ['a:b*', 'a:b*'],
  ]
  for (const [path, key] of keys) {
    await app.inject({ method: 'PUT', url: `/v1/kv/${path}`, payload: key })
  }
  t.same(new Set(consensus.kvList('').map((entry) => entry.key)), new Set(keys.map(([, key]) => key)))
  t.equal((await app.inject('/v1/kv/%C3%A9')).json()[0].Key, 'é')
  t.equal((await app.inject('/v1/kv/%FF%00')).json()[0].Key, '\ufffd\u0000')
  const binary = Buffer.from([0, 255, 128, 10])
  await app.inject({ method: 'PUT', url: '/v1/kv/bin', payload: binary })
  t.same((await app.inject('/v1/kv/bin?raw')).rawPayload, binary)
  t.equal((await app.inject('/v1/kv/bin')).json()[0].Value, binary.toString('base64'))
})

t.test('the content type of a body does not matter', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  for (const type of ['application/json', 'text/plain', 'x', 'application/x-www-form-urlencoded', ';;']) {
    const url = '/v1/kv/k'
    const answer = await app.inject({
      method: 'PUT',
      url,
      payload: `{not json ${type}`,
      headers: { 'content-type': type },
    })
    t.equal(answer.body, 'true', type)
    t.equal((await app.inject(`${url}?raw`)).body, `{not json ${type}`)
  }
})

t.test('without a leader', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  await app.inject({ method: 'PUT', url: '/v1/kv/k', payload: 'v' })
  consensus.loseLeader()
  for (const method of ['PUT', 'DELETE', 'GET'] as const) {
    const answer = await app.inject({ method, url: '/v1/kv/k' })
    t.equal(answer.statusCode, 500)
    t.equal(answer.body, 'No cluster leader')
  }
  t.equal(consensus.proposals.at(-1)?.options?.timeoutMs, 2_000)
  t.equal(consensus.reads.at(-1)?.options?.timeoutMs, 2_000)
  const stale = await app.inject('/v1/kv/k?stale')
  t.equal(stale.statusCode, 200)
  t.match(stale.headers, {
    'x-consul-knownleader': 'false',
    'x-consul-lastcontact': '2147483647',
    'x-consul-effective-consistency': 'stale',
  })
})

t.test('errors of a write', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  const put = () => app.inject({ method: 'PUT', url: '/v1/kv/k', payload: 'v' })
  const errors: [ConsensusError, string | RegExp][] = [
    [outcomeUnknown(), /^outcome unknown/],
    [new ConsensusError('CST_PROPOSAL_DROPPED', 'too many proposals'), 'too many proposals'],
    [new ConsensusError('CST_STOPPED', 'stopped'), 'No cluster leader'],
  ]
  for (const [error, text] of errors) {
    consensus.nextError = error
    const answer = await put()
    t.equal(answer.statusCode, 500)
    t.match(answer.body, text)
  }
  t.equal((await put()).body, 'true')
})

t.test('pretty, and the consistency asked for', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  await app.inject({ method: 'PUT', url: '/v1/kv/k', payload: 'v' })
  t.match((await app.inject('/v1/kv/k?pretty')).body, '[\n    {\n        "LockIndex": 0,')
  const consistent = await app.inject('/v1/kv/k?consistent=')
  t.equal(consistent.headers['x-consul-effective-consistency'], 'consistent')
  t.same(
    consensus.reads.map((read) => read.consistency),
    ['default', 'consistent'],
  )
})
