import { spawn } from 'node:child_process'

/** What a finished command left behind. */
export interface Finished {
  readonly code: number | null
  readonly out: string
  readonly err: string
  readonly ms: number
}

/** Runs a program to its end, at most 20 s, with nothing in its environment but `env` and a search path. */
export function runCommand(
  program: string,
  args: readonly string[],
  options: {
    readonly env?: Readonly<Record<string, string>>
    readonly cwd?: string
    readonly input?: string
  } = {},
): Promise<Finished> {
  const started = performance.now()
  const variables = { PATH: process.env.PATH ?? '', ...options.env }
  const child = spawn(
    'env',
    ['-i', ...Object.entries(variables).map(([k, v]) => `${k}=${v}`), program, ...args],
    {
      timeout: 20_000,
      killSignal: 'SIGKILL',
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
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, out, err, ms: performance.now() - started }))
  })
}
