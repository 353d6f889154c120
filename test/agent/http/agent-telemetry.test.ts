import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { Writable } from 'node:stream'
import { Counter, Gauge, Histogram } from 'prom-client'
import t, { type Test } from 'tap'
import { textLine } from '../../../agent/http/agent-monitor.ts'
import { createLogger } from '../../../agent/telemetry/log.ts'
import { LogFeed } from '../../../agent/telemetry/log-feed.ts'
import { harness, listen, until } from './harness.ts'

t.test('metrics in the shape of Consul', async (t) => {
  const { app, metrics } = harness()
  t.teardown(() => app.close())
  const registers = [metrics]
  new Gauge({ name: 'g', help: 'g', labelNames: ['peer'], registers }).set({ peer: 'n2' }, 2.5)
  new Gauge({ name: 'none', help: 'n', registers }).set(Number.NaN)
  new Counter({ name: 'c', help: 'c', registers }).inc(3)
  const histogram = new Histogram({ name: 'h', help: 'h', labelNames: ['kind'], buckets: [1], registers })
  histogram.observe({ kind: 'a' }, 1)
  histogram.observe({ kind: 'a' }, 3)
  histogram.observe({ kind: 'b' }, 5)
  const body = (await app.inject('/v1/agent/metrics')).json()
  t.match(body.Timestamp, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC$/)
  const named = (list: { Name: string }[], name: string) => list.filter(({ Name }) => Name === name)
  t.same(named(body.Gauges, 'g'), [{ Name: 'g', Value: 2.5, Labels: { peer: 'n2' } }])
  t.same(named(body.Gauges, 'none'), [], 'a number that JSON does not have is left out')
  t.match(named(body.Counters, 'c'), [{ Count: 3, Sum: 3 }])
  t.match(named(body.Samples, 'h'), [
    { Count: 2, Sum: 4, Mean: 2, Labels: { kind: 'a' } },
    { Count: 1, Sum: 5, Mean: 5, Labels: { kind: 'b' } },
  ])
  const text = await app.inject('/v1/agent/metrics?format=prometheus')
  t.match(text.headers['content-type'], /^text\/plain/)
  t.match(text.body, /^c 3$/m)
})

t.test('the host, usage, and what there is not', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const host = (await app.inject('/v1/agent/host')).json()
  t.ok(host.Memory.total > 0 && host.CPU.length > 0 && host.Host.hostname !== '')
  t.equal(host.Disk, null, 'there is no data directory')
  t.match((await app.inject('/v1/operator/usage')).json(), {
    Usage: { dc1: { Nodes: 2, Services: 0, ServiceInstances: 0 } },
    KnownLeader: true,
  })
  for (const url of ['/v1/catalog/connect/web', '/v1/health/connect/web', '/v1/health/ingress/web']) {
    const answer = await app.inject(url)
    t.same(answer.json(), [], url)
    t.ok(Number(answer.headers['x-consul-index']) >= 1)
    t.equal((await app.inject(`${url.replace('web', '')}`)).body, 'Missing service name')
  }
  const refused: ['GET' | 'PUT' | 'POST' | 'DELETE', string][] = [
    ['GET', '/v1/acl/tokens'],
    ['PUT', '/v1/acl/bootstrap'],
    ['POST', '/v1/acl/login'],
    ['DELETE', '/v1/acl/token/x'],
    ['GET', '/v1/acl/list'],
    ['PUT', '/v1/agent/token/default'],
  ]
  for (const [method, url] of refused) {
    const answer = await app.inject({ method, url })
    t.equal(answer.statusCode, 401, url)
    t.equal(answer.body, 'ACL support disabled')
  }
})

/** Follows the log over HTTP; answers all text so far. */
async function follow(
  t: Test,
  port: number,
  query = '',
): Promise<{ text: () => string; response: IncomingMessage }> {
  const request = get({ host: '127.0.0.1', port, path: `/v1/agent/monitor${query}` })
  t.teardown(() => request.destroy())
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  let text = ''
  response.setEncoding('utf8')
  response.on('data', (chunk: string) => {
    text += chunk
  })
  return { text: () => text, response }
}

t.test('the log is followed', async (t) => {
  const logFeed = new LogFeed()
  const sink = new Writable({ write: (_chunk, _encoding, done) => done() })
  const log = createLogger({ level: 'debug', format: 'json', feed: logFeed }, sink)
  const { app, metrics } = harness({ logFeed, log })
  t.teardown(() => app.close())
  const port = await listen(app)
  const info = await follow(t, port)
  const json = await follow(t, port, '?loglevel=DEBUG&logjson')
  const errors = await follow(t, port, '?loglevel=err')
  t.equal(info.response.headers['content-type'], 'text/plain; charset=utf-8')
  const part = log.child({ part: 'mesh' })
  part.debug('small')
  part.warn({ peer: 'n2', n: 1 }, 'lost\na peer')
  part.error({ err: new Error('no') }, 'broken')
  await until('all is there', () => [info, json, errors].every(({ text }) => text().includes('broken')))
  t.match(info.text(), /^\S+Z \[INFO\] monitor: following the log at level info\n/)
  t.match(info.text(), /^\S+Z \[WARN\] mesh: lost\\na peer peer=n2 n=1\n/m)
  t.notMatch(info.text(), 'small')
  t.match(errors.text(), /\[ERROR\] mesh: broken err=\{/)
  t.notMatch(errors.text(), 'lost')
  const lines = json
    .text()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.same(
    lines.map(({ level, part }) => [level, part]),
    [
      [30, 'monitor'],
      [20, 'mesh'],
      [40, 'mesh'],
      [50, 'mesh'],
    ],
  )
  const unknown = await app.inject('/v1/agent/monitor?loglevel=loud')
  t.equal(unknown.statusCode, 400)
  t.equal(unknown.body, 'Unknown log level: loud')

  const waiting = async () =>
    (await metrics.getSingleMetric('constellation_http_blocking_queries')?.get())?.values[0]?.value
  t.equal(await waiting(), 3, 'each takes a place of those who wait')
  errors.response.destroy()
  let left = await waiting()
  const deadline = performance.now() + 5_000
  while (left !== 2 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    left = await waiting()
  }
  t.equal(left, 2, 'one that went gives it back')
})

t.test('a client that does not read loses lines, and is told so', async (t) => {
  const logFeed = new LogFeed()
  const { app } = harness({ logFeed })
  t.teardown(() => app.close())
  const { response, text } = await follow(t, await listen(app))
  response.pause()
  const line = `${JSON.stringify({ level: 30, msg: 'x'.repeat(16_384) })}\n`
  for (let i = 0; i < 5_000; i++) {
    logFeed.publish(line, 30)
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  response.resume()
  await until('it is told', () => /\[WARN\] monitor: \d+ lines were dropped/.test(text()))
})

t.test('a line that is not JSON goes as it is', async (t) => {
  t.equal(textLine('what?\n'), 'what?\n')
  t.equal(textLine('{"level":60,"msg":"end"}\n'), '[ERROR] end\n')
})
