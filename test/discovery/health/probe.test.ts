import http, { type RequestListener } from 'node:http'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { splitHostPort } from '../../../discovery/health/address.ts'
import { probeHttp, redactUrl } from '../../../discovery/health/http-probe.ts'
import { cutOutput } from '../../../discovery/health/probe.ts'
import { probeTcp } from '../../../discovery/health/tcp-probe.ts'
import { certificate } from './certificate.ts'
import { httpKind, names, tcpKind } from './fixtures.ts'

async function listen(t: Test, server: http.Server | net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    if (server instanceof http.Server) server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

const serve = async (t: Test, handler: RequestListener) =>
  `http://127.0.0.1:${await listen(t, http.createServer(handler))}`

const limit = () => limits(AbortSignal.timeout(5_000))
const limits = (signal: AbortSignal) => ({ signal, timeoutMs: 5_000, outputMax: 4_096, names })

t.test('an HTTP status decides: 2xx passing, 429 warning, else critical', async (t) => {
  const base = await serve(t, (request, response) => {
    response.writeHead(Number(request.url?.slice(1))).end('body text')
  })
  const expected = {
    200: 'passing',
    204: 'passing',
    299: 'passing',
    304: 'critical',
    404: 'critical',
    429: 'warning',
    503: 'critical',
  }
  for (const [code, status] of Object.entries(expected)) {
    const result = await probeHttp(httpKind(`${base}/${code}`), limit())
    t.equal(result.status, status, code)
  }
  t.equal(
    (await probeHttp(httpKind(`${base}/200`), limit())).output,
    `HTTP GET ${base}/200: 200 OK Output: body text`,
  )
})

t.test('sends method, headers and body, and says who asks', async (t) => {
  const seen: { method: string; headers: http.IncomingHttpHeaders; body: string }[] = []
  const base = await serve(t, async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    seen.push({ method: request.method ?? '', headers: request.headers, body })
    response.end()
  })
  const kind = httpKind(base, {
    method: 'post',
    headers: { 'X-Many': ['a', 'b'], Host: ['web.example'] },
    body: 'ping',
  })
  t.equal((await probeHttp(kind, limit())).status, 'passing')
  t.match(seen[0], {
    method: 'POST',
    headers: {
      'user-agent': 'Consul Health Check',
      accept: 'text/plain, text/*, */*',
      'x-many': 'a, b',
      host: 'web.example',
      connection: 'close',
    },
    body: 'ping',
  })
})

t.test('reads 4 KiB of an endless body and hangs up', async (t) => {
  let closed = false
  const base = await serve(t, (_request, response) => {
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(1000)));
    }
    response.on('drain', more)
    response.on('close', () => {
      closed = true
    })
    more()
  })
  const { status, output } = await probeHttp(httpKind(base), limit())
  t.equal(status, 'passing')
  t.equal(output.length, `HTTP GET ${base}: 200 OK Output: `.length + 4096)
  while (!closed) await new Promise((resolve) => setImmediate(resolve))
})

t.test('follows redirects, without the secrets when the host changes', async (t) => {
  const seen: http.IncomingHttpHeaders[] = []
  const other = await serve(t, (request, response) => {
    seen.push(request.headers)
    response.end('there')
  })
  const base = await serve(t, (request, response) => {
    if (request.url === '/loop') response.writeHead(302, { location: '/loop' }).end()
    else response.writeHead(301, { location: `${other}/x` }).end()
  })
  const headers = { Authorization: ['Bearer s3cret'], 'X-Keep': ['yes'] }
  const result = await probeHttp(httpKind(`${base}/a`, { headers }), limit())
  t.match(result, { status: 'passing', output: /200 OK Output: there$/ })
  t.equal(seen[0]?.authorization, undefined)
  t.equal(seen[0]?.['x-keep'], 'yes')
  t.match(await probeHttp(httpKind(`${base}/loop`), limit()), {
    status: 'critical',
    output: /stopped after 10 redirects$/,
  })
})

t.test('a target that cannot be reached or asked is critical', async (t) => {
  const server = net.createServer()
  const port = await listen(t, server)
  await new Promise((resolve) => server.close(resolve))
  t.match(await probeHttp(httpKind(`http://127.0.0.1:${port}/`), limit()), {
    status: 'critical',
    output: /ECONNREFUSED/,
  })
  t.match(await probeHttp(httpKind('ftp://127.0.0.1/'), limit()), {
    status: 'critical',
    output: /unsupported scheme/,
  })
  t.match(await probeHttp(httpKind('no url'), limit()), { status: 'critical' })
  const bad = httpKind('http://127.0.0.1/', { headers: { 'X-Token': ['s3cret\n'] } })
  const { output } = await probeHttp(bad, limit())
  t.match(output, /X-Token/)
  t.notMatch(output, /s3cret/)
})

t.test(
  'no answer ends with the reason of the abort; a body that stalls does not change the verdict',
  async (t) => {
    const base = await serve(t, (request, response) => {
      if (request.url === '/stall') response.writeHead(200).write('begin')
    })
    const abort = new AbortController()
    const hanging = probeHttp(httpKind(`${base}/hang`), limits(abort.signal))
    abort.abort(new Error('no answer within 1s'))
    t.match(await hanging, { status: 'critical', output: /: no answer within 1s$/ })
    t.match(await probeHttp(httpKind(`${base}/stall`), limits(AbortSignal.timeout(2_000))), {
      status: 'passing',
      output: /200 OK Output: begin$/,
    })
  },
)

t.test('checks a certificate unless told not to', async (t) => {
  const files = certificate(t.testdir())
  if (files === null) {
    t.comment('skipped: needs openssl to make a certificate')
    return
  }
  const server = https.createServer(files, (_request, response) => response.end())
  const url = `https://127.0.0.1:${await listen(t, server)}/`
  t.match(await probeHttp(httpKind(url), limit()), { status: 'critical', output: /self.signed/ })
  t.match(await probeHttp(httpKind(url, { tlsSkipVerify: true }), limit()), { status: 'passing' })
})

t.test('a TCP check connects and hangs up', async (t) => {
  const server = net.createServer((socket) => socket.end())
  const port = await listen(t, server)
  t.same(await probeTcp(tcpKind(`127.0.0.1:${port}`), limit()), {
    status: 'passing',
    output: `TCP connect 127.0.0.1:${port}: Success`,
  })
  await new Promise((resolve) => server.close(resolve))
  t.match(await probeTcp(tcpKind(`127.0.0.1:${port}`), limit()), {
    status: 'critical',
    output: /ECONNREFUSED/,
  })
  t.match(await probeTcp(tcpKind('nonsense'), limit()), { status: 'critical', output: /want "host:port"/ })
  t.match(await probeTcp(tcpKind(`127.0.0.1:${port}`), limits(AbortSignal.abort(new Error('over')))), {
    status: 'critical',
    output: /over$/,
  })
})

t.test('small helpers', (t) => {
  t.same(splitHostPort('[::1]:80'), { host: '::1', port: 80 })
  t.same(splitHostPort(':80'), { host: 'localhost', port: 80 })
  t.same(splitHostPort('[fe80::1%eth0]:80'), { host: 'fe80::1%eth0', port: 80 })
  t.same(splitHostPort('under_score.x.:80'), { host: 'under_score.x.', port: 80 })
  t.same(splitHostPort('bücher.example:80'), { host: 'bücher.example', port: 80 })
  const never = [
    'bad host:80',
    'a/b:80',
    'a@b:80',
    '[web]:80',
    '[1.2.3.4]:80',
    'a\n:80',
    '1.2.3.256:80',
    'fe80%1:80',
  ]
  for (const text of ['h', 'h:0', 'h:65536', '::1:80', 'h:x', ...never])
    t.equal(splitHostPort(text), null, text)
  t.equal(redactUrl('http://user:pw@h/x'), 'http://***@h/x')
  t.equal(redactUrl('http://h'), 'http://h')
  t.equal(redactUrl('//user:pw@h:bad'), '//***@h:bad')
  t.equal(cutOutput(`${'x'.repeat(4095)}😀`), 'x'.repeat(4095))
  t.equal(cutOutput('a\ud800b'), 'a\ufffdb')
  t.end()
})
