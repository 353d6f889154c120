import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { tcpIsFree, udpIsFree } from '../../agent/cli/dev/free-port.ts'
import { runsMs } from '../held-up.ts'
import { ms } from './cluster.ts'
import { runCommand } from './command.ts'
import { isRunning } from './exclusive.ts'
import { executable } from './executable.ts'
import { ask } from './http.ts'
import { until } from './until.ts'

/** Distance of the mesh port below the HTTP port of a development cluster. */
const MESH_BELOW = 554

interface Row {
  readonly name: string
  readonly role: string
  readonly http: number
  readonly pid: number
}

/** `constellation dev` in a process group of its own, as a terminal would run it. */
class Dev {
  readonly child: ChildProcess
  readonly exited: Promise<number | null>
  text = ''

  constructor(t: Test, program: string, args: readonly string[]) {
    this.child = spawn(
      'env',
      ['-i', `PATH=${process.env.PATH}`, `TMPDIR=${tmpdir()}`, program, 'dev', ...args],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.text += text
      })
    }
    this.exited = new Promise((resolve) => this.child.once('exit', (code) => resolve(code)))
    t.teardown(async () => {
      if (!t.passing()) process.stderr.write(`--- constellation dev said:\n${this.text}\n`)
      this.child.kill('SIGKILL')
      for (const { pid } of this.rows()) if (isRunning(pid)) process.kill(pid, 'SIGKILL')
      await this.exited
    })
  }

  /** Rows of the table it printed. */
  rows(): readonly Row[] {
    const line = /^(n\d+) +(\w+|-) +127\.0\.0\.1:(\d+) +127\.0\.0\.1:\d+ +127\.0\.0\.1:\d+ +(\d+)$/gm
    return [...this.text.matchAll(line)].map(([, name = '', role = '', http, pid]) => ({
      name,
      role,
      http: Number(http),
      pid: Number(pid),
    }))
  }

  async ready(): Promise<readonly Row[]> {
    await until('dev says how to stop it', () => this.text.includes('Ctrl-C stops the cluster.'), {
      timeoutMs: 30_000,
      state: () => this.text,
    })
    return this.rows()
  }
}

t.test('dev --nodes 3 by the executable', { timeout: 110_000 }, async (t) => {
  const program = await executable()
  const folder = mkdtempSync(join(tmpdir(), 'constellation-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  const httpPort = await freeHttpPort()
  const args = ['--nodes', '3', '--data-dir', join(folder, 'data'), '--http-port', String(httpPort)]
  const put = (port: number, key: string) => ask(port, `/v1/kv/${key}`, { method: 'PUT', body: key })
  const get = (port: number, key: string) => ask(port, `/v1/kv/${key}?raw`)

  const first = new Dev(t, program, args)
  const started = performance.now()
  const rows = await first.ready()
  t.comment(`a cluster after ${ms(performance.now() - started)}`)
  t.strictSame(
    rows.map(({ name, http }) => [name, http]),
    [0, 1, 2].map((i) => [`n${i + 1}`, httpPort + 10 * i]),
    'the table',
  )
  t.strictSame(rows.map(({ role }) => role).sort(), ['leader', 'voter', 'voter'])
  t.match(first.text, /3 of 3 nodes are ready/)
  t.match(first.text, new RegExp(`curl -X PUT -d hello http://127\\.0\\.0\\.1:${httpPort}/v1/kv/greeting`))
  t.ok(rows.every(({ pid }) => isRunning(pid)))
  t.match(await put(httpPort, 'ctrl-c'), { status: 200, text: 'true' })

  await t.test('a busy port is named, with the flag to change it', async (t) => {
    const again = await runCommand(program, ['dev', '--nodes', '1', '--http-port', String(httpPort)])
    t.equal(again.code, 1)
    t.match(
      again.err,
      new RegExp(`port ${httpPort} \\(HTTP of n1\\) is in use; choose another with --http-port`),
    )
  })

  const interrupted = runsMs()
  first.child.kill('SIGINT')
  t.equal(await first.exited, 0, 'Ctrl-C is no failure')
  const stoppedAfter = runsMs() - interrupted
  t.ok(stoppedAfter < 12_000, `stopped within 12 s: ${ms(stoppedAfter)}`)
  t.notOk(
    rows.some(({ pid }) => isRunning(pid)),
    'nothing is left running',
  )
  t.ok(existsSync(join(folder, 'data/n1')), 'the state is kept')
  t.comment(`Ctrl-C: over after ${ms(stoppedAfter)}`)

  const second = new Dev(t, program, args.slice(2))
  const rowsAgain = await second.ready()
  t.equal(rowsAgain.length, 3, 'as many nodes as before')
  t.match(await get(httpPort + 20, 'ctrl-c'), { status: 200, text: 'ctrl-c' })
  t.match(await put(httpPort + 10, 'kill'), { status: 200, text: 'true' })
  for (const { pid } of rowsAgain) process.kill(pid, 'SIGKILL')
  second.child.kill('SIGKILL')
  await second.exited

  const third = new Dev(t, program, args.slice(2))
  const rowsThird = await third.ready()
  t.match(await get(httpPort, 'ctrl-c'), { status: 200, text: 'ctrl-c' }, 'kept over Ctrl-C and kill -9')
  t.match(await get(httpPort, 'kill'), { status: 200, text: 'kill' }, 'kept over kill -9 of everything')

  const orphaned = performance.now()
  third.child.kill('SIGKILL')
  await until('its nodes end with it', () => rowsThird.every(({ pid }) => !isRunning(pid)), {
    timeoutMs: 15_000,
  })
  t.comment(`killed with -9: its nodes are gone after ${ms(performance.now() - orphaned)}`)
})

/** An HTTP port whose nine companions are free as well; all below the ports that other tests reserve. */
async function freeHttpPort(): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const port = 10_700 + Math.floor(Math.random() * 900) * 10
    const wanted = [0, 10, 20].flatMap((step) => [port + step, port + 100 + step, port - MESH_BELOW + step])
    const free = await Promise.all(wanted.flatMap((each) => [tcpIsFree(each), udpIsFree(each)]))
    if (free.every(Boolean)) return port
  }
  throw new Error('no free ports')
}
