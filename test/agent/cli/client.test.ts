import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { constellation, runInProcess, stubAgent } from './run.ts'

const NODES = JSON.stringify([
  { name: 'n1', address: '10.0.0.1:7946', status: 'alive', role: 'leader', version: '0.1.0', extra: [1] },
  { name: 'node-two', address: '10.0.0.2:7946', status: 'failed', role: 'voter', cordoned: true },
  { name: 'evil', address: 'a\u001b[31mb\nc', status: 'left', role: null },
])
const SERVICES = JSON.stringify([
  {
    name: 'web',
    tags: ['a', 'b'],
    instances: [
      { node: 'n1', id: 'web-1', address: '10.0.0.1', port: 80, status: 'passing' },
      { node: 'n2', id: 'web-2', address: 'fd00::2', port: 80, status: 'critical' },
    ],
  },
  { name: 'gone', tags: [], instances: [] },
])
const LEASES = '[{"name":"dns","holder":"n1","fencingToken":42,"ttlMs":5000}]'
const RAFT = JSON.stringify({
  id: 'id1',
  name: 'n1',
  clusterId: 'c1',
  role: 'leader',
  term: 3,
  leader: 'id1',
  commitIndex: 10,
  appliedIndex: 9,
  lastLogIndex: 11,
  snapshotIndex: 5,
  logEntries: 6,
  logBytes: 420,
  lastContactMs: 0,
  problem: 'voters that do not answer this node: n2',
  joint: { incoming: ['n1', 'n3'], outgoing: ['n1', 'n2'] },
  peers: [
    {
      id: 'id1',
      name: 'n1',
      voter: true,
      leader: true,
      cordoned: false,
      connected: true,
      matchIndex: 11,
      lag: 0,
      state: 'replicate',
      lastHeardMs: 0,
      flapping: false,
    },
    {
      id: 'id2',
      name: 'n2',
      voter: true,
      leader: false,
      cordoned: true,
      connected: false,
      matchIndex: 0,
      lag: 11,
      state: 'probe',
      lastHeardMs: 4321.5,
      flapping: true,
    },
    { id: 'id3', name: 'n3', voter: false, leader: false, matchIndex: null },
  ],
})
const ENTRY =
  '[{"LockIndex":0,"Key":"a b/ç","Flags":18446744073709551615,"Value":"/wA=","CreateIndex":8,"ModifyIndex":8}]'

const EXPLAIN = JSON.stringify({
  ready: false,
  reason: 'not yet',
  etag: '"e"',
  counts: { routers: 1, services: 2, servers: 3 },
  held: ['http.services.a'],
  gone: ['old'],
  problems: [{ code: 'conflict', message: 'who did it' }],
})
const EXPLAINED = {
  service: 'web',
  node: 'n1',
  instance: 'web-1',
  source: 'box',
  inDocument: false,
  why: 'it is critical',
  servers: {},
  routers: [],
  labels: [{ label: 'traefik.enable', fate: 'used', why: null }],
  problems: [],
}
const agent = await stubAgent({
  'GET /api/v1/nodes': { body: NODES },
  'GET /api/v1/services': { body: SERVICES },
  'GET /api/v1/leases': { body: LEASES },
  'GET /api/v1/raft': { body: RAFT },
  'PUT /api/v1/raft/transfer': { body: '{"name":"n3","id":"id3"}' },
  'PUT /api/v1/raft/transfer?to=n%202': { body: '{"name":"n 2","id":"id2"}' },
  'PUT /api/v1/raft/peers/n2': { body: '{"name":"n2","id":"id2","role":"voter"}' },
  'PUT /api/v1/raft/peers/n3': { body: '{"name":"n3","id":"id3","role":"learner"}' },
  'PUT /api/v1/nodes/n2/cordon': { body: '{"name":"n2","id":"id2","cordoned":true,"role":"voter"}' },
  'PUT /api/v1/nodes/n%203/cordon': { body: '{"name":"n 3","id":"id3","cordoned":true,"role":"learner"}' },
  'PUT /api/v1/nodes/n2/uncordon': { body: '{"name":"n2","id":"id2","cordoned":false,"role":"voter"}' },
  'DELETE /api/v1/raft/peers/n2': { body: '{"name":"n2","id":"id2"}' },
  'DELETE /api/v1/raft/peers/n1': {
    status: 409,
    body: '{"error":{"code":"CST_REFUSED","message":"n1 leads the cluster"}}',
  },
  'GET /api/v1/traefik': { body: '{"http":{"routers":{}}}' },
  'GET /api/v1/traefik?local=n%201': { body: '{"http":{}}' },
  'GET /api/v1/traefik/explain': { body: EXPLAIN },
  'GET /api/v1/traefik/explain?service=web': {
    body: JSON.stringify({ ...JSON.parse(EXPLAIN), instances: [EXPLAINED] }),
  },
  'GET /api/v1/traefik/explain?service=none': { body: '{"instances":[]}' },
  'GET /v1/kv/a%20b/%C3%A7?raw': { body: Buffer.of(0xff, 0x00) },
  'GET /v1/kv/a%20b/%C3%A7': { body: ENTRY },
  'GET /v1/kv/empty?raw': { body: '' },
  'GET /v1/kv/down?raw': { status: 500, body: 'No cluster leader\n' },
  'GET /v1/kv/?keys': { body: '["a/b","c"]' },
  'GET /v1/kv/none/?keys': { status: 404 },
  'PUT /v1/kv/k': { body: 'true' },
  'PUT /v1/kv/a/../b//c%3F': { body: 'true' },
  'PUT /v1/kv/k?cas=0&flags=18446744073709551615': { body: 'false' },
  'PUT /v1/kv/k?cas=7': { body: 'false' },
  'DELETE /v1/kv/k': { body: 'true' },
  'DELETE /v1/kv/k?cas=7': { body: 'false' },
  'DELETE /v1/kv/p/?recurse': { body: 'true' },
})
t.teardown(() => agent.close())
const at = ['--http-addr', agent.address]

t.test('traefik explain', async (t) => {
  const all = await runInProcess(['traefik', 'explain', ...at])
  t.equal(
    all.out,
    `not served: not yet
1 routers, 2 services, 3 servers
held, for many lost all servers at once: http.services.a
without instances, routers stay for a while: old

conflict: who did it
`,
  )
  const one = await runInProcess(['traefik', 'explain', 'web', ...at])
  t.match(
    one.out,
    `web on n1, web-1 (box): not in the document: it is critical
LABEL           FATE  WHY
traefik.enable  used
`,
  )
  const none = await runInProcess(['traefik', 'explain', 'none', ...at])
  t.match(none, { code: 1, err: /no instance of a service "none" is known/ })
})

t.test('--json prints exactly what the API answered', async (t) => {
  for (const [command, body] of [
    [['members'], NODES],
    [['services'], SERVICES],
    [['leases'], LEASES],
    [['raft', 'status'], RAFT],
    [['raft', 'transfer'], '{"name":"n3","id":"id3"}'],
    [['raft', 'remove', 'n2'], '{"name":"n2","id":"id2"}'],
    [['raft', 'add', 'n2'], '{"name":"n2","id":"id2","role":"voter"}'],
    [['cordon', 'n2'], '{"name":"n2","id":"id2","cordoned":true,"role":"voter"}'],
    [['traefik'], '{"http":{"routers":{}}}'],
    [['traefik', 'show'], '{"http":{"routers":{}}}'],
    [['traefik', 'show', '--local', 'n 1'], '{"http":{}}'],
    [['traefik', 'explain'], EXPLAIN],
    [['kv', 'list'], '["a/b","c"]'],
    [['kv', 'list', 'none/'], '[]'],
    [['kv', 'get', 'a b/ç'], ENTRY],
  ] as const) {
    const { code, out, err } = await runInProcess([...command, '--json', ...at])
    t.strictSame(
      { code, out: Buffer.from(out, 'latin1').toString(), err },
      { code: 0, out: `${body}\n`, err: '' },
      command.join(' '),
    )
  }
})

t.test('tables for people', async (t) => {
  const print = async (...args: string[]) => (await runInProcess([...args, ...at])).out
  t.equal(
    await print('members'),
    `NODE      ADDRESS        STATUS  ROLE             VERSION
n1        10.0.0.1:7946  alive   leader           0.1.0
node-two  10.0.0.2:7946  failed  voter, cordoned  -
evil      a?[31mb?c      left    -                -
`,
  )
  t.equal(
    await print('services'),
    `SERVICE  NODE  ID     ADDRESS       STATUS    TAGS
web      n1    web-1  10.0.0.1:80   passing   a,b
web      n2    web-2  [fd00::2]:80  critical  a,b
gone     -     -      -             -         -
`,
  )
  t.equal(await print('leases'), 'LEASE  HOLDER  TOKEN\ndns    n1      42\n')
  t.equal(
    await print('raft', 'status'),
    `node:           n1
role:           leader
term:           3
leader:         n1
last contact:   0 ms
commit index:   10
applied index:  9
last log index: 11
snapshot index: 5
log:            6 entries, 420 bytes
cluster:        c1
change:         under way, voters n1, n2 -> n1, n3; both majorities must agree
problem:        voters that do not answer this node: n2

PEER  ROLE     ANSWERS  MATCH  LAG  STATE      HEARD  NOTES               ID
n1    leader   yes      11     0    replicate  0 ms   -                   id1
n2    voter    no       0      11   probe      4.3 s  cordoned, flapping  id2
n3    learner  -        -      -    -          -      -                   id3
`,
  )
  t.equal(await print('traefik'), '{\n  "http": {\n    "routers": {}\n  }\n}\n')
})

t.test('members --detailed, rtt, leave and force-leave', async (t) => {
  const coord = (x: number) => ({ Vec: [x, 0, 0, 0, 0, 0, 0, 0], Height: 0.0005, Adjustment: 0, Error: 0.1 })
  const stub = await stubAgent({
    'GET /api/v1/nodes': {
      body: JSON.stringify([
        {
          name: 'n1',
          address: 'a:1',
          status: 'alive',
          role: 'leader',
          version: '1',
          rttMs: 0,
          http: 'a:2',
          incarnation: 3,
          id: 'id1',
        },
        {
          name: 'n2',
          address: 'b:1',
          status: 'failed',
          role: 'voter',
          version: '1',
          rttMs: null,
          incarnation: 4,
          id: 'id2',
        },
      ]),
    },
    'GET /api/v1/status': { body: '{"node":"n1"}' },
    'GET /v1/coordinate/nodes': {
      body: JSON.stringify([
        { Node: 'n1', Segment: '', Coord: coord(0) },
        { Node: 'n2', Segment: '', Coord: coord(0.01) },
      ]),
    },
    'PUT /v1/agent/leave': { body: '' },
    'PUT /v1/agent/force-leave/n%2F2': { body: '' },
    'PUT /v1/agent/force-leave/n2?prune': { body: '' },
    'PUT /v1/agent/force-leave/n1': { status: 400, body: 'n1 is alive, not failed\n' },
  })
  t.teardown(() => stub.close())
  const run = (...args: string[]) => runInProcess([...args, '--http-addr', stub.address])
  t.equal(
    (await run('members', '--detailed')).out,
    `NODE  ADDRESS  STATUS  ROLE    VERSION  RTT     HTTP  INCARNATION  ID
n1    a:1      alive   leader  1        0.00ms  a:2   3            id1
n2    b:1      failed  voter   1        -       -     4            id2
`,
  )
  t.equal((await run('rtt', 'n2')).out, 'n2 <-> n1: 11.000 ms (estimated)\n')
  t.equal((await run('rtt', 'n1', 'n2', '--json')).out, '{"from":"n1","to":"n2","rttMs":11}\n')
  t.equal((await run('rtt', 'n1', 'n1')).out, 'n1 <-> n1: 0.000 ms (estimated)\n')
  t.match(await run('rtt', 'n1', 'n9'), { code: 1, err: /no network coordinate of "n9" is known/ })
  t.equal((await run('leave')).out, `the agent at ${stub.address} leaves\n`)
  t.equal((await run('force-leave', 'n/2')).out, 'declared left: n/2\n')
  t.equal((await run('force-leave', 'n2', '--prune')).out, 'forgotten: n2\n')
  t.match(await run('force-leave', 'n1'), { code: 1, err: /answered 400: n1 is alive, not failed\n$/ })
})

t.test('clients and who feeds them', async (t) => {
  const raft = JSON.parse(RAFT) as Record<string, unknown>
  const feed = { feeder: 'n3', feederId: 'id3', lag: 4, restarts: 1 }
  const print = async (status: object, ...args: string[]) => {
    const stub = await stubAgent({
      'GET /api/v1/raft': { body: JSON.stringify({ ...raft, ...status }) },
      'GET /api/v1/nodes': {
        body: '[{"name":"n8","role":"client","fedBy":"n3"},{"name":"n9","role":"client"}]',
      },
    })
    t.teardown(() => stub.close())
    return (await runInProcess([...args, '--http-addr', stub.address])).out
  }
  t.match(
    await print({ role: 'client', feed }, 'raft', 'status'),
    /^role: +client\n(?:.*\n)*fed by: +n3\nlag: +4 entries\n(?:.*\n)*PEER/m,
  )
  t.match(await print({ feed: { ...feed, feeder: null } }, 'raft', 'status'), /^fed by: +-\n/m)
  const followers = [{ name: 'n8', id: 'id8', lag: 0 }]
  t.match(
    await print({ followers }, 'raft', 'status'),
    /n3 +learner .* id3\n\nFEEDS {2}LAG {2}ID\nn8 +0 +id8\n$/,
  )
  t.match(await print({}, 'members'), /n8 +- +- +client of n3 +-\nn9 +- +- +client +-\n/)
})

t.test('raft transfer and remove say what was done, or why not', async (t) => {
  const run = (...args: string[]) => runInProcess(['raft', ...args, ...at])
  t.equal((await run('transfer')).out, 'n3 leads\n')
  t.equal((await run('transfer', 'n 2')).out, 'n 2 leads\n')
  t.equal((await run('remove', 'n2')).out, 'removed: n2\n')
  t.strictSame(await run('remove', 'n1'), {
    code: 1,
    out: '',
    err: `constellation: the agent at ${agent.address} answered 409: n1 leads the cluster\n`,
  })
})

t.test('cordon, uncordon and raft add say what was decided', async (t) => {
  const print = async (...args: string[]) => (await runInProcess([...args, ...at])).out
  t.equal(
    await print('cordon', 'n2'),
    'cordoned: n2 (it is a voter until another node has taken its place)\n',
  )
  t.equal(await print('cordon', 'n 3'), 'cordoned: n 3\n')
  t.equal(await print('uncordon', 'n2'), 'uncordoned: n2\n')
  t.equal(await print('raft', 'add', 'n2'), 'voter: n2\n')
  t.equal(await print('raft', 'add', 'n3'), 'n3 is a learner and becomes a voter once it has caught up\n')
})

t.test('docker: what became of each container, and what is wrong', async (t) => {
  const problem = (message: string) => ({ code: 'unknown', about: 'x', message })
  const body = JSON.stringify({
    engine: { address: '/d.sock', connected: false, error: 'the engine at /d.sock does not answer' },
    containers: [
      {
        name: 'db',
        state: 'exited',
        health: null,
        instance: null,
        status: null,
        reason: 'it is off',
        problems: [],
      },
      {
        name: 'web',
        state: 'running',
        health: 'healthy',
        instance: 'web@n1',
        status: 'passing',
        reason: 'it is in the catalogue',
        problems: [problem('one'), problem('two')],
      },
      {
        name: 'old',
        state: 'exited',
        health: null,
        instance: 'old@n1',
        status: 'critical',
        output: 'it has ended with exit code 1',
        reason: 'it is in the catalogue',
        problems: [],
      },
      {
        name: 'once',
        state: 'created',
        health: null,
        instance: null,
        status: null,
        output: null,
        reason: 'not here',
        runOnce: { service: 'once', holder: 'n2', note: 'stands by: n2 holds the lease' },
        problems: [problem('three')],
      },
    ],
  })
  const stub = await stubAgent({ 'GET /api/v1/docker': { body } })
  t.teardown(() => stub.close())
  const env = { CONSTELLATION_HTTP_ADDR: `http://${stub.address}/` }
  t.equal(
    (await runInProcess(['docker'], { env })).out,
    `not connected: the engine at /d.sock does not answer
CONTAINER  STATE              INSTANCE  STATUS    NOTES
db         exited             -         -         it is off
web        running (healthy)  web@n1    passing   one
                                                  two
old        exited             old@n1    critical  it has ended with exit code 1
once       created            -         -         stands by: n2 holds the lease
                                                  three
`,
  )
  t.equal((await runInProcess(['docker', '--json'], { env })).out, `${body}\n`)
})

t.test('empty lists say so', async (t) => {
  const empty = await stubAgent({
    'GET /api/v1/nodes': { body: '[]' },
    'GET /api/v1/services': { body: '[]' },
    'GET /api/v1/leases': { body: '[]' },
  })
  t.teardown(() => empty.close())
  const env = { CONSTELLATION_HTTP_ADDR: `http://${empty.address}/` }
  t.equal((await runInProcess(['members'], { env })).out, 'no members\n')
  t.equal((await runInProcess(['services'], { env })).out, 'no services\n')
  t.equal((await runInProcess(['leases'], { env })).out, 'no leases\n')
})

t.test('kv get: bytes as they are, and a missing key fails', async (t) => {
  t.strictSame(await constellation(['kv', 'get', 'a b/ç', ...at]), { code: 0, out: '\xff\x00', err: '' })
  t.strictSame(await runInProcess(['kv', 'get', 'empty', ...at]), { code: 0, out: '', err: '' })
  t.strictSame(await runInProcess(['kv', 'get', 'nope', ...at]), {
    code: 1,
    out: '',
    err: 'constellation: no such key: nope\n',
  })
  t.strictSame(await runInProcess(['kv', 'get', 'down', ...at]), {
    code: 1,
    out: '',
    err: `constellation: the agent at ${agent.address} answered 500: No cluster leader\n`,
  })
})

t.test('kv list: one key per line; the sentence about none is no key', async (t) => {
  t.strictSame(await runInProcess(['kv', 'list', ...at]), { code: 0, out: 'a/b\nc\n', err: '' })
  t.strictSame(await runInProcess(['kv', 'list', 'none/', ...at]), {
    code: 0,
    out: '',
    err: 'no keys below none/\n',
  })
})

t.test('kv put: value, file, standard input, flags, a lost compare-and-set', async (t) => {
  const file = join(t.testdir(), 'value')
  writeFileSync(file, Buffer.of(1, 0, 255))
  const last = () => agent.seen.at(-1)
  t.strictSame(await runInProcess(['kv', 'put', 'k', 'hello', ...at]), {
    code: 0,
    out: 'written: k\n',
    err: '',
  })
  t.strictSame(last(), { method: 'PUT', url: '/v1/kv/k', body: 'hello' })
  await runInProcess(['kv', 'put', 'k', '', ...at])
  t.strictSame(last(), { method: 'PUT', url: '/v1/kv/k', body: '' })
  await runInProcess(['kv', 'put', 'k', `@${file}`, ...at])
  t.strictSame(last(), { method: 'PUT', url: '/v1/kv/k', body: '\x01\x00\xff' })
  await constellation(['kv', 'put', 'k', '-', ...at], { input: 'from stdin\n' })
  t.strictSame(last(), { method: 'PUT', url: '/v1/kv/k', body: 'from stdin\n' })
  await runInProcess(['kv', 'put', ...at, 'k', '--', '-5'])
  t.strictSame(last(), { method: 'PUT', url: '/v1/kv/k', body: '-5' })
  t.equal((await runInProcess(['kv', 'put', 'a/../b//c?', 'x', ...at])).code, 0)
  t.equal(last()?.url, '/v1/kv/a/../b//c%3F', 'each segment is encoded and none is resolved')
  t.strictSame(
    await runInProcess(['kv', 'put', 'k', 'x', '--cas', '0', '--flags', '18446744073709551615', ...at]),
    { code: 1, out: '', err: 'constellation: nothing changed at k: the key exists already\n' },
  )
  t.strictSame(await runInProcess(['kv', 'put', 'k', 'x', '--cas', '7', ...at]), {
    code: 1,
    out: '',
    err: 'constellation: nothing changed at k: the ModifyIndex of the entry is not 7\n',
  })
  const missing = await runInProcess(['kv', 'put', 'k', '@/does/not/exist', ...at])
  t.equal(missing.code, 1)
  t.match(missing.err, /^constellation: cannot read the value: ENOENT.*\/does\/not\/exist/)
})

t.test('kv delete', async (t) => {
  t.strictSame(await runInProcess(['kv', 'delete', 'k', ...at]), { code: 0, out: 'deleted: k\n', err: '' })
  t.equal((await runInProcess(['kv', 'delete', '--recurse', 'p/', ...at])).code, 0)
  t.equal((await runInProcess(['kv', 'delete', '--cas', '7', 'k', ...at])).code, 1)
  t.equal((await runInProcess(['kv', 'delete', '--cas', '7', '--recurse', 'k', ...at])).code, 64)
})

t.test('an agent that does not answer, or is none', async (t) => {
  const closed = await stubAgent({})
  await closed.close()
  t.strictSame(await runInProcess(['members', '--http-addr', closed.address]), {
    code: 1,
    out: '',
    err: `constellation: no agent answers at ${closed.address}; start one with \`constellation agent\` or name it with --http-addr\n`,
  })
  const other = await stubAgent({
    'GET /api/v1/nodes': { body: '<html>' },
    'GET /api/v1/leases': { status: 503, body: '{"error":{"code":"X","message":"not ready yet"}}' },
  })
  t.teardown(() => other.close())
  t.strictSame(await runInProcess(['members', '--http-addr', other.address]), {
    code: 1,
    out: '',
    err: `constellation: what answers at ${other.address} is no Constellation agent: not JSON\n`,
  })
  t.equal(
    (await runInProcess(['leases', '--http-addr', other.address])).err,
    `constellation: the agent at ${other.address} answered 503: not ready yet\n`,
  )
  t.strictSame(await runInProcess(['members'], { env: { CONSTELLATION_HTTP_ADDR: 'nonsense' } }), {
    code: 64,
    out: '',
    err: 'constellation: CONSTELLATION_HTTP_ADDR: "nonsense" has no port; allowed: HOST:PORT or http(s)://HOST:PORT\n',
  })
})
