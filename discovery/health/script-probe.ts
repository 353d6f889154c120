import { type ChildProcess, spawn } from 'node:child_process'
import { formatGoDuration } from './duration.ts'
import { OutputTail } from './output-tail.ts'
import { exitStatus, type ProbeLimits, type ProbeResult, ProbeTimeoutError, reason } from './probe.ts'

/** What a script sees of the agent's environment: where programs are and how texts are written, and no secret. */
const ENVIRONMENT = ['PATH', 'HOME', 'USER', 'LANG', 'LC_ALL', 'TZ'] as const
const PATH_DEFAULT = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** How long the output of a script that has ended is waited for, in case its children hold it open. */
const DRAIN_MS = 200

/**
 * Runs a program: exit code 0 passing, 1 warning, anything else critical (Consul's script check). Its output is captured while
 * it runs. It leads a process group of its own, which is killed when it has ended, and at once when the signal is aborted.
 * Never rejects.
 */
export function probeScript(args: readonly string[], limits: ProbeLimits): Promise<ProbeResult> {
  const { signal, outputMax } = limits
  const [program = '', ...rest] = args
  const output = new OutputTail(outputMax)
  const { promise, resolve } = Promise.withResolvers<ProbeResult>()
  const critical = (text: string): ProbeResult => ({ status: 'critical', output: text })
  if (signal.aborted) return Promise.resolve(critical(reason(signal.reason)))
  let child: ChildProcess
  try {
    child = start(program, rest)
  } catch (error) {
    return Promise.resolve(critical(`cannot run ${program}: ${reason(error)}`))
  }
  let drain: NodeJS.Timeout | null = null
  let finished = false
  const killGroup = () => {
    if (child.pid === undefined) return
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // Nobody is left in it.
    }
  }
  const finish = (result: ProbeResult) => {
    // Once: later its process id may be that of another program.
    if (finished) return
    finished = true
    signal.removeEventListener('abort', onAbort)
    if (drain !== null) clearTimeout(drain)
    child.stdout?.destroy()
    child.stderr?.destroy()
    // What it left behind goes with it, whether or not that still holds its output.
    killGroup()
    resolve(result)
  }
  const onAbort = () => {
    const why =
      signal.reason instanceof ProbeTimeoutError
        ? `Timed out (${formatGoDuration(signal.reason.limitMs)}) running check`
        : reason(signal.reason)
    finish(critical([why, output.text()].filter((text) => text !== '').join('\n')))
  }
  const ended = (code: number | null, killedBy: NodeJS.Signals | null) => {
    const text = output.text()
    const status = exitStatus(code)
    finish({ status, output: killedBy === null ? text : `ended by ${killedBy}\n${text}`.trimEnd() })
  }
  // Without a file descriptor to spare for them there are no streams, and the error comes right after.
  child.stdout?.on('data', (chunk: Buffer) => output.write(chunk))
  child.stderr?.on('data', (chunk: Buffer) => output.write(chunk))
  child.once('error', (error) => finish(critical(`cannot run ${program}: ${reason(error)}`)))
  child.once('close', ended)
  child.once('exit', (code, killedBy) => {
    // Children it left behind still hold its output, so "close" does not come; the verdict is there.
    drain = setTimeout(() => ended(code, killedBy), DRAIN_MS)
  })
  signal.addEventListener('abort', onAbort, { once: true })
  return promise
}

function start(program: string, args: readonly string[]): ChildProcess {
  return spawn(program, args, {
    cwd: '/',
    // A new session, and with it a process group: what a kill reaches as a whole.
    detached: true,
    env: environment(process.env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

function environment(of: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { PATH: PATH_DEFAULT }
  for (const name of ENVIRONMENT) if (of[name]) env[name] = of[name]
  return env
}
