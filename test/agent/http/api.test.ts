import t from 'tap'
import { PollLog } from '../../../providers/traefik/polls.ts'
import { harness } from './harness.ts'

t.test('/api/v1', async (t) => {
  const leases = [{ name: 'dns', holder: 'n1', fencingToken: 12, session: 's', heldBySelf: true }]
  const { app, consensus } = harness({ leases: { list: () => leases } })
  t.teardown(() => app.close())
  const json = async (path: string) => (await app.inject(`/api/v1/${path}`)).json()

  t.same(await json('status'), {
    node: 'n1',
    cluster: 'home',
    clusterId: 'cluster-1',
    leader: 'n1',
    term: 3,
    role: 'leader',
    ready: true,
    version: '9.8.7',
    catalog: { digest: 'c0ffee', records: 2 },
  })
  t.same(
    (await json('nodes')).map((node: Record<string, unknown>) => [
      node.name,
      node.status,
      node.role,
      node.id,
      node.http,
    ]),
    [
      ['n1', 'alive', 'leader', 'peer-1', '10.0.0.1:8500'],
      ['n2', 'failed', 'voter', 'peer-2', undefined],
      ['n3', 'left', 'none', 'peer-3', undefined],
      ['peer-9', 'unknown', 'learner', 'peer-9', undefined],
    ],
  )
  t.same(await json('leases'), leases)
  await app.inject({
    method: 'PUT',
    url: '/v1/agent/service/register',
    payload: '{"Name":"web","Port":80,"Tags":["v1"]}',
  })
  t.match(await json('services'), [
    { name: 'web', tags: ['v1'], instances: [{ id: 'web', node: 'n1', address: '10.0.0.1', port: 80 }] },
  ])
  consensus.loseLeader()
  t.match(await json('status'), { leader: null, role: 'follower' })
  t.match(await json('raft'), {
    leader: null,
    lastContactMs: null,
    problem: 'no leader: 1 of 2 voters answer, 2 are needed; silent: n2',
    peers: [{ name: 'n1', role: 'voter' }, { name: 'n2' }, { name: 'peer-9', role: 'learner' }],
  })
})

t.test('status says what is wrong with service files, where there are any', async (t) => {
  const report = { directory: '/s', taken: 1, refused: 1, problems: ['web.yaml: it holds no service'] }
  let files: typeof report | null = null
  const { app } = harness({ files: () => files })
  t.teardown(() => app.close())
  const status = async () => (await app.inject('/api/v1/status')).json()
  t.notOk('serviceFiles' in (await status()))
  files = report
  t.same((await status()).serviceFiles, report)
})

t.test('leadership is handed over and a dead peer removed, by name or id', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  const ask = async (method: 'PUT' | 'DELETE', path: string) => {
    const answer = await app.inject({ method, url: `/api/v1/raft/${path}` })
    return [answer.statusCode, answer.json()]
  }
  t.same(await ask('PUT', 'transfer?to=n2'), [200, { name: 'n2', id: 'peer-2' }])
  t.same(await ask('PUT', 'transfer?to=peer-1'), [200, { name: 'n1', id: 'peer-1' }])
  t.same(await ask('PUT', 'transfer?to=peer-9'), [
    409,
    { error: { code: 'CST_REFUSED', message: 'peer-9 does not vote and cannot lead' } },
  ])
  t.match(await ask('PUT', 'transfer?to=n3'), [
    404,
    { error: { message: 'no peer has the name or id "n3"' } },
  ])
  t.match(await ask('DELETE', 'peers/n1'), [409, { error: { message: /^n1 leads the cluster/ } }])
  t.same(await ask('DELETE', 'peers/n2'), [200, { name: 'n2', id: 'peer-2' }])
  t.same(await ask('DELETE', 'peers/peer-9'), [200, { name: 'peer-9', id: 'peer-9' }])
  t.match(await ask('DELETE', 'peers/'), [404, {}])
  t.same(consensus.removed, ['peer-2', 'peer-9'])
  t.same(await ask('PUT', 'transfer'), [200, { name: 'n2', id: 'peer-2' }])
})

t.test('a node is cordoned by name or id, and every list shows it', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  const ask = async (path: string) => {
    const answer = await app.inject({ method: 'PUT', url: `/api/v1/nodes/${path}` })
    return [answer.statusCode, answer.json()]
  }
  const json = async (path: string) => (await app.inject(`/api/v1/${path}`)).json()
  t.same(await ask('n2/cordon'), [
    200,
    { name: 'n2', id: 'peer-2', cordoned: true, draining: false, leases: [], role: 'voter' },
  ])
  t.same(await ask('peer-3/cordon'), [
    200,
    { name: 'n3', id: 'peer-3', cordoned: true, draining: false, leases: [], role: 'none' },
  ])
  t.match(await ask('n%204/cordon'), [404, { error: { message: 'no node has the name or id "n 4"' } }])
  t.same(
    [...consensus.cordons],
    [
      ['peer-2', 'n2'],
      ['peer-3', 'n3'],
    ],
  )
  consensus.cordons.set('peer-7', 'gone')
  t.same(
    (await json('nodes'))
      .filter((node: { cordoned: boolean }) => node.cordoned)
      .map((node: { name: string }) => node.name),
    ['n2', 'n3', 'peer-7'],
    'also one that nobody knows any more',
  )
  const raft = await json('raft')
  t.same(raft.cordoned, ['n2', 'n3', 'peer-7'])
  t.match(raft.peers, [{ cordoned: false }, { name: 'n2', cordoned: true }, {}])
  t.same(await ask('peer-7/uncordon'), [
    200,
    { name: 'peer-7', id: 'peer-7', cordoned: false, draining: false, leases: [], role: 'none' },
  ])
  t.equal(consensus.cordons.has('peer-7'), false)
  t.match(await ask('n3/drain'), [200, { name: 'n3', cordoned: true, draining: true }])
  t.match(
    (await json('nodes')).find(({ name }: { name: string }) => name === 'n3'),
    { draining: true, leases: [] },
  )
  t.match(await ask('n3/uncordon'), [200, { draining: false }])
  consensus.loseLeader()
  t.match(await ask('n2/cordon'), [500, { error: { code: 'CST_NO_LEADER' } }])
})

t.test('a node is made a voter', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const ask = async (node: string) => {
    const answer = await app.inject({ method: 'PUT', url: `/api/v1/raft/peers/${node}` })
    return [answer.statusCode, answer.json()]
  }
  t.same(await ask('peer-9'), [200, { name: 'peer-9', id: 'peer-9', role: 'voter' }])
  t.same(await ask('n1'), [200, { name: 'n1', id: 'peer-1', role: 'learner' }])
  t.match(await ask('n2'), [409, { error: { code: 'CST_REFUSED', message: 'n2 does not answer' } }])
  t.match(await ask('n4'), [404, {}])
})

t.test('errors are JSON', async (t) => {
  const { app } = harness({
    leases: {
      list: () => {
        throw new Error('secret detail')
      },
    },
  })
  t.teardown(() => app.close())
  const missing = await app.inject('/api/v1/none?x=1')
  t.equal(missing.statusCode, 404)
  t.same(missing.json(), { error: { code: 'HTTP_NOT_FOUND', message: 'no such path' } })
  const method = await app.inject({ method: 'PUT', url: '/api/v1/status', payload: '{' })
  t.equal(method.statusCode, 405)
  t.equal(method.headers.allow, 'OPTIONS,GET,HEAD')
  t.equal(method.json().error.code, 'HTTP_METHOD_NOT_ALLOWED')
  const broken = await app.inject('/api/v1/leases')
  t.equal(broken.statusCode, 500)
  t.same(broken.json(), { error: { code: 'HTTP_INTERNAL', message: 'internal error' } })
  t.equal((await app.inject({ method: 'HEAD', url: '/api/v1/status' })).statusCode, 200)
  t.equal((await app.inject('/api/v1/traefik')).statusCode, 404)
})

t.test('the document for Traefik', async (t) => {
  let reason: string | null = 'the catalogue is not complete yet'
  const body = '{"http": {"routers":{}} }\n'
  const asked: (string | undefined)[] = []
  const polls = new PollLog({ wall: () => 0 })
  const about = {
    etag: '"abc"',
    counts: { routers: 1, services: 2, servers: 3 },
    problems: [{ message: 'why' }],
    held: [],
    gone: ['old'],
  }
  const { app } = harness({
    traefik: {
      document: (local) => {
        asked.push(local)
        return { body, etag: '"abc"' }
      },
      reason: () => reason,
      explain: (service) => ({ ...about, ...(service === undefined ? {} : { instances: [{ service }] }) }),
      polls,
    },
  })
  t.teardown(() => app.close())
  const early = await app.inject('/api/v1/traefik')
  t.equal(early.statusCode, 503)
  t.ok(Number(early.headers['retry-after']) > 0)
  t.match(early.json().error, { code: 'HTTP_UNAVAILABLE', message: 'the catalogue is not complete yet' })
  t.same((await app.inject('/api/v1/traefik/explain')).json(), { ready: false, reason, ...about })
  reason = null
  const headers = { 'if-none-match': '"abc"', 'user-agent': 'Go-http-client/1.1' }
  const answer = await app.inject({ url: '/api/v1/traefik', headers })
  t.equal(answer.statusCode, 200)
  t.equal(answer.body, body)
  t.match(answer.headers, { etag: '"abc"', 'content-type': 'application/json' })
  t.same((await app.inject('/api/v1/traefik/explain?service=web')).json(), {
    ready: true,
    reason: null,
    ...about,
    instances: [{ service: 'web' }],
  })

  await app.inject({ url: '/api/v1/traefik?local=n7', headers })
  await app.inject({ url: '/api/v1/traefik?local=1', headers })
  await app.inject({ method: 'HEAD', url: '/api/v1/traefik', headers })
  t.same(asked.slice(0, 3), [undefined, 'n7', 'n1'])
  const { traefik } = (await app.inject('/api/v1/status')).json()
  t.match(traefik, { ready: true, reason: null, etag: '"abc"', problems: 1, held: 0 })
  t.match(
    traefik.polls.map((poll: { local: string; status: number; bytes: number; count: number }) => [
      poll.local,
      poll.status,
      poll.bytes,
      poll.count,
    ]),
    [
      ['n1', 200, body.length, 1],
      ['n7', 200, body.length, 1],
      [null, 200, body.length, 1],
      [null, 503, 0, 1],
    ],
  )
  t.match(traefik.polls[0], {
    address: '127.0.0.1',
    userAgent: 'Go-http-client/1.1',
    time: '1970-01-01T00:00:00.000Z',
  })
})

t.test('probes, metrics, front page', async (t) => {
  let alive = true
  let reasons: string[] = []
  const { app } = harness({
    readiness: {
      alive: () => alive,
      ready: () => reasons.length === 0,
      reasons: () => reasons,
      complete: true,
      whenComplete: async () => true,
    },
  })
  t.teardown(() => app.close())
  t.equal((await app.inject('/healthz')).body, 'ok\n')
  t.equal((await app.inject('/readyz')).statusCode, 200)
  reasons = ['no leader', 'catalogue not synced']
  const ready = await app.inject('/readyz')
  t.equal(ready.statusCode, 503)
  t.equal(ready.body, 'no leader\ncatalogue not synced\n')
  alive = false
  t.equal((await app.inject('/healthz')).statusCode, 503)
  t.match((await app.inject('/')).body, '/openapi.json')
  const metrics = await app.inject('/metrics')
  t.match(metrics.headers['content-type'], 'text/plain')
  t.match(metrics.body, 'constellation_http_requests_total{route="/readyz",method="GET",status="503"} 1')
  const lost = await app.inject('/nowhere')
  t.equal(lost.statusCode, 404)
  t.equal(lost.headers['content-type'], 'text/plain; charset=utf-8')
})
