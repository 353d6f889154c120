import t from 'tap'
import { CONFIG, harness } from '../agent/http/harness.ts'
import { page, section } from './pages.ts'

const TEXT = page('docs/api.md')
const VALUE_BYTES_MAX = CONFIG.kv.valueBytesMax

t.test('every route is named, and nothing that is no route', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const { paths } = (await app.inject('/openapi.json')).json<{ paths: Record<string, object> }>()
  const served = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  )
  const named = [...TEXT.matchAll(/`((?:GET|PUT|DELETE|POST) \/[^`?\s]*)`/g)].map(([, route = '']) => route)
  t.ok(served.length > 40, 'the routes were read')
  t.same([...new Set(named)].toSorted(), served.toSorted())
})

t.test('what is said not to be served is not', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const list = /<!-- not served -->(.*)<!-- end -->/s.exec(TEXT)?.[1] ?? ''
  const paths = [...list.matchAll(/`(\/v1\/[^`]+)`/g)].map(([, path = '']) => path.replace(/\{\w+\}/, 'x'))
  t.ok(paths.length > 5, 'the paths were read')
  for (const url of paths) {
    for (const method of ['GET', 'PUT', 'POST'] as const) {
      const { statusCode } = await app.inject({ method, url, payload: '{}' })
      t.ok([404, 405].includes(statusCode), `${method} ${url}: ${statusCode}`)
    }
  }
})

t.test('errors and limits are as shown', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const codes = section(TEXT, '## Conventions')
  t.ok(codes.includes((await app.inject('/api/v1/nope')).body))
  for (const url of ['/v1/nope', '/v1/kv/k?ns=x']) {
    const { statusCode } = await app.inject(url)
    t.ok(codes.includes(`| ${statusCode} |`), url)
  }
  t.ok(codes.includes((await app.inject('/v1/nope')).body))
  const put = (url: string, payload: string | Buffer) => app.inject({ method: 'PUT', url, payload })
  t.ok(codes.includes((await put('/v1/agent/service/register', '{"Port":1}')).body))
  t.equal((await put('/v1/kv/k', Buffer.alloc(VALUE_BYTES_MAX))).statusCode, 200)
  t.ok(codes.includes((await put('/v1/kv/k', Buffer.alloc(VALUE_BYTES_MAX + 1))).body))
  t.ok(section(TEXT, '## Limits').includes(`${VALUE_BYTES_MAX / 1024} KiB if not set`))
  const grpc = await put('/v1/agent/service/register', '{"Name":"x","Check":{"GRPC":"a:1","Interval":"10s"}}')
  t.ok(TEXT.includes(grpc.body))
})
