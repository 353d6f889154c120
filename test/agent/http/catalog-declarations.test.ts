import t from 'tap'
import { declaredHarness } from './declared-harness.ts'

const PRINTER = { Node: 'printer', Address: '192.0.2.7' }

t.test('a registered node, service and check are found at once by everybody who asks', async (t) => {
  const { register, get } = await declaredHarness(t)
  const done = await register({
    ...PRINTER,
    ID: '40E4A748-2192-161A-0510-9BF59FE950B5',
    NodeMeta: { floor: '2' },
    TaggedAddresses: { wan: '198.51.100.7' },
    Service: { ID: 'ipp1', Service: 'ipp', Port: 631, Tags: ['color'] },
    Check: {
      CheckID: 'alive',
      Name: 'Ping',
      Status: 'passing',
      Definition: { TCP: '192.0.2.7:631', Interval: '5s' },
    },
  })
  t.equal(done.statusCode, 200)
  t.equal(done.body, 'true')
  t.match(await get('/v1/catalog/service/ipp?tag=color'), [
    {
      ID: '40e4a748-2192-161a-0510-9bf59fe950b5',
      Node: 'printer',
      Address: '192.0.2.7',
      TaggedAddresses: { lan: '192.0.2.7', wan: '198.51.100.7' },
      NodeMeta: { floor: '2' },
      ServiceID: 'ipp1',
      ServicePort: 631,
    },
  ])
  t.match(await get('/v1/health/service/ipp?passing'), [
    {
      Checks: [
        { CheckID: 'alive', ServiceID: 'ipp1', ServiceName: 'ipp', Definition: { TCP: '192.0.2.7:631' } },
      ],
    },
  ])
  t.match(await get('/v1/catalog/node/40e4a748'), {
    Node: { Node: 'printer' },
    Services: { ipp1: { Port: 631 } },
  })
  t.match(await get('/v1/catalog/services'), { ipp: ['color'], web: [] })
})

t.test('a check without a status is critical, and belongs to the service it names', async (t) => {
  const { register, get } = await declaredHarness(t)
  await register({
    ...PRINTER,
    Service: { Service: 'ipp' },
    Checks: [{ Name: 'a', ServiceID: '' }, { Name: 'b' }],
  })
  t.match(await get('/v1/health/state/critical'), [
    { CheckID: 'a', ServiceID: '' },
    { CheckID: 'b', ServiceID: 'ipp' },
  ])
  t.same(await get('/v1/health/service/ipp?passing=1'), [])
})

t.test('what may not be registered is refused in the words of Consul, and nothing is written', async (t) => {
  const { register, consensus } = await declaredHarness(t)
  const cases: [body: unknown, status: number, text: string | RegExp][] = [
    [{}, 500, 'Must provide node'],
    [{ Node: 'a' }, 500, 'Must provide address if SkipNodeUpdate is not set'],
    [{ Node: 'a', SkipNodeUpdate: true }, 500, 'Node "a" is not registered'],
    [{ ...PRINTER, ID: 'x' }, 500, /^Bad node ID: /],
    [
      { ...PRINTER, Service: { ID: 'x' } },
      500,
      'Must provide service name (Service.Service) when service ID is provided',
    ],
    [{ ...PRINTER, Service: { Service: 'x', Address: '0.0.0.0' } }, 500, 'Invalid service address'],
    [
      { ...PRINTER, Check: { Node: 'b', CheckID: 'c' } },
      500,
      "Node 'b' for check 'c' doesn't match register request node 'printer'",
    ],
    [{ ...PRINTER, Check: { CheckID: 'c', ServiceID: 's' } }, 500, "Unknown service ID 's' for check ID 'c'"],
    [{ ...PRINTER, Check: { CheckID: 'c', Status: 'fine' } }, 500, /^Invalid check: bad status/],
    [{ ...PRINTER, Check: { CheckID: 'serfHealth' } }, 400, /this id belongs to the membership/],
    [{ ...PRINTER, Node: 'x'.repeat(300) }, 400, /the name of a node has 300 characters, the limit is 255/],
    ['{"Node":"\\ud800","Address":"1.2.3.4"}', 400, /not valid Unicode/],
    [{ ...PRINTER, Service: 3 }, 400, /^Request decode failed/],
    [{ ...PRINTER, Datacenter: 'dc9' }, 500, 'No path to datacenter'],
    [
      { ...PRINTER, Check: { CheckID: 'c', Definition: { Interval: '10' } } },
      400,
      /Interval must be a duration/,
    ],
    [
      { ...PRINTER, Check: { CheckID: 'c', Definition: { Timeout: true } } },
      400,
      /Timeout must be a duration/,
    ],
    [
      '{"Node":"p","Address":"192.0.2.7","Check":{"Name":"c","Definition":{"Interval":1e999}}}',
      400,
      /duration/,
    ],
    [
      '{"Node":"p","Address":"192.0.2.7","Check":{"Name":"c","Definition":{"Interval":1e30}}}',
      400,
      /duration/,
    ],
    ['', 400, /^Request decode failed/],
  ]
  const before = consensus.state.kvList('constellation/')
  for (const [body, status, text] of cases) {
    const answer = await register(body)
    t.equal(answer.statusCode, status, JSON.stringify(body))
    if (typeof text === 'string') t.equal(answer.body, text)
    else t.match(answer.body, text)
  }
  t.same(consensus.state.kvList('constellation/'), before)
})

t.test(
  'a service can be declared on a node with an agent, and a check on a service the agent runs',
  async (t) => {
    const { register, deregister, get, store } = await declaredHarness(t)
    const done = await register({
      Node: 'n2',
      SkipNodeUpdate: true,
      Service: { Service: 'lpd', Port: 515 },
      Checks: [{ Name: 'of web', ServiceID: 'web', Status: 'warning' }],
    })
    t.equal(done.body, 'true')
    t.match(await get('/v1/health/service/web'), [
      { Checks: [{ CheckID: 'serfHealth' }, { CheckID: 'of web' }] },
    ])
    t.match(await get('/v1/catalog/service/lpd'), [{ Node: 'n2', Address: '10.0.0.1' }])
    await deregister({ Node: 'n2' })
    t.match(store.node('n2'), { alive: true }, 'what the agent says is not taken back')
    t.same(await get('/v1/catalog/service/lpd'), [])
  },
)

t.test('deregistering a failed member declares it left; a living one stays', async (t) => {
  const { deregister, get, membership } = await declaredHarness(t)
  t.equal((await deregister({ Node: 'n2' })).body, 'true')
  t.equal(membership.get('n2')?.status, 'alive')
  membership.set('n2', { status: 'failed' })
  t.equal((await deregister({ Node: 'n2', ServiceID: 'web' })).body, 'true')
  t.equal((await deregister({ Node: 'n2', CheckID: 'serfHealth' })).body, 'true')
  t.match(await get('/v1/catalog/service/web'), [{ Node: 'n2' }], 'a part of it is what it said last')
  t.equal((await deregister({ Node: 'n2' })).body, 'true')
  t.equal(membership.get('n2')?.status, 'left')
  t.equal(await get('/v1/catalog/node/n2'), null)
  t.same(await get('/v1/catalog/service/web'), [])
})

t.test(
  'deregistering takes a check, a service with its checks, or the node with all, and is idempotent',
  async (t) => {
    const { register, deregister, get } = await declaredHarness(t)
    const all = {
      ...PRINTER,
      Service: { Service: 'ipp' },
      Checks: [
        { Name: 'a', ServiceID: '', Status: 'passing' },
        { Name: 'b', Status: 'passing' },
        { Name: 'c', Status: 'passing' },
      ],
    }
    const ids = async () =>
      ((await get('/v1/health/node/printer')) as { CheckID: string }[]).map((c) => c.CheckID)
    await register(all)
    for (const _ of [1, 2]) {
      t.equal((await deregister({ Node: 'printer', CheckID: 'c' })).body, 'true')
      t.same(await ids(), ['a', 'b'])
    }
    for (const _ of [1, 2]) {
      t.equal((await deregister({ Node: 'printer', ServiceID: 'ipp' })).body, 'true')
      t.same(await ids(), ['a'])
      t.same(await get('/v1/catalog/service/ipp'), [])
    }
    await register({ Node: 'printer-2', Address: '192.0.2.8' })
    for (const _ of [1, 2]) {
      t.equal((await deregister({ Node: 'printer' })).body, 'true')
      t.equal(await get('/v1/catalog/node/printer'), null)
    }
    t.match(await get('/v1/catalog/node/printer-2'), { Node: {} }, 'its neighbour in the order of keys stays')
    const missing = await deregister({})
    t.equal(missing.statusCode, 500)
    t.equal(missing.body, 'Must provide node')
  },
)

t.test('registering the same again changes nothing for those who wait', async (t) => {
  const { register, app } = await declaredHarness(t)
  const body = { ...PRINTER, Service: { Service: 'ipp' }, Check: { Name: 'x', Status: 'passing' } }
  const index = async () => (await app.inject('/v1/health/service/ipp')).headers['x-consul-index']
  await register(body)
  const before = await index()
  await register(body)
  t.equal(await index(), before)
  await register({ ...body, Check: { Name: 'x', Status: 'critical' } })
  t.not(await index(), before)
})

t.test('a key below the prefix that holds no declaration is ignored, and the rest is shown', async (t) => {
  const { register, get, put } = await declaredHarness(t)
  await register({ ...PRINTER, Service: { Service: 'ipp' } })
  for (const [key, value] of [
    ['node/printer', '{'],
    ['node/other', '{"name":3}'],
    ['service/printer/x', '{"id":"x"}'],
    ['check/printer/y', '[]'],
    ['service/printer/%25zz', '{}'],
    ['rubbish', 'x'],
  ]) {
    t.equal((await put(`/v1/kv/constellation/catalog/${key}`, value)).body, 'true')
  }
  t.equal(await get('/v1/catalog/node/printer'), null, 'the node itself cannot be read any more')
  await register(PRINTER)
  t.match(await get('/v1/catalog/node/printer'), { Services: { ipp: {} } })
})

const printer = (Verb: string, more: object = {}) => ({
  Node: { Verb, Node: { Node: 'printer', Address: '192.0.2.7', ...more } },
})
const ipp = (Verb: string, more: object = {}) => ({
  Service: { Verb, Node: 'printer', Service: { ID: 'ipp1', Service: 'ipp', Port: 631, ...more } },
})
const ping = (Verb: string, more: object = {}) => ({
  Check: { Verb, Check: { Node: 'printer', CheckID: 'ping', Name: 'Ping', Status: 'passing', ...more } },
})

t.test('a transaction declares a node, a service, a check and a key at once', async (t) => {
  const { txn, get } = await declaredHarness(t)
  const done = await txn([
    printer('set', { Meta: { floor: '2' } }),
    ipp('set'),
    ping('set', { ServiceID: 'ipp1' }),
    { KV: { Verb: 'set', Key: 'k', Value: 'MQ==' } },
    ping('get'),
  ])
  t.equal(done.statusCode, 200, done.body)
  const { Results, Errors } = done.json()
  t.equal(Errors, null)
  t.match(Results, [
    { Node: { Node: 'printer', Address: '192.0.2.7', Meta: { floor: '2' } } },
    { Service: { ID: 'ipp1', Service: 'ipp', Port: 631 } },
    { Check: { CheckID: 'ping', Node: 'printer', ServiceID: 'ipp1', Status: 'passing' } },
    { KV: { Key: 'k' } },
    { Check: { CheckID: 'ping' } },
  ])
  t.match(await get('/v1/health/service/ipp?passing'), [
    { Node: { Node: 'printer' }, Checks: [{ CheckID: 'ping' }] },
  ])
})

t.test('compare-and-set goes by the index of the thing, and one failure undoes all', async (t) => {
  const { txn, get } = await declaredHarness(t)
  const made = (await txn([printer('set'), ipp('cas', { ModifyIndex: 0 })])).json().Results
  const index = made[1].Service.ModifyIndex
  const stale = await txn([ipp('set', { Port: 1 }), ipp('cas', { Port: 2, ModifyIndex: index - 1 })])
  t.equal(stale.statusCode, 409)
  t.same(stale.json().Errors, [
    { OpIndex: 1, What: 'failed to set service "ipp1" on node "printer", index is stale' },
  ])
  t.match(await get('/v1/catalog/service/ipp'), [{ ServicePort: 631 }])
  t.equal((await txn([ipp('cas', { Port: 2, ModifyIndex: index })])).statusCode, 200)
  t.match(await get('/v1/catalog/service/ipp'), [{ ServicePort: 2 }])
  const gone = await txn([printer('delete-cas', { ModifyIndex: 1 })])
  t.same(gone.json().Errors, [{ OpIndex: 0, What: 'failed to delete node "printer", index is stale' }])
})

t.test('what a transaction names and is not there', async (t) => {
  const { txn, get } = await declaredHarness(t)
  const what = async (...operations: unknown[]) => (await txn(operations)).json().Errors?.[0]?.What
  t.equal(await what(printer('get')), 'node "printer" doesn\'t exist')
  t.equal(await what(ipp('get')), 'service "ipp1" on node "printer" doesn\'t exist')
  t.equal(await what(ipp('set')), 'Missing node registration: "printer"')
  t.equal(
    await what(printer('set'), ping('set', { ServiceID: 'x' })),
    'Missing service registration: "x" on node "printer"',
  )
  t.equal(await what(printer('lock')), 'unknown Node verb "lock"')
  t.equal((await txn([{ Node: { Verb: 'set' } }])).statusCode, 400)
  t.equal(
    (await txn([{ Query: {} }])).body,
    'Failed to parse body: operation 0 has no KV, Node, Service or Check',
  )
  await txn([printer('set'), ipp('set'), ping('set', { ServiceID: 'ipp1' })])
  await txn([ipp('delete')])
  t.same(await get('/v1/health/node/printer'), [], 'a service takes its checks with it')
  await txn([ping('set'), printer('delete')])
  t.equal(await get('/v1/catalog/node/printer'), null)
})

t.test('what is meant for another datacenter is not taken back here', async (t) => {
  const { register, deregister, get } = await declaredHarness(t)
  t.equal((await register({ ...PRINTER, Datacenter: 'dc1' })).body, 'true')
  const refused = await deregister({ ...PRINTER, Datacenter: 'dc9' })
  t.equal(refused.statusCode, 500)
  t.equal(refused.body, 'No path to datacenter')
  t.match(await get('/v1/catalog/node/printer'), { Node: { Node: 'printer' } })
})

t.test('durations of how to check are text or nanoseconds, and shown as text', async (t) => {
  const { register, get } = await declaredHarness(t)
  const Definition = {
    TCP: 'a:1',
    interval: 10e9,
    Timeout: '1500ms',
    deregister_critical_service_after: 90e9,
  }
  const done = await register({ ...PRINTER, Check: { CheckID: 'c', Definition } })
  t.equal(done.body, 'true')
  const [check] = await get('/v1/health/node/printer')
  t.match(check, {
    Interval: '10s',
    Timeout: '1500ms',
    Definition: {
      TCP: 'a:1',
      interval: '10s',
      Timeout: '1500ms',
      deregister_critical_service_after: '1m30s',
    },
  })
})

t.test(
  'a declared node without an ID has one that follows from its name, the same on every agent',
  async (t) => {
    const here = await declaredHarness(t)
    const there = await declaredHarness(t)
    const nodes = [
      { ...PRINTER, Service: { Service: 'ipp' } },
      { Node: 'scanner', Address: '192.0.2.8' },
    ]
    for (const node of nodes) await here.register(node)
    for (const node of [...nodes].reverse()) await there.register(node)
    const ids = async ({ get }: typeof here): Promise<readonly string[]> =>
      (await get('/v1/catalog/nodes'))
        .filter(({ Node }: { Node: string }) => Node !== 'n1' && Node !== 'n2')
        .map(({ ID }: { ID: string }) => ID)
    const [printer, scanner] = await ids(here)
    t.match(printer, /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    t.not(printer, scanner)
    t.same(await ids(there), [printer, scanner])
    t.match(await here.get('/v1/health/service/ipp'), [{ Node: { ID: printer } }])
    t.match(await here.get(`/v1/catalog/node/${printer}`), { Node: { Node: 'printer' } })
    const read = await here.txn([{ Node: { Verb: 'get', Node: { Node: 'printer' } } }])
    t.match(read.json().Results, [{ Node: { ID: printer } }], 'also in a transaction')
  },
)
