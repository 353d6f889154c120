import t from 'tap'
import { memoryLog } from '../../discovery/health/fixtures.ts'
import { harness } from './harness.ts'

type App = ReturnType<typeof harness>['app']
const send = (app: App, url: string, body?: unknown, method: 'PUT' | 'GET' = 'PUT') =>
  app.inject({
    method,
    url,
    ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
  })

t.test('registration and health (golden transcript A.4)', async (t) => {
  const { app, catalog } = harness()
  t.teardown(() => app.close())
  const registered = await send(app, '/v1/agent/service/register', {
    ID: 'web1',
    Name: 'web',
    Tags: ['v1'],
    Port: 80,
    Check: { TTL: '10s' },
  })
  t.equal(registered.statusCode, 200)
  t.equal(registered.body, '')
  t.same(
    catalog.journal,
    ['service web1', 'check service:web1 critical', 'run service:web1'],
    'the check is critical before it runs',
  )

  const [entry, ...others] = (await app.inject('/v1/health/service/web')).json()
  t.equal(others.length, 0)
  t.match(entry, {
    Node: { Node: 'n1', Address: '10.0.0.1', Datacenter: 'dc1', Meta: { zone: 'a' } },
    Service: { ID: 'web1', Service: 'web', Tags: ['v1'], Port: 80, Weights: { Passing: 1, Warning: 1 } },
  })
  t.match(entry.Checks, [
    { CheckID: 'serfHealth', Status: 'passing', ServiceID: '', ServiceTags: [] },
    {
      CheckID: 'service:web1',
      Name: "Service 'web' check",
      Status: 'critical',
      Type: 'ttl',
      ServiceID: 'web1',
      ServiceName: 'web',
      ServiceTags: ['v1'],
    },
  ])
  t.same((await app.inject('/v1/health/service/web?passing')).json(), [])
  t.equal((await send(app, '/v1/agent/check/pass/service:web1?note=ok')).statusCode, 200)
  const passing = (await app.inject('/v1/health/service/web?passing=1')).json()
  t.equal(passing[0].Checks[1].Output, 'ok')
  t.equal((await app.inject('/v1/health/service/web?passing=0')).json().length, 1)
  const odd = await app.inject('/v1/health/service/web?passing=2')
  t.equal(odd.statusCode, 400)
  t.equal(odd.body, 'Invalid value for ?passing')

  const byName = await send(app, '/v1/agent/service/deregister/web')
  t.equal(byName.statusCode, 404)
  t.equal(
    byName.body,
    'Unknown service ID "web". Ensure that the service ID is passed, not the service name.',
  )
  const legacy = await send(app, '/v1/agent/service/deregister/web1', undefined, 'GET')
  t.equal(legacy.statusCode, 200)
  t.same(catalog.journal.slice(-3), ['stop service:web1', '-check service:web1', '-service web1'])

  const none = await app.inject('/v1/catalog/service/none')
  t.equal(none.body, '[]')
  t.ok(Number(none.headers['x-consul-index']) >= 1)
  const noNode = await app.inject('/v1/catalog/node/none')
  t.equal(noNode.statusCode, 200)
  t.equal(noNode.body, 'null')
  t.equal((await app.inject('/v1/status/leader')).body, '"10.0.0.1:7946"')
})

t.test('Patroni’s registration: lower-case names, a slash in the id, fractional durations', async (t) => {
  const { app, catalog, health } = harness()
  t.teardown(() => app.close())
  const body = {
    name: 'db',
    id: 'scope/member',
    address: '10.1.1.1',
    port: 5432,
    tags: ['replica'],
    enabletagoverride: true,
    check: {
      http: 'http://10.1.1.1:8008/replica',
      interval: '5s',
      DeregisterCriticalServiceAfter: '150.0s',
      TLSServerName: 'x',
    },
  }
  t.equal((await send(app, '/v1/agent/service/register', body)).body, '')
  t.match(health.puts[0], {
    id: 'service:scope/member',
    kind: { type: 'http', url: 'http://10.1.1.1:8008/replica', method: 'GET' },
    intervalMs: 5_000,
    timeoutMs: 10_000,
    intervalText: '5s',
    timeoutText: '',
  })
  const journal = catalog.journal.length
  await send(app, '/v1/agent/service/register', body)
  t.equal(catalog.journal.length, journal, 'registering again changes nothing')
  t.match((await app.inject('/v1/agent/service/scope%2Fmember')).json(), { EnableTagOverride: true })
  t.equal((await send(app, '/v1/agent/service/deregister/scope%2Fmember', undefined, 'GET')).statusCode, 200)
})

t.test('every field of a registration', async (t) => {
  const { app, catalog, health } = harness()
  t.teardown(() => app.close())
  const answer = await send(
    app,
    '/v1/agent/service/register',
    JSON.stringify({
      Name: 'web',
      NAME: 'not this: the exact name wins',
      tagged_addresses: { lan_ipv4: { Address: '10.9.9.9', Port: 81 } },
      Meta: { a: 'b', gone: null },
      Weights: { Passing: 10, Warning: 2 },
      enable_tag_override: true,
      Check: null,
      Checks: [
        {},
        { TCP: 'localhost:80', Interval: 2_000_000_000, Timeout: '1m30s', Name: 'port' },
        { CheckID: 'mine', TTL: '1m', Status: 'passing', Notes: 'n' },
        {
          HTTP: 'https://localhost/',
          Interval: '10ms',
          Header: { A: ['b', 'c'] },
          tls_skip_verify: true,
          Method: 'POST',
          Body: 'x',
        },
      ],
      Unknown: { anything: true },
      Token: null,
    }),
  )
  t.equal(answer.body, '')
  t.same((await app.inject('/v1/agent/services')).json(), {
    web: {
      ID: 'web',
      Service: 'web',
      Tags: [],
      Meta: { a: 'b' },
      Port: 0,
      Address: '',
      TaggedAddresses: { lan_ipv4: { Address: '10.9.9.9', Port: 81 } },
      Weights: { Passing: 10, Warning: 2 },
      EnableTagOverride: true,
      Datacenter: 'dc1',
    },
  })
  t.same(
    health.puts.map(({ id, name, intervalMs, timeoutText, initialStatus }) => ({
      id,
      name,
      intervalMs,
      timeoutText,
      initialStatus,
    })),
    [
      {
        id: 'service:web:1',
        name: 'port',
        intervalMs: 2_000,
        timeoutText: '1m30s',
        initialStatus: 'critical',
      },
      { id: 'mine', name: "Service 'web' check", intervalMs: 0, timeoutText: '', initialStatus: 'passing' },
      {
        id: 'service:web:3',
        name: "Service 'web' check",
        intervalMs: 1_000,
        timeoutText: '',
        initialStatus: 'critical',
      },
    ],
  )
  t.match(health.puts[2]?.kind, {
    method: 'POST',
    headers: { A: ['b', 'c'] },
    body: 'x',
    tlsSkipVerify: true,
  })

  await send(app, '/v1/agent/service/register', { Name: 'web', Check: { CheckID: 'mine', TTL: '1m' } })
  t.same([...catalog.record().checks.keys()], ['service:web:1', 'mine', 'service:web:3'], 'others stay')
  t.equal(catalog.record().checks.get('mine')?.status, 'passing', 'what a check found stays')
  await send(app, '/v1/agent/service/register?replace-existing-checks', {
    Name: 'web',
    Check: { CheckID: 'mine', TTL: '1m' },
  })
  t.same([...catalog.record().checks.keys()], ['mine'])
  t.same(
    health.definitions().map(({ id }) => id),
    ['mine'],
  )
})

t.test('registrations that are refused', async (t) => {
  const { app, catalog } = harness()
  t.teardown(() => app.close())
  const refused: [unknown, string | RegExp][] = [
    ['', /^Request decode failed: /],
    ['{"Name":', /^Request decode failed: /],
    ['[]', /^Request decode failed: /],
    ['{"Name":"x","__proto__":{"polluted":1}}', /^Request decode failed: /],
    ['{"Name":"x","constructor":{"prototype":{"polluted":1}}}', /^Request decode failed: /],
    [{}, 'Missing service name'],
    [{ Name: 7 }, /^Request decode failed: Name/],
    [{ Name: 'x', Port: '80' }, /^Request decode failed: Port/],
    [{ Name: 'x', Port: 70_000 }, 'Invalid service port'],
    [{ Name: 'x', Tags: [1] }, /^Request decode failed: Tags/],
    [{ Name: 'x', Address: '0.0.0.0' }, 'Invalid service address'],
    [{ Name: 'x', TaggedAddresses: { lan: { Address: '::' } } }, 'Invalid service address'],
    [{ Name: 'x', Meta: { 'a b': 'c' } }, /^Invalid Service Meta: /],
    [{ Name: 'x', Meta: { 'consul-x': 'c' } }, /^Invalid Service Meta: /],
    [{ Name: 'x', Meta: { a: 'c'.repeat(513) } }, /^Invalid Service Meta: /],
    [{ Name: 'x', Weights: { Passing: 0 } }, /^Invalid Weights: /],
    [{ Name: 'x', Check: { HTTP: 'http://a/' } }, /^Invalid check: Interval must be > 0/],
    [{ Name: 'x', Check: { HTTP: 'ftp://a/', Interval: '1s' } }, /^Invalid check: HTTP/],
    [{ Name: 'x', Check: { TCP: 'nowhere', Interval: '1s' } }, /^Invalid check: TCP/],
    ...['TCP', 'UDP', 'GRPC', 'H2PING'].map((kind): [unknown, RegExp] => [
      { Name: 'x', Check: { [kind]: 'bad host:9200', Interval: '1s' } },
      new RegExp(`^Invalid check: ${kind} must be host:port`),
    ]),
    [
      { Name: 'x', Check: { HTTP: 'https://a/', TLSServerName: 'bad host', Interval: '1s' } },
      /^Invalid check: TLSServerName must be/,
    ],
    [
      { Name: 'x', Check: { HTTP: 'http://a/', Header: { 'X-Token': ['s3cret\n'] }, Interval: '1s' } },
      /^Invalid check: Header "X-Token" is no name(?!.*s3cret)/,
    ],
    [{ Name: 'x', Check: { TTL: '10s', Interval: '1s' } }, /^Invalid check: Interval and TTL/],
    [{ Name: 'x', Check: { HTTP: 'http://a/', TCP: 'a:1', Interval: '1s' } }, /^Invalid check: only one/],
    [{ Name: 'x', Check: { Notes: 'nothing to do' } }, 'Invalid check: TTL must be > 0 for TTL checks'],
    [{ Name: 'x', Check: { TTL: 'soon' } }, /^Request decode failed: TTL/],
    [
      { Name: 'x', Check: { TTL: '1s', Status: 'fine' } },
      "Status for checks must 'passing', 'warning', 'critical'",
    ],
    [{ Name: 'x', Check: { OSService: 'sshd', Interval: '1s' } }, /OSService checks are not supported/],
    [{ Name: 'x', Check: { Script: 'true', Interval: '1s' } }, /Script is no longer supported/],
    [{ Name: 'x', Check: { args: ['true'], Interval: '1s' } }, /checks\.scripts/],
    [{ Name: 'x', Check: { DockerContainerID: 'c', args: ['true'], Interval: '1s' } }, /checks\.scripts/],
    [{ Name: 'x', Check: { GRPC: 'a', Interval: '1s' } }, /^Invalid check: GRPC must be host:port/],
    [{ Name: 'x', Check: { UDP: 'a:1' } }, /^Invalid check: Interval must be > 0/],
    [{ Name: 'x', Check: { H2PING: 'a', Interval: '1s' } }, /^Invalid check: H2PING must be host:port/],
    [
      { Name: 'x', Check: { AliasService: 'web', Interval: '1s' } },
      'Invalid check: Interval cannot be set for Alias checks',
    ],
    [{ Name: 'x', Check: { AliasService: 'web', TTL: '1s' } }, /^Invalid check: only one of/],
    [
      { Name: 'x', Check: { TTL: '1s', OutputMaxSize: -1 } },
      /^Invalid check: MaxOutputMaxSize must be positive/,
    ],
    [
      { Name: 'x', Check: { TTL: '1s', FailuresBeforeWarning: 3, FailuresBeforeCritical: 2 } },
      "Invalid check: FailuresBeforeWarning can't be higher than FailuresBeforeCritical",
    ],
    [{ Name: 'x', Check: { TTL: '1s', SuccessBeforePassing: -1 } }, /^Invalid check: SuccessBeforePassing/],
    [
      {
        Name: 'x',
        Checks: [
          { CheckID: 'c', TTL: '1s' },
          { CheckID: 'c', TTL: '2s' },
        ],
      },
      /^Invalid check: two checks/,
    ],
  ]
  for (const [body, text] of refused) {
    const answer = await send(app, '/v1/agent/service/register', body)
    t.equal(answer.statusCode, 400, JSON.stringify(body))
    t.match(answer.body, text)
    t.equal(answer.headers['content-type'], 'text/plain; charset=utf-8')
  }
  t.same(catalog.journal, [])
  t.equal(({} as Record<string, unknown>).polluted, undefined)
})

t.test('a registration that does not fit leaves nothing, or what was there', async (t) => {
  const { app, catalog, health } = harness()
  t.teardown(() => app.close())
  catalog.tooLargeCheck = 'big'
  const body = (port: number) => ({
    Name: 'web',
    Port: port,
    Checks: [
      { CheckID: 'small', TTL: '1m' },
      { CheckID: 'big', TTL: '1m' },
    ],
  })
  const refused = await send(app, '/v1/agent/service/register', body(1))
  t.equal(refused.statusCode, 400)
  t.equal(refused.body, 'check big does not fit')
  t.equal(catalog.record().services.size, 0)
  t.equal(catalog.record().checks.size, 0)
  await send(app, '/v1/agent/service/register', { Name: 'web', Port: 80 })
  t.equal((await send(app, '/v1/agent/service/register', body(2))).statusCode, 400)
  t.equal(catalog.record().services.get('web')?.port, 80)
  t.equal(catalog.record().checks.size, 0)
  t.same(health.puts, [])
})

t.test('nobody sees a new instance pass before its check ran', async (t) => {
  const { app, catalog } = harness()
  t.teardown(() => app.close())
  const seen: string[] = []
  catalog.onChange({ kind: 'all' }, () => {
    // As a reader does: woken by the change, it looks when its turn comes.
    queueMicrotask(() => seen.push(...catalog.instances('web').map(({ status }) => status)))
  })
  await send(app, '/v1/agent/service/register', { Name: 'web', Check: { HTTP: 'http://a/', Interval: '1s' } })
  t.ok(seen.length > 0)
  t.same(new Set(seen), new Set(['critical']))
})

t.test('checks of their own', async (t) => {
  const { app, catalog } = harness()
  t.teardown(() => app.close())
  const register = (body: unknown) => send(app, '/v1/agent/check/register', body)
  t.equal((await register({ TTL: '10s' })).body, 'Missing check name')
  t.equal((await register({ Name: 'c', TTL: '10s', Status: 'x' })).body, 'Bad check status')
  const orphan = await register({ Name: 'c', TTL: '10s', ServiceID: 'none' })
  t.equal(orphan.statusCode, 404)
  t.equal(orphan.body, 'ServiceID "none" does not exist')
  t.equal((await register({ Name: 'mem', id: 'mem id', TTL: '10s' })).statusCode, 200)
  t.equal((await register({ Name: 'web', HTTP: 'http://a/', Interval: '10s' })).statusCode, 200)

  const verbs: [string, string][] = [
    ['pass', 'passing'],
    ['warn', 'warning'],
    ['fail', 'critical'],
  ]
  for (const [verb, status] of verbs) {
    for (const method of ['PUT', 'GET'] as const) {
      const url = `/v1/agent/check/${verb}/mem%20id?note=${method}`
      t.equal((await send(app, url, undefined, method)).statusCode, 200)
      t.match((await app.inject('/v1/agent/checks')).json()['mem id'], { Status: status, Output: method })
    }
  }
  const update = (id: string, body: unknown) => send(app, `/v1/agent/check/update/${id}`, body)
  t.equal((await update('mem%20id', { status: 'warning', Output: 'o'.repeat(5_000) })).statusCode, 200)
  t.equal(catalog.record().checks.get('mem id')?.output.length, 4_096)
  t.equal((await update('mem%20id', { Status: 'x' })).body, "Invalid check status: 'x'")
  const polled = await send(app, '/v1/agent/check/pass/web')
  t.equal(polled.statusCode, 500)
  t.equal(polled.body, 'CheckID "web" does not have associated TTL')
  const unknown = await send(app, '/v1/agent/check/pass/none')
  t.equal(unknown.statusCode, 404)
  t.equal(unknown.body, 'Unknown check ID "none". Ensure that the check ID is passed, not the check name.')

  t.same(Object.keys((await app.inject('/v1/agent/checks')).json()), ['mem id', 'web'])
  t.equal((await send(app, '/v1/agent/check/deregister/web')).statusCode, 200)
  t.equal((await send(app, '/v1/agent/check/deregister/web')).statusCode, 404)
})

t.test('a page in a browser cannot use the old GET forms', async (t) => {
  const { app, catalog } = harness()
  t.teardown(() => app.close())
  await send(app, '/v1/agent/service/register', { Name: 'web' })
  const url = '/v1/agent/service/deregister/web'
  for (const headers of [{ origin: 'http://evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
    t.equal((await app.inject({ method: 'GET', url, headers })).statusCode, 403)
  }
  t.ok(catalog.record().services.has('web'))
})

t.test('the agent itself', async (t) => {
  const { app, operations, consensus } = harness()
  t.teardown(() => app.close())
  const self = (await app.inject('/v1/agent/self')).json()
  t.match(self.Config, {
    Datacenter: 'dc1',
    NodeName: 'n1',
    NodeID: /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    Version: '1.16.4',
    Revision: '9.8.7',
    Server: true,
    SessionTTLMin: 10_000_000_000,
  })
  for (const value of Object.values(self)) t.equal(typeof value, 'object', 'Go decodes two levels of maps')
  for (const group of Object.values<Record<string, unknown>>(self.Stats)) {
    for (const value of Object.values(group)) t.equal(typeof value, 'string')
  }
  t.equal(self.Member.Addr, '10.0.0.1')

  const members = (await app.inject('/v1/agent/members?segment=_all')).json()
  t.same(
    members.map((m: Record<string, unknown>) => [m.Name, m.Addr, m.Port, m.Status]),
    [
      ['n1', '10.0.0.1', 7946, 1],
      ['n2', 'fd00::2', 7946, 4],
      ['n3', '10.0.0.3', 7946, 3],
    ],
  )
  t.match(members[0].Tags, { role: 'consul', build: '1.16.4:9.8.7' })
  t.equal(members[0].Tags.id, self.Config.NodeID)
  t.match((await app.inject('/v1/agent/version')).json(), { HumanVersion: /9\.8\.7/, FIPS: '' })
  t.equal((await send(app, '/v1/agent/reload')).body, '')
  t.equal((await send(app, '/v1/agent/leave')).statusCode, 200)
  t.same(operations, ['reload', 'leave'])
  const wan = (await app.inject('/v1/agent/members?wan=1')).json()
  t.same(
    wan.map(({ Name }: { Name: string }) => Name),
    ['n1.dc1', 'n2.dc1', 'n3.dc1'],
  )
  t.equal((await app.inject('/v1/agent/leave')).statusCode, 405)
  t.same((await app.inject('/v1/status/peers')).json(), ['10.0.0.1:7946', '[fd00::2]:7946'])
  consensus.loseLeader()
  t.equal((await app.inject('/v1/status/leader')).body, '""')
})

t.test('a name that DNS cannot have is taken, and said once', async (t) => {
  const { log, lines } = memoryLog()
  const { app } = harness({ log })
  t.teardown(() => app.close())
  const said = () => lines.filter((line) => /cannot be found by DNS/.test(line)).length
  for (const Name of ['web', 'Web_2', 'v1.web', 'x'.repeat(63)]) {
    await send(app, '/v1/agent/service/register', { Name })
  }
  t.equal(said(), 0)
  for (const [i, Name] of ['my web', 'wéb', 'x'.repeat(64)].entries()) {
    t.equal((await send(app, '/v1/agent/service/register', { Name })).statusCode, 200)
    t.equal((await send(app, '/v1/agent/service/register', { Name, Port: 1 })).statusCode, 200)
    t.equal(said(), i + 1, Name)
  }
})

t.test('what comes from elsewhere is changed there', async (t) => {
  const { app, catalog } = harness()
  t.teardown(() => app.close())
  await send(app, '/v1/agent/service/register', { Name: 'web' })
  const web = catalog.record().services.get('web')
  if (web === undefined) throw new Error('it was registered')
  for (const [kind, text] of [
    ['file', 'Service ID "web" comes from the file web-1: change it there'],
    ['docker', 'Service ID "web" comes from the container web-1: change it there'],
  ] as const) {
    catalog.putService({ ...web, source: { kind, id: 'x', name: 'web-1' } })
    const registered = await send(app, '/v1/agent/service/register', { Name: 'web', Port: 1 })
    t.same([registered.statusCode, registered.body], [400, text])
    const removed = await send(app, '/v1/agent/service/deregister/web')
    t.same([removed.statusCode, removed.body], [400, text])
  }
  t.equal(catalog.record().services.get('web')?.port, 0)
})

t.test('joining through an address', async (t) => {
  const { app, operations } = harness()
  t.teardown(() => app.close())
  for (const [url, method] of [
    ['10.0.0.9', 'PUT'],
    ['10.0.0.9:9000', 'GET'],
    ['%5Bfd00::9%5D', 'PUT'],
    ['n9.example', 'PUT'],
  ] as const) {
    const answer = await send(app, `/v1/agent/join/${url}`, undefined, method)
    t.same([answer.statusCode, answer.body], [200, ''], url)
  }
  t.same(operations, [
    'join 10.0.0.9:7946',
    'join 10.0.0.9:9000',
    'join [fd00::9]:7946',
    'join n9.example:7946',
  ])
  t.equal((await send(app, '/v1/agent/join/')).body, 'Missing address to join')
  t.match(
    (await send(app, '/v1/agent/join/10.0.0.256')).body,
    /^Invalid address to join: "10.0.0.256" has no valid host/,
  )
  t.equal((await send(app, '/v1/agent/join/n9:0:1')).statusCode, 400)
  const fromPage = await app.inject({ url: '/v1/agent/join/n9', headers: { origin: 'http://evil.example' } })
  t.equal(fromPage.statusCode, 403)
  t.equal(operations.length, 4)

  const join = async () => {
    throw new Error('nobody answers')
  }
  const { app: alone } = harness({ operations: { leave: async () => {}, reload: async () => {}, join } })
  t.teardown(() => alone.close())
  const failed = await send(alone, '/v1/agent/join/n9')
  t.same([failed.statusCode, failed.body], [500, 'cannot join through n9:7946: nobody answers'])
})

t.test('what belongs to a service mesh is taken, and Connect.Native shown back', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const proxy = {
    Kind: 'connect-proxy',
    Proxy: { DestinationServiceName: 'web' },
    SocketPath: '',
    Locality: null,
  }
  const register = (body: object) => send(app, '/v1/agent/service/register', body)
  t.equal((await register({ Name: 'web-proxy', ...proxy })).statusCode, 200)
  t.equal((await register({ Name: 'web', Connect: { Native: true, SidecarService: {} } })).statusCode, 200)
  const services = (await app.inject('/v1/agent/services')).json()
  t.same(services.web.Connect, { Native: true })
  t.notOk('Connect' in services['web-proxy'])
  t.same((await app.inject('/v1/catalog/service/web')).json()[0].ServiceConnect, { Native: true })
  t.same((await app.inject('/v1/health/service/web')).json()[0].Service.Connect, { Native: true })
  t.same((await app.inject('/v1/health/service/web-proxy')).json()[0].Service.Connect, {})
  const filtered = (await app.inject('/v1/agent/services?filter=Connect.Native+==+true')).json()
  t.same(Object.keys(filtered), ['web'])
  t.equal((await register({ Name: 'web', Connect: true })).statusCode, 400)
})

t.test('one service blocks until its content changes', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const register = (port: number) => send(app, '/v1/agent/service/register', { Name: 'web', Port: port })
  await register(80)
  const url = '/v1/agent/service/web'
  const first = await app.inject(url)
  const { ContentHash: hash } = first.json()
  t.equal(first.headers['x-consul-contenthash'], hash)
  t.equal(
    (await app.inject(`${url}?hash=other&wait=10m`)).json().ContentHash,
    hash,
    'another one answers at once',
  )
  const unchanged = await app.inject(`${url}?hash=${hash}&wait=1ms`)
  t.same([unchanged.statusCode, unchanged.json().ContentHash], [200, hash])
  const changed = app.inject(`${url}?hash=${hash}&wait=10m`)
  const gone = changed.then((answer) => app.inject(`${url}?hash=${answer.json().ContentHash}&wait=10m`))
  await register(80)
  await register(81)
  const second = (await changed).json()
  t.equal(second.Port, 81)
  t.not(second.ContentHash, hash)
  await send(app, '/v1/agent/service/deregister/web')
  t.same([(await gone).statusCode, (await gone).body], [404, 'unknown service ID: web'])
})

t.test('a registration is answered once it is kept on disk', async (t) => {
  const { app, health } = harness()
  t.teardown(() => app.close())
  const body = { Name: 'web', Port: 80, Check: { TTL: '10s' } }
  t.equal((await send(app, '/v1/agent/service/register', body)).statusCode, 200)
  t.equal(health.kept, 1)
  health.failure = new Error('no space left on device')
  const unkept = await send(app, '/v1/agent/service/register', body)
  t.equal(unkept.statusCode, 500)
  t.match(unkept.body, /cannot be kept over a restart: no space left on device/)
})

t.test(
  'the agent of a check shows its newest output, also one that the others are not told yet',
  async (t) => {
    const { app, catalog } = harness()
    t.teardown(() => app.close())
    await send(app, '/v1/agent/service/register', {
      Name: 'web',
      Check: { CheckID: 'hb', TTL: '10s', Status: 'passing' },
    })
    await send(app, '/v1/agent/check/pass/hb?note=first')
    await send(app, '/v1/agent/check/update/hb', { Status: 'passing', Output: 'second' })
    t.equal(catalog.record().checks.get('hb')?.output, '', 'what the others are told')
    t.match((await app.inject('/v1/agent/checks')).json(), { hb: { Status: 'passing', Output: 'second' } })
    t.match((await app.inject('/v1/agent/checks?filter=Output==second')).json(), { hb: {} })
    const byId = (await app.inject('/v1/agent/health/service/id/web')).json()
    t.match(byId, { Checks: [{ CheckID: 'hb', Output: 'second' }] })
    t.match((await app.inject('/v1/agent/health/service/name/web')).json(), [byId])
  },
)
