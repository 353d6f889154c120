import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { isRunning } from '../exclusive.ts'
import { until } from '../until.ts'
import { PYTHON } from './programs.ts'

const GUARD = join(import.meta.dirname, 'guard.py')
const skip = existsSync(PYTHON) ? false : `needs ${PYTHON}`

interface Guarded {
  readonly guard: ChildProcess
  readonly exited: Promise<number | null>
  /** The program, and what it left in the background in a session of its own. */
  readonly pids: readonly number[]
}

/** A guard over a shell that has put a process into the background, out of its session, before `then`. */
async function guarded(t: Test, then: string): Promise<Guarded> {
  const folder = mkdtempSync(join(tmpdir(), 'guard-'))
  const log = join(folder, 'log')
  const script = `(setsid sh -c 'echo $$; sleep 300' &); echo $$; ${then}`
  const guard = spawn(PYTHON, [GUARD, '--log', log, '--', 'sh', '-c', script], {
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  guard.stdin.on('error', () => {})
  const exited = new Promise<number | null>((resolve) => guard.once('exit', resolve))
  t.teardown(async () => {
    guard.stdin.end()
    await exited
    rmSync(folder, { recursive: true })
  })
  const pids = await until('both say their pid', () => {
    const lines = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []
    return lines.length === 2 && lines.map(Number)
  })
  return { guard, exited, pids }
}

t.test('everything ends with what holds the other side of its input', { skip }, async (t) => {
  const { guard, exited, pids } = await guarded(t, 'sleep 300')
  t.strictSame(pids.map(isRunning), [true, true])
  guard.stdin?.end()
  t.equal(await exited, 137)
  t.strictSame(pids.map(isRunning), [false, false])
})

t.test('kill ends the program and what it left in the background', { skip }, async (t) => {
  const { guard, exited, pids } = await guarded(t, 'sleep 300')
  guard.stdin?.write('kill\n')
  t.equal(await exited, 137)
  t.strictSame(pids.map(isRunning), [false, false])
})

t.test('term goes to the program, whose exit code it is', { skip }, async (t) => {
  const { guard, exited, pids } = await guarded(t, 'trap "exit 7" TERM; while :; do sleep 0.05; done')
  guard.stdin?.write('term\n')
  t.equal(await exited, 7)
  t.strictSame(pids.map(isRunning), [false, false], 'and what it left behind has ended too')
})
