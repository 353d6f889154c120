import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { ProbeTimeoutError } from '../../../discovery/health/probe.ts'
import { probeScript } from '../../../discovery/health/script-probe.ts'
import { until } from './fixtures.ts'

const limit = (outputMax = 4_096) => ({ signal: AbortSignal.timeout(20_000), timeoutMs: 20_000, outputMax })
const sh = (script: string) => ['/bin/sh', '-c', script]

t.test('the exit code decides, the output is that of both streams', async (t) => {
  t.same(await probeScript(sh('echo fine; echo also >&2'), limit()), {
    status: 'passing',
    output: 'fine\nalso\n',
  })
  t.match(await probeScript(sh('exit 1'), limit()), { status: 'warning', output: '' })
  t.match(await probeScript(sh('echo bad; exit 2'), limit()), { status: 'critical', output: 'bad\n' })
  t.match(await probeScript(sh('kill -TERM $$'), limit()), { status: 'critical', output: 'ended by SIGTERM' })
  t.match(await probeScript(['/nonexistent/program'], limit()), { status: 'critical', output: /ENOENT/ })
})

t.test('no shell reads the arguments', async (t) => {
  t.same(await probeScript(['/bin/echo', '$(id)', '; rm', '*'], limit()), {
    status: 'passing',
    output: '$(id) ; rm *\n',
  })
})

t.test('the environment holds no secrets of the agent', async (t) => {
  process.env.CONSTELLATION_SECRET = 's3cret'
  process.env.CREDENTIALS_DIRECTORY = '/run/credentials'
  t.teardown(() => {
    delete process.env.CONSTELLATION_SECRET
    delete process.env.CREDENTIALS_DIRECTORY
  })
  // The test runner adds its own variables, which are long.
  const { output } = await probeScript(['/usr/bin/env'], limit(256 * 1024))
  t.match(output, /^PATH=/m)
  t.notMatch(output, /s3cret|\/run\/credentials/)
})

t.test('of a long output the end is kept, while it is written', async (t) => {
  const { output, status } = await probeScript(
    sh('i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done'),
    limit(200),
  )
  t.equal(status, 'passing')
  t.match(output, /^Captured \d+ of \d{6} bytes\n\.\.\.\n/)
  t.match(output, /line 19999\n$/)
  t.ok(output.length <= 200, String(output.length))
})

t.test('at the timeout a script that ignores SIGTERM dies with the children it forked', async (t) => {
  const folder = t.testdir()
  const script = join(folder, 'stubborn.sh')
  writeFileSync(
    script,
    `trap '' TERM HUP INT
     (trap '' TERM HUP; while :; do sleep 1; done) &
     echo $! > ${folder}/child
     sleep 1000 & echo $! > ${folder}/sleeper
     echo $$ > ${folder}/parent
     echo waiting
     while :; do sleep 1; done`,
  )
  const abort = new AbortController()
  const result = probeScript(['/bin/sh', script], { ...limit(), signal: abort.signal })
  const pids = () =>
    ['parent', 'child', 'sleeper'].map((name) => {
      try {
        return Number(readFileSync(join(folder, name), 'utf8'))
      } catch {
        return 0
      }
    })
  await until(() => pids().every((pid) => pid > 0), pids)
  const started = pids()
  abort.abort(new ProbeTimeoutError(2_000))
  t.match(await result, { status: 'critical', output: /^Timed out \(2s\) running check/ })
  await until(
    () => started.every((pid) => !isAlive(pid)),
    () => started.map(isAlive),
  )
})

t.test('children left behind neither hold the result up nor stay', async (t) => {
  const folder = t.testdir()
  const before = performance.now()
  const result = await probeScript(sh(`sleep 1000 & echo $! > ${folder}/pid; echo done`), limit())
  t.match(result, { status: 'passing', output: 'done\n' })
  t.ok(performance.now() - before < 10_000)
  const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'))
  await until(() => !isAlive(pid))
})

t.test('children left behind go too when they hold no output', async (t) => {
  const folder = t.testdir()
  const script = `sleep 1000 >/dev/null 2>&1 & echo $! > ${folder}/pid; echo done`
  t.match(await probeScript(sh(script), limit()), { status: 'passing', output: 'done\n' })
  const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'))
  await until(() => !isAlive(pid))
})

t.test('without a file descriptor to spare a run is critical, and the next one is not', async (t) => {
  const program = join(t.testdir(), 'starved.ts')
  const probe = new URL('../../../discovery/health/script-probe.ts', import.meta.url)
  writeFileSync(
    program,
    `import { closeSync, openSync } from 'node:fs'
     import { probeScript } from ${JSON.stringify(probe.href)}
     const limits = { signal: new AbortController().signal, outputMax: 100 }
     await probeScript(['/bin/true'], limits)
     const held: number[] = []
     try { for (;;) held.push(openSync('/dev/null')) } catch {}
     const starved = await probeScript(['/bin/true'], limits)
     for (const fd of held) closeSync(fd)
     const after = await probeScript(['/bin/echo', 'well'], limits)
     console.log(JSON.stringify([starved, after]))`,
  )
  const { stdout } = await promisify(execFile)('/bin/sh', [
    '-c',
    'ulimit -n 100 && exec "$0" "$1"',
    process.execPath,
    program,
  ])
  t.match(JSON.parse(stdout), [
    { status: 'critical', output: /^cannot run \/bin\/true: .*EMFILE/ },
    { status: 'passing', output: 'well\n' },
  ])
})

/** False for a process that is gone or only waits for somebody to read its exit code. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
