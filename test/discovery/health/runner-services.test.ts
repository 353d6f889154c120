import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { LocalRecord } from '../../../discovery/catalog/local-record.ts'
import type { CheckStatus, LocalCatalog } from '../../../discovery/catalog/types.ts'
import type { Probe } from '../../../discovery/health/prober.ts'
import { ResultStore } from '../../../discovery/health/result-store.ts'
import { CheckRunner } from '../../../discovery/health/runner.ts'
import { tempDir } from '../temp-dir.ts'
import {
  definition,
  EMPTY_CATALOG,
  FakeLocal,
  FakeTimers,
  memoryLog,
  service,
  tcpKind,
  until,
} from './fixtures.ts'

const ttl = (ttlMs: number) => ({ type: 'ttl' as const, ttlMs })

function runnerOn(
  t: Test,
  local: LocalCatalog,
  options: { dataDir?: string; probe?: Probe; results?: ResultStore } = {},
) {
  const timers = new FakeTimers()
  const { log, lines } = memoryLog()
  const { dataDir = tempDir(t), ...rest } = options
  const runner = new CheckRunner(
    { dataDir },
    { local, catalog: EMPTY_CATALOG, log, timers, random: () => 0.5, ...rest },
  )
  t.teardown(() => runner.stop())
  return { runner, timers, lines }
}

t.test('a service that stays critical is deregistered with its checks, and not before', async (t) => {
  const local = new FakeLocal()
  const { runner, timers, lines } = runnerOn(t, local)
  await runner.start()
  for (const id of ['web', 'other']) local.putService(service(id))
  runner.put(definition({ id: 'a', serviceId: 'web', kind: ttl(600_000), deregisterAfterMs: 60_000 }))
  runner.put(definition({ id: 'b', serviceId: 'web', kind: ttl(600_000) }))
  runner.put(definition({ id: 'c', serviceId: 'other', kind: ttl(600_000) }))
  runner.put(definition({ id: 'node', kind: ttl(600_000), deregisterAfterMs: 60_000 }))
  timers.advance(59_000)
  runner.report('a', 'passing', '')
  timers.advance(120_000)
  t.ok(local.services.has('web'), 'it recovered in time')
  runner.report('a', 'critical', '')
  timers.advance(59_999)
  t.ok(local.services.has('web'))
  timers.advance(1)
  t.same([...local.services.keys()], ['other'])
  t.same(
    runner.definitions().map(({ id }) => id),
    ['c', 'node'],
  )
  t.match(lines.join(''), /deregistered a critical service/)
  t.equal(runner.report('b', 'passing', ''), 'unknown')
})

t.test('thresholds hold a polled check where it is until enough results speak', async (t) => {
  const local = new FakeLocal()
  const answers: CheckStatus[] = [
    'passing',
    'passing',
    'critical',
    'passing',
    'critical',
    'critical',
    'critical',
  ]
  let runs = 0
  const probe: Probe = async () => ({ status: answers[runs++] ?? 'passing', output: `run ${runs}` })
  const { runner, timers } = runnerOn(t, local, { probe })
  await runner.start()
  const thresholds = { successBeforePassing: 2, failuresBeforeWarning: 2, failuresBeforeCritical: 3 }
  runner.put(definition({ id: 'web', kind: tcpKind('127.0.0.1:1'), thresholds }))
  const seen: (string | undefined)[] = []
  for (let i = 1; i <= answers.length; i++) {
    await until(() => runs === i && timers.pending().length === 1)
    seen.push(local.status('web'))
    timers.advance(10_000)
  }
  t.same(seen, ['critical', 'passing', 'passing', 'passing', 'passing', 'warning', 'critical'])
})

t.test('a probe that throws costs its run, and is told once', async (t) => {
  const local = new FakeLocal()
  let runs = 0
  const probe: Probe = () => {
    runs += 1
    if (runs === 1) throw new TypeError('thrown at once')
    if (runs < 4) return Promise.reject(new TypeError('thrown later'))
    return Promise.resolve({ status: 'passing', output: 'well' })
  }
  const { runner, timers, lines } = runnerOn(t, local, { probe })
  await runner.start()
  runner.put(definition({ id: 'web', kind: tcpKind('127.0.0.1:1') }))
  const outputs: (string | undefined)[] = []
  for (let i = 1; i <= 4; i++) {
    await until(() => runs === i && timers.pending().some((ms) => ms === 10_000))
    outputs.push(`${local.status('web')} ${runner.output('web')}`)
    timers.advance(10_000)
  }
  t.same(outputs, [
    'critical the check could not be run: thrown at once',
    'critical the check could not be run: thrown later',
    'critical the check could not be run: thrown later',
    'passing well',
  ])
  t.equal(lines.filter((line) => line.includes('a check could not be run')).length, 2)
})

t.test('scripts kept from before do not run when they are off', async (t) => {
  const local = new FakeLocal()
  const { runner } = runnerOn(t, local)
  await runner.start()
  runner.put(definition({ id: 'script', kind: { type: 'script', args: ['/bin/true'] } }))
  await until(() => /checks\.scripts/.test(local.checks.get('script')?.output ?? ''))
  t.equal(local.status('script'), 'critical')
})

/** An agent's record and runner over the same data, as the composition root wires them. */
async function agent(t: Test, dataDir: string, incarnation: number, wall: () => number) {
  const { log } = memoryLog()
  const results = new ResultStore({ dataDir }, { log, wall })
  await results.load()
  const local = new LocalRecord({ dataDir }, { log, lastResult: (id) => results.get(id) })
  await local.open({ id: 'peer-1', name: 'n1', address: '10.0.0.1', meta: {}, incarnation })
  // Its probes answer never: what is shown is what is known from before.
  const { runner, timers } = runnerOn(t, local, { dataDir, results, probe: () => new Promise(() => {}) })
  const status = (id: string) => local.record().checks.get(id)?.status
  return { local, runner, timers, status }
}

t.test('a restart turns nothing critical that was well, from the first moment on', async (t) => {
  const dataDir = tempDir(t)
  let wall = 1_000_000
  const first = await agent(t, dataDir, 1, () => wall)
  first.local.putService(service('web'))
  await first.runner.start()
  for (const id of ['short', 'long']) {
    first.runner.put(definition({ id, serviceId: 'web', kind: ttl(id === 'long' ? 3_600_000 : 10_000) }))
    first.runner.report(id, 'passing', `${id} is fine`)
  }
  await first.runner.stop()
  await first.local.flush()

  wall += 60_000
  const second = await agent(t, dataDir, 2, () => wall)
  t.equal(second.status('long'), 'passing', 'before the runner has started')
  t.equal(second.status('short'), 'critical', 'its time ran out while no agent was there')
  await second.runner.start()
  t.equal(second.status('long'), 'passing')
  t.match(
    second.local.record().checks.get('short')?.output,
    /last output before timeout follows\): short is fine/,
  )
})

t.test('after a crash the last statuses are there too', async (t) => {
  const dataDir = tempDir(t)
  const first = await agent(t, dataDir, 1, () => 0)
  await first.runner.start()
  first.runner.put(definition({ id: 'app', kind: ttl(10_000) }))
  first.runner.report('app', 'passing', 'fine')
  await Promise.all([first.local.flush(), first.runner.flush()])
  await until(() => {
    try {
      return /"passing"/.test(readFileSync(join(dataDir, 'check-results.json'), 'utf8'))
    } catch {
      return false
    }
  })
  const second = await agent(t, dataDir, 2, () => 6_000)
  t.equal(second.status('app'), 'passing', 'the report is valid for 4 s')
  await second.runner.start()
  second.timers.advance(9_999)
  t.equal(second.status('app'), 'passing', 'its program is given time to find the new agent')
  second.timers.advance(1)
  t.match(second.local.record().checks.get('app'), { status: 'critical', output: /follows\): fine$/ })
})

t.test('what ran out while a killed agent was away has expired, also after many such ends', async (t) => {
  const dataDir = tempDir(t)
  let wall = 0
  const first = await agent(t, dataDir, 1, () => wall)
  await first.runner.start()
  first.runner.put(definition({ id: 'app', kind: ttl(8_000) }))
  first.runner.put(definition({ id: 'backup', kind: ttl(25 * 3_600_000) }))
  for (const id of ['app', 'backup']) first.runner.report(id, 'passing', 'fine')
  const path = join(dataDir, 'check-results.json')
  const kept = (): { id: string; status: string; validMs: number }[] => {
    try {
      return JSON.parse(readFileSync(path, 'utf8')).results
    } catch {
      return []
    }
  }
  await until(() => kept().filter(({ status }) => status === 'passing').length === 2)
  await Promise.all([first.local.flush(), first.runner.flush()])

  wall = 5_000
  const second = await agent(t, dataDir, 2, () => wall)
  await second.runner.start()
  t.equal(second.status('app'), 'passing')
  // Another status makes it write without a report: what it writes is the report of the first run.
  second.timers.advance(1_000)
  wall += 1_000
  second.runner.put(definition({ id: 'other', kind: ttl(8_000) }))
  second.runner.report('other', 'passing', '')
  await until(() => kept().some(({ id, status }) => id === 'other' && status === 'passing'), kept)
  t.equal(kept().find(({ id }) => id === 'app')?.validMs, 2_000)

  wall += 4_000
  const third = await agent(t, dataDir, 3, () => wall)
  t.equal(third.status('app'), 'critical')
  t.equal(third.status('other'), 'passing')
  await third.runner.start()
  third.timers.advance(60_000)
  t.equal(
    third.local.record().checks.get('app')?.output,
    'TTL expired (last output before timeout follows): fine',
  )
  t.equal(third.status('backup'), 'passing')
  third.timers.advance(25 * 3_600_000 - 60_000 - 10_000)
  t.equal(third.status('backup'), 'critical', 'what is left of its time, and not all of it anew')
})

t.test('reports are kept, but not each of them', async (t) => {
  const dataDir = tempDir(t)
  const results = new ResultStore({ dataDir }, memoryLog())
  let writes = 0
  const save = results.save.bind(results)
  results.save = (current) => {
    writes += 1
    save(current)
  }
  const { runner, timers } = runnerOn(t, new FakeLocal(), { dataDir, results })
  await runner.start()
  for (let i = 0; i < 50; i++)
    runner.put(definition({ id: `c${i}`, kind: ttl(20_000), initialStatus: 'passing' }))
  writes = 0
  for (let second = 0; second < 20; second++) {
    for (let i = 0; i < 50; i++) runner.report(`c${i}`, 'passing', '')
    timers.advance(1_000)
  }
  t.equal(writes, 14, 'every eighth of the TTL the first at once and the others together, where 1,000 came')
})

t.test('damaged results cost no more than a critical start', async (t) => {
  for (const content of [
    '',
    '[]',
    '{"format":1,"atMs":1,"results":[{"id":"app","status":"fine","output":""}]}',
  ]) {
    const dataDir = tempDir(t)
    const first = await agent(t, dataDir, 1, () => 0)
    await first.runner.start()
    first.runner.put(definition({ id: 'app', kind: ttl(10_000) }))
    first.runner.report('app', 'passing', 'fine')
    await first.runner.stop()
    await first.local.flush()
    writeFileSync(join(dataDir, 'check-results.json'), content)
    const second = await agent(t, dataDir, 2, () => 0)
    t.equal(second.status('app'), 'critical')
    await second.runner.start()
    t.equal(second.runner.report('app', 'passing', 'fine'), 'ok')
    t.equal(second.status('app'), 'passing')
  }
})

t.test('definitions of every kind, and those of an older agent, are read back', async (t) => {
  const dataDir = tempDir(t)
  const tls = { tlsSkipVerify: true, tlsServerName: 'web.example' }
  const kinds = [
    tcpKind('127.0.0.1:1', { useTls: true }),
    { type: 'udp' as const, address: '127.0.0.1:1' },
    { type: 'grpc' as const, target: '127.0.0.1:1/x', useTls: true, ...tls },
    { type: 'h2ping' as const, address: '127.0.0.1:1', useTls: true, ...tls },
    { type: 'script' as const, args: ['/bin/true', 'x'] },
    { type: 'docker' as const, container: 'c', shell: '/bin/sh', args: ['x'] },
    { type: 'alias' as const, node: 'n2', service: 'web' },
    ttl(5_000),
  ]
  const probe: Probe = async () => ({ status: 'passing', output: '' })
  const first = runnerOn(t, new FakeLocal(), { dataDir, probe })
  await first.runner.start()
  const definitions = kinds.map((kind, i) =>
    definition({ id: `c${i}`, kind, outputMax: 100, deregisterAfterMs: 5 }),
  )
  for (const each of definitions) first.runner.put(each)
  await first.runner.stop()
  const second = runnerOn(t, new FakeLocal(), { dataDir, probe })
  await second.runner.start()
  t.same(second.runner.definitions(), definitions)
  await second.runner.stop()

  const {
    thresholds: _,
    deregisterAfterMs: _after,
    outputMax: _max,
    ...old
  } = definition({ id: 'old', kind: ttl(1) })
  const http = { type: 'http', url: 'http://a/', method: '', headers: {}, body: '', tlsSkipVerify: false }
  const checks = [
    old,
    { ...old, id: 'http', kind: http },
    { ...old, id: 'tcp', kind: { type: 'tcp', address: 'a:1' } },
  ]
  writeFileSync(join(dataDir, 'checks.json'), JSON.stringify({ format: 1, checks }))
  const third = runnerOn(t, new FakeLocal(), { dataDir, probe })
  await third.runner.start()
  t.match(third.runner.definitions(), [
    { id: 'old', outputMax: 4_096, deregisterAfterMs: 0 },
    { id: 'http', kind: { disableRedirects: false, tlsServerName: '' } },
    { id: 'tcp', kind: { useTls: false, tlsSkipVerify: false } },
  ])
})
