import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import type { ProbeLimits, ProbeResult } from '../../../discovery/health/probe.ts'
import { type Probe, probeTarget } from '../../../discovery/health/prober.ts'
import { CheckRunner } from '../../../discovery/health/runner.ts'
import { tempDir } from '../temp-dir.ts'
import {
  definition,
  EMPTY_CATALOG,
  FakeLocal,
  FakeTimers,
  httpKind,
  memoryLog,
  tcpKind,
  until,
} from './fixtures.ts'

const ok: ProbeResult = { status: 'passing', output: 'ok' }
const ended = ({ signal }: ProbeLimits) =>
  new Promise<ProbeResult>((resolve) => {
    signal.addEventListener('abort', () => resolve({ status: 'critical', output: String(signal.reason) }))
  })

/** Lets the clock go on in small steps, with the promises in between. */
async function run(timers: FakeTimers, ms: number, each: () => void = () => {}): Promise<void> {
  for (let at = 0; at < ms; at += 50) {
    timers.advance(50)
    await turn()
    each()
  }
}

t.test('of 500 checks 50 that hang delay no other, on a virtual clock', async (t) => {
  const timers = new FakeTimers()
  const local = new FakeLocal()
  const hanging = (address: string) => Number(address.split(':')[1]) <= 50
  const runs = new Map<string, number[]>()
  const open = new Map<string, number>()
  let most = 0
  const probe: Probe = async (kind, limits) => {
    if (kind.type !== 'tcp') throw new Error(kind.type)
    const { address } = kind
    open.set(address, (open.get(address) ?? 0) + 1)
    most = Math.max(most, ...open.values())
    runs.set(address, [...(runs.get(address) ?? []), timers.now()])
    const answer = new Promise<ProbeResult>((resolve) => timers.after(20, () => resolve(ok)))
    const result = await (hanging(address) ? ended(limits) : answer)
    open.set(address, (open.get(address) ?? 0) - 1)
    return result
  }
  const runner = new CheckRunner(
    { dataDir: tempDir(t) },
    { local, catalog: EMPTY_CATALOG, log: memoryLog().log, timers, random: () => 0.5, probe },
  )
  t.teardown(() => runner.stop())
  await runner.start()
  for (let i = 1; i <= 500; i++) {
    const kind = tcpKind(`10.0.0.1:${i}`)
    runner.put(definition({ id: `c${i}`, kind, intervalMs: 5_000, timeoutMs: 4_000 }))
  }
  await run(timers, 30_000)

  let latest = 0
  for (const [address, starts] of runs) {
    if (hanging(address)) continue
    latest = Math.max(latest, starts[0] ?? Number.POSITIVE_INFINITY)
    t.ok(starts.length >= 6, `${address} ran at ${starts}`)
    const gaps = starts.slice(1).map((at, i) => at - (starts[i] ?? 0))
    t.ok(Math.max(...gaps) <= 5_500, `${address} came late: ${gaps}`)
  }
  t.equal(runs.size, 500)
  t.ok(latest <= 1_500, `the last of the others had its first run at ${latest} ms`)
  t.equal(most, 1, 'none overlaps itself')
  for (let i = 1; i <= 500; i++) t.equal(local.status(`c${i}`), i <= 50 ? 'critical' : 'passing')
})

/** A server of its own thread, which answers however busy this one is; paths below /hang get none. */
async function worker(t: Test): Promise<number> {
  const thread = new Worker(
    `const { createServer } = require('node:http')
     const { parentPort } = require('node:worker_threads')
     const server = createServer((request, response) => {
       if (!request.url.startsWith('/hang')) response.end('ok')
     })
     server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))`,
    { eval: true },
  )
  t.teardown(() => thread.terminate())
  const [port] = await once(thread, 'message')
  return port
}

t.test('of 500 checks 50 that hang delay no other, for real', async (t) => {
  const good = await worker(t)
  const bad = await worker(t)
  const local = new FakeLocal()
  const runner = new CheckRunner(
    { dataDir: tempDir(t) },
    { local, catalog: EMPTY_CATALOG, log: memoryLog().log },
  )
  t.teardown(() => runner.stop())
  await runner.start()
  // First those that hang, so that all others stand behind them.
  for (let i = 0; i < 50; i++) {
    const kind = httpKind(`http://127.0.0.1:${bad}/hang/${i}`)
    runner.put(definition({ id: `bad${i}`, kind, intervalMs: 1_000, timeoutMs: 60_000 }))
  }
  for (let i = 0; i < 450; i++) {
    const kind = httpKind(`http://127.0.0.1:${good}/${i}`)
    runner.put(definition({ id: `good${i}`, kind, intervalMs: 1_000 }))
  }
  const count = (status: string) =>
    [...local.checks.values()].filter((check) => check.status === status).length
  // All of them had to wait for a hanging one if there were but one lane: those end after a minute.
  await until(
    () => count('passing') === 450,
    () => count('passing'),
  )
  t.equal(count('critical'), 50)
})

/** This thread does nothing at all for so long. */
function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

t.test('a stalled event loop expires no TTL', async (t) => {
  const local = new FakeLocal()
  const runner = new CheckRunner(
    { dataDir: tempDir(t) },
    { local, catalog: EMPTY_CATALOG, log: memoryLog().log },
  )
  t.teardown(() => runner.stop())
  await runner.start()
  runner.put(definition({ id: 'ttl', kind: { type: 'ttl', ttlMs: 600 } }))
  runner.report('ttl', 'passing', '')
  stall(800)
  // Every timer that is due has fired after these.
  for (let i = 0; i < 3; i++) await turn()
  t.equal(local.status('ttl'), 'passing')
})

t.test('a stalled event loop turns no check critical', async (t) => {
  const port = await worker(t)
  const local = new FakeLocal()
  let runs = 0
  const { systemProbe } = await import('../../../discovery/health/prober.ts')
  const real = systemProbe()
  const probe: Probe = (kind, limits) => {
    runs += 1
    return real(kind, limits)
  }
  const runner = new CheckRunner(
    { dataDir: tempDir(t) },
    { local, catalog: EMPTY_CATALOG, log: memoryLog().log, probe },
  )
  t.teardown(() => runner.stop())
  await runner.start()
  for (let i = 0; i < 20; i++) {
    const kind = httpKind(`http://127.0.0.1:${port}/${i}`)
    runner.put(definition({ id: `c${i}`, kind, intervalMs: 400, timeoutMs: 500 }))
  }
  const statuses = () => [...local.checks.values()].map(({ status }) => status)
  // The requests are on their way, and this thread does nothing until long after their timeout.
  stall(1_200)
  await until(() => statuses().every((status) => status === 'passing'), statuses)
  const before = local.writes.length
  for (let round = 0; round < 2; round++) {
    const wanted = runs + 20
    await until(() => runs >= wanted)
    stall(800)
  }
  await until(() => runs >= 40 && statuses().every((status) => status === 'passing'), statuses)
  const turned = local.writes.slice(before).filter(({ status }) => status === 'critical')
  t.same(turned, [])
})

t.test('what many run by one program, or in one engine, is not one target', async (t) => {
  const sh = (line: string) => probeTarget({ type: 'script', args: ['/bin/sh', '-c', line] })
  t.not(sh('sleep 301'), sh('date'))
  t.equal(sh('date'), sh('date'))
  const inside = (container: string) => probeTarget({ type: 'docker', container, shell: '', args: ['date'] })
  t.not(inside('a'), inside('b'))
  t.equal(inside('a'), inside('a'))
})
