import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import http, { type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { CheckRunner } from '../../../discovery/health/runner.ts'
import { tempDir } from '../temp-dir.ts'
import {
  definition,
  EMPTY_CATALOG,
  FakeLocal,
  FakeTimers,
  httpKind,
  memoryLog,
  service,
  tcpKind,
  until,
} from './fixtures.ts'

async function serve(t: Test, handler: RequestListener): Promise<string> {
  const server = http.createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

function setup(t: Test, options: { dataDir?: string; maxConcurrent?: number; local?: FakeLocal } = {}) {
  const local = options.local ?? new FakeLocal()
  const timers = new FakeTimers()
  const { log, lines } = memoryLog()
  const metrics = new Registry()
  const dataDir = options.dataDir ?? tempDir(t)
  const runner = new CheckRunner(
    { dataDir, queue: { quickMax: options.maxConcurrent ?? 64 } },
    { local, catalog: EMPTY_CATALOG, log, metrics, timers, random: () => 0.5 },
  )
  t.teardown(() => runner.stop())
  return { local, timers, lines, runner, metrics, dataDir, file: join(dataDir, 'checks.json') }
}

const ttl = (ttlMs: number) => ({ type: 'ttl' as const, ttlMs })

t.test('a polled check runs at once and then every interval', async (t) => {
  let requests = 0
  let code = 200
  const url = await serve(t, (_request, response) => {
    requests += 1
    response.writeHead(code).end(`run ${requests}`)
  })
  const { local, timers, runner, metrics } = setup(t)
  await runner.start()
  runner.put(definition({ id: 'web', kind: httpKind(url) }))
  t.match(local.checks.get('web'), {
    status: 'critical',
    output: '',
    type: 'http',
    interval: '10s',
    name: 'check web',
  })
  await until(() => local.status('web') === 'passing')
  t.same(timers.pending(), [10_000])

  code = 500
  timers.advance(9_999)
  t.equal(requests, 1)
  timers.advance(1)
  await until(() => local.status('web') === 'critical')
  t.match(local.checks.get('web')?.output, /500 Internal Server Error Output: run 2$/)
  t.match(await metrics.metrics(), /constellation_health_runs_total\{type="http",status="passing"\} 1/)
})

t.test('the interval varies by a tenth either way', async (t) => {
  const url = await serve(t, (_request, response) => void response.end())
  for (const [random, wait] of [
    [0, 9_000],
    [0.999, 10_998],
  ] as const) {
    const local = new FakeLocal()
    const timers = new FakeTimers()
    const runner = new CheckRunner(
      { dataDir: tempDir(t) },
      { local, catalog: EMPTY_CATALOG, log: memoryLog().log, timers, random: () => random },
    )
    await runner.start()
    runner.put(definition({ id: 'web', kind: httpKind(url) }))
    await until(() => local.status('web') === 'passing')
    t.same(timers.pending().map(Math.round), [wait])
    await runner.stop()
  }
})

t.test('a hanging target is ended by its timeout, overlaps nothing and delays no other', async (t) => {
  let open = 0
  let most = 0
  const hang = await serve(t, (request, _response) => {
    open += 1
    most = Math.max(most, open)
    request.socket.on('close', () => {
      open -= 1
    })
  })
  const good = await serve(t, (_request, response) => void response.end())
  const { local, timers, runner } = setup(t, { maxConcurrent: 2 })
  await runner.start()
  runner.put(definition({ id: 'slow', kind: httpKind(hang), timeoutMs: 25_000, intervalMs: 1_000 }))
  for (let i = 0; i < 5; i++) runner.put(definition({ id: `good${i}`, kind: httpKind(good) }))
  await until(
    () => [0, 1, 2, 3, 4].every((i) => local.status(`good${i}`) === 'passing'),
    () => local.writes,
  )
  await until(() => open === 1)

  timers.advance(25_000)
  await until(
    () => /no answer within 25s$/.test(local.checks.get('slow')?.output ?? ''),
    () => local.checks.get('slow'),
  )
  await until(() => open === 0)
  t.equal(most, 1)
})

t.test('of one target at most a quarter of the places', async (t) => {
  const waiting: (() => void)[] = []
  let open = 0
  let most = 0
  const url = await serve(t, (_request, response) => {
    open += 1
    most = Math.max(most, open)
    waiting.push(() => {
      open -= 1
      response.end()
    })
  })
  const { local, runner, metrics } = setup(t, { maxConcurrent: 12 })
  await runner.start()
  for (let i = 0; i < 8; i++) runner.put(definition({ id: `c${i}`, kind: httpKind(url) }))
  await until(() => open === 3)
  t.match(await metrics.metrics(), /constellation_health_probes_waiting 5/)
  await until(() => {
    for (const answer of waiting.splice(0)) answer()
    return [...local.checks.values()].every((check) => check.status === 'passing')
  })
  t.equal(most, 3)
})

t.test('a check without a timeout is given 10 s', async (t) => {
  let asked = false
  const url = await serve(t, () => {
    asked = true
  })
  const { local, timers, runner } = setup(t)
  await runner.start()
  runner.put(definition({ id: 'slow', kind: httpKind(url) }))
  await until(() => asked)
  timers.advance(10_000)
  await until(() => /no answer within 10s$/.test(local.checks.get('slow')?.output ?? ''))
})

t.test('a ttl check: reports, expiry, recovery', async (t) => {
  const { local, timers, runner } = setup(t)
  await runner.start()
  runner.put(definition({ id: 'app', kind: ttl(5_000) }))
  t.equal(local.status('app'), 'critical')
  t.equal(runner.report('app', 'passing', 'fine'), 'ok')
  t.match(local.checks.get('app'), { status: 'passing', output: 'fine', type: 'ttl' })
  timers.advance(4_000)
  runner.report('app', 'passing', 'fine')
  timers.advance(4_999)
  t.equal(local.status('app'), 'passing')
  timers.advance(1)
  t.match(local.checks.get('app'), {
    status: 'critical',
    output: 'TTL expired (last output before timeout follows): fine',
  })
  runner.report('app', 'warning', '')
  t.equal(local.status('app'), 'warning')

  t.equal(runner.report('none', 'passing', ''), 'unknown')
  runner.put(definition({ id: 'tcp', kind: tcpKind('127.0.0.1:1') }))
  t.equal(runner.report('tcp', 'passing', ''), 'not-ttl')
  runner.put(definition({ id: 'warm', kind: ttl(5_000), initialStatus: 'passing' }))
  t.equal(local.status('warm'), 'passing')
  timers.advance(5_000)
  t.match(local.checks.get('warm'), { status: 'critical', output: 'TTL expired' })
})

t.test('a new output alone is written once a minute, and the last one is not lost', async (t) => {
  const { local, timers, runner } = setup(t)
  await runner.start()
  runner.put(definition({ id: 'app', kind: ttl(600_000) }))
  runner.report('app', 'passing', 'a')
  const written = local.writes.length
  for (const output of ['b', 'c', 'd']) runner.report('app', 'passing', output)
  t.equal(local.writes.length, written)
  t.equal(runner.output('app'), 'd')
  timers.advance(59_999)
  t.equal(local.checks.get('app')?.output, 'a')
  timers.advance(1)
  t.equal(local.checks.get('app')?.output, 'd')
  t.equal(local.writes.length, written + 1)
  runner.report('app', 'passing', 'd')
  timers.advance(120_000)
  t.equal(local.writes.length, written + 1, 'nothing new, nothing written')
})

t.test('definitions and statuses survive a restart', async (t) => {
  const url = await serve(t, (_request, response) => void response.end())
  const first = setup(t)
  first.local.putService(service('web'))
  first.local.putService(service('gone'))
  await first.runner.start()
  const web = definition({
    id: 'web',
    serviceId: 'web',
    kind: httpKind(url, { headers: { 'X-Token': ['s3cret'] } }),
  })
  const app = definition({ id: 'app', kind: ttl(5_000) })
  first.runner.put(web)
  first.runner.put(app)
  first.runner.put(definition({ id: 'gone', serviceId: 'gone', kind: ttl(5_000) }))
  first.runner.report('app', 'passing', 'fine')
  await until(() => first.local.status('web') === 'passing')
  await first.runner.stop()
  t.equal(statSync(first.file).mode & 0o777, 0o600)

  first.local.removeService('gone')
  const writes = first.local.writes.length
  const second = setup(t, { dataDir: first.dataDir, local: first.local })
  await second.runner.start()
  t.same(second.runner.definitions(), [web, app])
  t.equal(first.local.status('app'), 'passing', 'not critical because of the restart')
  t.equal(first.local.writes.length, writes, 'nothing changed, nothing written')
  second.timers.advance(5_000)
  t.match(first.local.checks.get('app')?.output, /last output before timeout follows\): fine$/)
  await second.runner.flush()
  t.notMatch(readFileSync(first.file, 'utf8'), /"gone"/)
  t.notMatch([...first.lines, ...second.lines].join(''), /s3cret/)
})

t.test('a damaged file is an error that names it, keeps it, and quotes no secret', async (t) => {
  for (const content of [
    '{"format":1,"checks":[{"id":"x","kind":{"headers":{"Authorization":["s3cret"]',
    '[]',
    '{"format":2,"checks":[]}',
    '{"format":1,"checks":[{"id":"s3cret"}]}',
  ]) {
    const { runner, file } = setup(t)
    writeFileSync(file, content)
    const error: Error = await runner.start().then(
      () => new Error('started'),
      (reason) => reason,
    )
    t.match(error, { name: 'HealthError', code: 'HLT_FILE_DAMAGED' })
    t.ok(error.message.includes(file), error.message)
    t.notMatch(error.message, /s3cret/)
    t.equal(readFileSync(file, 'utf8'), content)
  }
})

t.test('registering again keeps the status; another kind starts anew', async (t) => {
  const { local, runner } = setup(t)
  await runner.start()
  const app = definition({ id: 'app', kind: ttl(5_000) })
  runner.put(app)
  runner.report('app', 'passing', 'fine')
  const writes = local.writes.length
  runner.put(app)
  t.equal(local.status('app'), 'passing')
  t.equal(local.writes.length, writes)
  runner.put({ ...app, name: 'renamed' })
  t.match(local.checks.get('app'), { name: 'renamed', status: 'passing', output: 'fine' })
  runner.put(definition({ id: 'app', kind: tcpKind('127.0.0.1:1') }))
  t.match(local.checks.get('app'), { status: 'critical', type: 'tcp' })
})

t.test('remove ends a check for good, even with a probe under way', async (t) => {
  let closed = false
  let asked = false
  const url = await serve(t, (request) => {
    asked = true
    request.socket.on('close', () => {
      closed = true
    })
  })
  const { local, timers, runner, file } = setup(t)
  await runner.start()
  runner.put(definition({ id: 'web', kind: httpKind(url) }))
  await until(() => asked)
  t.equal(runner.remove('web'), true)
  t.equal(runner.remove('web'), false)
  await until(() => closed)
  t.equal(local.checks.has('web'), false)
  await runner.flush()
  t.same(JSON.parse(readFileSync(file, 'utf8')).checks, [])
  await until(() => timers.pending().length === 0)
  t.equal(local.checks.has('web'), false)
})

t.test('a result after the service went does not bring its check back', async (t) => {
  const { local, timers, runner } = setup(t)
  local.putService(service('web'))
  await runner.start()
  runner.put(definition({ id: 'app', serviceId: 'web', kind: ttl(5_000), initialStatus: 'passing' }))
  local.removeService('web')
  timers.advance(5_000)
  t.equal(local.checks.has('app'), false)
})

t.test('start and stop may be called twice, and nothing runs after stop', async (t) => {
  const { local, timers, runner, file } = setup(t)
  await runner.stop()
  await Promise.all([runner.start(), runner.start()])
  runner.put(definition({ id: 'app', kind: ttl(5_000), initialStatus: 'passing' }))
  await Promise.all([runner.stop(), runner.stop()])
  t.ok(existsSync(file))
  timers.advance(10_000)
  t.equal(local.status('app'), 'passing')
  await runner.start()
  t.equal(runner.definitions().length, 1)
  timers.advance(5_000)
  t.equal(local.status('app'), 'critical')
})
