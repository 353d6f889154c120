import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'

/** What a finished command left behind. */
export interface Finished {
  readonly code: number | null
  readonly out: string
  readonly err: string
  readonly ms: number
}

/** How to run a program. */
export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly input?: string
  readonly timeoutMs?: number
}

/** A program that runs on. */
export interface Running {
  readonly pid: number
  /** What it printed so far. */
  out(): string
  err(): string
  signal(signal: NodeJS.Signals): void
  /** Its code is 128+n if signal n ended it, as a shell says it. */
  readonly ended: Promise<Finished>
}

/** Runs a program to its end, at most 20 s, with nothing in its environment but `env` and a search path. */
export function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<Finished> {
  return startCommand(program, args, { timeoutMs: 20_000, ...options }).ended
}

/** Starts a program with nothing in its environment but `env` and a search path. It is killed after a minute. */
export function startCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Running {
  const started = performance.now()
  const variables = { PATH: process.env.PATH ?? '', ...options.env }
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(
    'env',
    ['-i', ...Object.entries(variables).map(([k, v]) => `${k}=${v}`), program, ...args],
    {
      timeout: options.timeoutMs ?? 60_000,
      killSignal: 'SIGKILL',
      stdio: 'pipe',
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    },
  )
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  child.stdin.on('error', () => {})
  child.stdin.end(options.input ?? '')
  const ended = new Promise<Finished>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) =>
      resolve({
        code: signal === null ? code : 128 + constants.signals[signal],
        out,
        err,
        ms: performance.now() - started,
      }),
    )
  })
  return {
    pid: child.pid ?? 0,
    out: () => out,
    err: () => err,
    signal: (signal) => void child.kill(signal),
    ended,
  }
}
