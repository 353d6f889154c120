import { get } from 'node:http'
import t from 'tap'
import { runsMs } from '../../held-up.ts'
import { dial, type Harness, harness, listen, readAll, until } from './harness.ts'

interface Answer {
  status: number
  index: number
  body: string
  tookMs: number
}

function fetchText(port: number, path: string): Promise<Answer> {
  const startedAt = performance.now()
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      let body = ''
      response.on('data', (chunk) => {
        body += chunk
      })
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          index: Number(response.headers['x-consul-index']),
          body,
          tookMs: performance.now() - startedAt,
        }),
      )
    }).on('error', reject)
  })
}

const put = (h: Harness, url: string, payload = '') => h.app.inject({ method: 'PUT', url, payload })
const parked = (h: Harness, count: number) =>
  until(`${count} parked`, () => h.consensus.watching + h.catalog.watching === count)

async function running(
  t: { teardown(fn: () => unknown): unknown },
  options: Parameters<typeof harness>[1] = {},
) {
  const h = harness({}, options)
  t.teardown(() => h.app.close())
  return { h, port: await listen(h.app) }
}

t.test('answers when its key changes, and not when another does', async (t) => {
  const { h, port } = await running(t)
  await put(h, '/v1/kv/a/b', 'x')
  const waiting = fetchText(port, '/v1/kv/a/b?index=8&wait=30s')
  await parked(h, 1)
  await put(h, '/v1/kv/other', 'x')
  h.consensus.wake('a/b')
  await put(h, '/v1/kv/a/b', 'y')
  const answer = await waiting
  t.equal(answer.status, 200)
  t.equal(answer.index, 10)
  t.match(answer.body, '"Value":"eQ=="')
  await parked(h, 0)
})

t.test(
  'at the deadline answers the same, no earlier than wait and no later than a sixteenth more',
  async (t) => {
    const { h, port } = await running(t, { random: () => 0.999 })
    await put(h, '/v1/kv/k', 'x')
    const answer = await fetchText(port, '/v1/kv/k?index=8&wait=0.32s')
    t.equal(answer.status, 200)
    t.equal(answer.index, 8)
    t.ok(answer.tookMs >= 339, `took ${answer.tookMs} ms`)
    t.equal((await fetchText(port, '/v1/kv/k?wait=30s')).index, 8, 'wait alone does not block')
    const ahead = await fetchText(port, '/v1/kv/k?index=999&wait=30s')
    t.equal(ahead.index, 8, 'an index from another store answers at once')
  },
)

t.test(
  'a deletion wakes with 404, and a key that stays missing keeps waiting until it appears',
  async (t) => {
    const { h, port } = await running(t)
    await put(h, '/v1/kv/a/b', 'x')
    const deleted = fetchText(port, '/v1/kv/a/b?index=8&wait=30s')
    await parked(h, 1)
    await h.app.inject({ method: 'DELETE', url: '/v1/kv/a?recurse' })
    const gone = await deleted
    t.equal(gone.status, 404)
    t.ok(gone.index > 8)

    const appearing = fetchText(port, `/v1/kv/a/b?index=${gone.index}&wait=30s`)
    await parked(h, 1)
    // Something below the prefix raises the index of the missing key.
    await put(h, '/v1/kv/a/bc', 'x')
    h.consensus.wake('a/b')
    const reads = h.consensus.reads.length
    h.consensus.wake('a/b')
    await until('the query looked again', () => h.consensus.reads.length > reads)
    t.equal(h.consensus.watching, 1, 'still waiting')
    await put(h, '/v1/kv/a/b', 'back')
    t.equal((await appearing).status, 200)
  },
)

t.test('a prefix wakes for what is below it', async (t) => {
  const { h, port } = await running(t)
  await put(h, '/v1/kv/p/1', 'x')
  const waiting = fetchText(port, '/v1/kv/p/?recurse&index=8&wait=30s')
  await parked(h, 1)
  await put(h, '/v1/kv/q', 'x')
  await put(h, '/v1/kv/p/2', 'x')
  const answer = await waiting
  t.equal(JSON.parse(answer.body).length, 2)
  t.equal(answer.index, 10)
})

t.test('the loss of the leader ends a query, unless it reads stale', async (t) => {
  const { h, port } = await running(t)
  await put(h, '/v1/kv/k', 'x')
  const waiting = fetchText(port, '/v1/kv/k?index=8&wait=30s')
  const stale = fetchText(port, '/v1/kv/k?index=8&wait=30s&stale')
  await parked(h, 2)
  h.consensus.loseLeader()
  const answer = await waiting
  t.equal(answer.status, 500)
  t.equal(answer.body, 'No cluster leader')
  t.equal(h.consensus.watching, 1)
  h.consensus.leader = 'peer-1'
  await put(h, '/v1/kv/k', 'y')
  t.equal((await stale).status, 200)
})

t.test('a client that goes away leaves nothing behind', async (t) => {
  const { h, port } = await running(t)
  await put(h, '/v1/kv/k', 'x')
  const socket = await dial(port, 'GET /v1/kv/k?index=8 HTTP/1.1\r\nHost: x\r\n\r\n')
  await parked(h, 1)
  t.match(await h.metrics.metrics(), 'constellation_http_blocking_queries 1')
  socket.destroy()
  await parked(h, 0)
  await until('the gauge to fall', () => h.consensus.watching === 0)
  t.match(await h.metrics.metrics(), 'constellation_http_blocking_queries 0')
})

t.test('closing the server answers everybody at once', async (t) => {
  const { h, port } = await running(t)
  await put(h, '/v1/kv/k', 'x')
  const key = await dial(port, 'GET /v1/kv/k?index=8 HTTP/1.1\r\nHost: x\r\n\r\n')
  const nodes = await dial(port, `GET /v1/catalog/nodes?index=${h.catalog.index} HTTP/1.1\r\nHost: x\r\n\r\n`)
  const texts = [readAll(key), readAll(nodes)]
  await parked(h, 2)
  const startedAt = runsMs()
  await h.app.close()
  for (const text of await Promise.all(texts)) {
    t.match(text, /^HTTP\/1\.1 200/)
    t.match(text, /connection: close/i)
  }
  t.ok(runsMs() - startedAt < 2_000)
})

t.test('no more than the bound may wait', async (t) => {
  const { h, port } = await running(t, { limits: { parkedMax: 1 } })
  await put(h, '/v1/kv/k', 'x')
  const first = fetchText(port, '/v1/kv/k?index=8&wait=30s')
  await parked(h, 1)
  const second = await fetchText(port, '/v1/kv/k?index=8&wait=30s')
  t.equal(second.status, 429)
  await put(h, '/v1/kv/k', 'y')
  t.equal((await first).status, 200)
})

t.test('the catalogue: wakes for a change of the body only', async (t) => {
  const { h, port } = await running(t)
  const service = (tags: string[]) =>
    put(h, '/v1/agent/service/register', JSON.stringify({ Name: 'web', Tags: tags }))
  await service(['v1'])
  const index = h.catalog.index
  const names = fetchText(port, `/v1/catalog/services?index=${index}&wait=30s`)
  const instances = fetchText(port, `/v1/health/service/web?index=${index}&wait=30s`)
  const stranger = fetchText(port, '/v1/catalog/service/none?index=1&wait=0.2s')
  await parked(h, 3)
  h.catalog.touch()
  t.equal((await stranger).status, 200)
  t.equal(h.catalog.watching, 2, 'an unrelated change woke nobody')
  await service(['v1', 'v2'])
  t.same(JSON.parse((await names).body), { consul: [], web: ['v1', 'v2'] })
  t.equal((await instances).index, h.catalog.index)
})

t.test('agent/service blocks while its hash is the same', async (t) => {
  const { h, port } = await running(t)
  await put(h, '/v1/agent/service/register', '{"Name":"web"}')
  const first = await h.app.inject('/v1/agent/service/web')
  const hash = first.json().ContentHash
  t.equal(first.headers['x-consul-contenthash'], hash)
  const waiting = fetchText(port, `/v1/agent/service/web?hash=${hash}&wait=30s`)
  await parked(h, 1)
  h.catalog.touch()
  await put(h, '/v1/agent/service/register', '{"Name":"web","Port":80}')
  t.match(JSON.parse((await waiting).body), { Port: 80 })
  t.equal((await fetchText(port, '/v1/agent/service/web?hash=other&wait=30s')).status, 200)
})
