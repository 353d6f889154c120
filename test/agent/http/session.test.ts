import t, { type Test } from 'tap'
import { CONFIG, harness, until } from './harness.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** Requests to a server over fakes. */
function client(t: Test, made = harness()) {
  t.teardown(() => made.app.close())
  const { app } = made
  const put = (url: string, payload: unknown = '') =>
    app.inject({
      method: 'PUT',
      url,
      payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
    })
  const get = (url: string) => app.inject({ method: 'GET', url })
  const create = async (body: unknown = ''): Promise<string> =>
    (await put('/v1/session/create', body)).json().ID
  return { ...made, put, get, create }
}

t.test('the life of a session (golden transcript A.2)', async (t) => {
  const { put, get, create, consensus } = client(t)
  const first = await put('/v1/session/create', {
    TTL: '10s',
    Behavior: 'delete',
    LockDelay: '0s',
    Checks: [],
  })
  t.equal(first.statusCode, 200)
  t.equal(first.headers['content-type'], 'application/json')
  const s1 = first.json().ID
  t.match(s1, UUID)
  const s2 = await create({ name: 'p-n1', checks: [], lockdelay: '0.001s', behavior: 'delete', ttl: '15.0s' })

  const info = await get(`/v1/session/info/${s2}`)
  const { CreateIndex } = info.json()[0]
  t.equal(
    info.body,
    `[{"ID":"${s2}","Name":"p-n1","Node":"n1","LockDelay":1000000,"Behavior":"delete","TTL":"15.0s","NodeChecks":[],"ServiceChecks":null,"CreateIndex":${CreateIndex},"ModifyIndex":${CreateIndex}}]`,
  )
  t.match(info.headers, {
    'x-consul-index': String(CreateIndex),
    'x-consul-knownleader': 'true',
    'x-consul-lastcontact': '0',
  })
  t.equal(consensus.state.session(s1)?.expiresAfterMs, 20_000, 'twice the TTL')
  t.equal(consensus.state.session(s2)?.expiresAfterMs, 30_000)

  t.equal((await put(`/v1/kv/l?acquire=${s1}`, 'n1')).body, 'true')
  t.equal((await put(`/v1/kv/l?acquire=${s2}`, 'n2')).body, 'false')
  t.equal((await put(`/v1/kv/l?acquire=${s1}`, 'n1b')).body, 'true')
  t.match((await get('/v1/kv/l')).json()[0], { LockIndex: 1, Session: s1, Value: 'bjFi' })
  t.equal((await put(`/v1/kv/l?release=${s2}`)).body, 'false')
  t.equal((await put(`/v1/kv/l?release=${s1}`, 'bye')).body, 'true')
  const released = (await get('/v1/kv/l')).json()[0]
  t.match(released, { Value: 'Ynll', LockIndex: 1 })
  t.notOk('Session' in released)

  const renewed = await put(`/v1/session/renew/${s1}`, '{"ignored":')
  t.equal(renewed.statusCode, 200)
  t.match(renewed.json(), [{ ID: s1, TTL: '10s' }])
  t.same(consensus.renewed, [s1])

  t.equal((await put(`/v1/session/destroy/${s1}`)).body, 'true')
  t.equal((await put(`/v1/session/destroy/${s1}`)).body, 'true', 'ending what has ended is no error')
  const late = await put(`/v1/session/renew/${s1}`)
  t.equal(late.statusCode, 404)
  t.equal(late.body, `Session id '${s1}' not found`)
  const gone = await get(`/v1/session/info/${s1}`)
  t.equal(gone.statusCode, 200)
  t.equal(gone.body, '[]')
  t.ok(Number(gone.headers['x-consul-index']) > CreateIndex)
})

t.test('what is refused, and with which words', async (t) => {
  const { put, get, consensus } = client(t)
  const refusals: readonly [body: unknown, status: number, text: string][] = [
    [{ TTL: '5s' }, 500, "Invalid Session TTL '5000000000', must be between [10s=24h0m0s]"],
    [{ ttl: '9.999999999s' }, 500, "Invalid Session TTL '9999999999', must be between [10s=24h0m0s]"],
    [{ TTL: '24h0m0.001s' }, 500, "Invalid Session TTL '86400001000000', must be between [10s=24h0m0s]"],
    [{ TTL: '-10s' }, 500, "Invalid Session TTL '-10000000000', must be between [10s=24h0m0s]"],
    [{ TTL: 'soon' }, 500, 'Session TTL \'soon\' invalid: time: invalid duration "soon"'],
    [{ Behavior: 'x' }, 500, "Invalid Behavior setting 'x'"],
    [{ TTL: 15 }, 400, 'Request decode failed: TTL must be a string'],
    [{ Checks: 'serfHealth' }, 400, 'Request decode failed: Checks must be a list of strings'],
    [{ LockDelay: -1 }, 400, 'Request decode failed: LockDelay must not be negative'],
    [{ LockDelay: true }, 400, 'Request decode failed: LockDelay must be a duration such as "10s"'],
    [[], 400, 'Request decode failed: the body must be an object'],
    ['{', 400, 'Request decode failed: the body is not valid JSON'],
  ]
  for (const [body, status, text] of refusals) {
    const answer = await put('/v1/session/create', body)
    t.equal(answer.statusCode, status, text)
    t.equal(answer.body, text)
    t.equal(answer.headers['content-type'], 'text/plain; charset=utf-8')
  }
  t.same(consensus.state.sessions(), [])
  for (const url of ['/v1/session/destroy/', '/v1/session/renew/']) {
    const answer = await put(url)
    t.equal(answer.statusCode, 400, url)
    t.equal(answer.body, 'Missing session')
  }
  t.equal((await get('/v1/session/info/')).body, 'Missing session')
  t.equal((await get('/v1/session/node/')).body, 'Missing node name')
  const wrongVerb = await get('/v1/session/create')
  t.equal(wrongVerb.statusCode, 405)
  t.equal(wrongVerb.headers.allow, 'OPTIONS,PUT')
  consensus.leader = null
  for (const url of ['/v1/session/create', '/v1/session/destroy/x', '/v1/session/renew/x']) {
    const answer = await put(url)
    t.equal(answer.statusCode, 500, url)
    t.equal(answer.body, 'No cluster leader')
  }
})

t.test('what is left out, and how it may be written', async (t) => {
  const { get, create } = client(t)
  const shown = async (body: unknown) => (await get(`/v1/session/info/${await create(body)}`)).json()[0]
  const plain = {
    Name: '',
    Node: 'n1',
    LockDelay: 15e9,
    Behavior: 'release',
    TTL: '',
    Checks: ['serfHealth'],
    NodeChecks: ['serfHealth'],
    ServiceChecks: null,
  }
  t.match(await shown(''), plain, 'no body')
  t.match(await shown({}), plain)
  t.match(await shown({ Name: null, TTL: null, Checks: null, LockDelay: null, Unknown: 1 }), plain)
  t.match(await shown({ TTL: '0s' }), { TTL: '0s' })
  t.equal((await shown({ LockDelay: 30 })).LockDelay, 30e9, 'a small number is seconds')
  t.equal((await shown({ LockDelay: 1_000_000 })).LockDelay, 1e6, 'a large one nanoseconds')
  t.equal((await shown({ LockDelay: 0 })).LockDelay, 0)
  t.equal((await shown({ LockDelay: '0s' })).LockDelay, 0)
  t.equal((await shown({ LockDelay: '5m' })).LockDelay, 60e9, 'at most a minute')
  t.match(await shown({ NodeChecks: [], ServiceChecks: [] }), { NodeChecks: [], ServiceChecks: [] })
})

t.test('the settings of the node', async (t) => {
  const config = { ...CONFIG, sessions: { ttlMinMs: 1_000, ttlFactor: 1 as const } }
  const { put, get, create, consensus } = client(t, harness({}, { config }))
  const id = await create({ TTL: '1s' })
  t.equal(consensus.state.session(id)?.expiresAfterMs, 1_000)
  t.equal(
    (await put('/v1/session/create', { TTL: '999ms' })).body,
    "Invalid Session TTL '999000000', must be between [1s=24h0m0s]",
  )
  t.equal((await get('/v1/agent/self')).json().Config.SessionTTLMin, 1e9)
})

t.test('lists, and who is woken', async (t) => {
  const { get, create, put, consensus } = client(t)
  t.equal((await get('/v1/session/list')).body, '[]')
  const s1 = await create({ Name: 'one' })
  consensus.addSession('00000000-0000-4000-8000-000000000002', { node: 'n2', name: 'two' })
  const list = await get('/v1/session/list')
  t.same(
    list.json().map(({ Name }: { Name: string }) => Name),
    ['one', 'two'],
  )
  t.same((await get('/v1/session/node/n2')).json().length, 1)
  t.same((await get('/v1/session/node/N2')).json().length, 1, 'in any case')
  t.equal((await get('/v1/session/node/nobody')).body, '[]')

  const index = Number(list.headers['x-consul-index'])
  t.equal(index, consensus.state.sessionsIndex)
  const settled: string[] = []
  const wait = (name: string, url: string) =>
    get(`${url}?index=${index}&wait=30s`).then((answer) => {
      settled.push(name)
      return answer
    })
  const all = wait('list', '/v1/session/list')
  const node = wait('node', '/v1/session/node/n2')
  const one = wait('info', `/v1/session/info/${s1}`)
  await until('three wait', () => consensus.watching === 3)
  await put('/v1/kv/unrelated', 'x')
  await create({ Name: 'three' })
  t.match((await all).json(), [{ Name: 'one' }, { Name: 'two' }, { Name: 'three' }])
  await put(`/v1/session/destroy/${s1}`)
  t.equal((await one).body, '[]')
  t.same(settled, ['list', 'info'], 'a session of another node wakes nobody else')
  await put('/v1/session/destroy/00000000-0000-4000-8000-000000000002')
  t.equal((await node).body, '[]')
})

t.test('the node and the checks a session names must be there', async (t) => {
  const { put, create, consensus } = client(t)
  const refusals: readonly [body: object, text: string][] = [
    [{ Node: 'nobody' }, 'Missing node registration'],
    [{ Checks: ['disk'] }, "Missing check 'disk' registration"],
    [{ ServiceChecks: [{ ID: 'service:web' }] }, "Missing check 'service:web' registration"],
  ]
  for (const [body, text] of refusals) {
    const answer = await put('/v1/session/create', body)
    t.equal(answer.statusCode, 500)
    t.equal(answer.body, text)
  }
  t.same(consensus.state.sessions(), [])
  await put('/v1/agent/check/register', { Name: 'disk', TTL: '10s' })
  t.equal((await put('/v1/session/create', { Checks: ['disk'] })).body, "Check 'disk' is in critical state")
  await put('/v1/agent/check/pass/disk')
  t.ok(await create({ Checks: ['serfHealth', 'disk'] }))
})
