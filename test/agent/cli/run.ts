import { spawn } from 'node:child_process'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { runCli } from '../../../agent/cli/run-cli.ts'
import { type Running, startCommand } from '../../real/command.ts'

/** The entry of the program. */
export const MAIN = fileURLToPath(new URL('../../../agent/main.ts', import.meta.url))

/** What a finished command left behind. */
export interface Finished {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Runs `constellation ARGS` as a process; at most 20 s. */
export function constellation(
  args: readonly string[],
  options: { readonly env?: Record<string, string>; readonly input?: string; readonly cwd?: string } = {},
): Promise<Finished> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('CONSTELLATION_'))
  // The test runner adds its own preload to every child; without it a command starts four times as fast.
  const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, MAIN, ...args], {
    env: { ...Object.fromEntries(inherited), ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    timeout: 20_000,
    killSignal: 'SIGKILL',
  })
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
  child.stdin.on('error', () => {})
  child.stdin.end(options.input ?? '')
  return new Promise((resolve) => {
    child.on('close', (code) => {
      resolve({ code, out: Buffer.concat(out).toString('latin1'), err: Buffer.concat(err).toString() })
    })
  })
}

/** Starts `constellation ARGS` as a process, with a minute to end. */
export function startConstellation(args: readonly string[]): Running {
  return startCommand(process.execPath, [MAIN, ...args])
}

/** Runs a command line in this process, which takes a tenth of the time: `inProcess('kv', 'get', 'k')`. */
export function inProcess(...args: string[]): Promise<Finished> {
  return runInProcess(args)
}

/** Runs a command line in this process with an environment and an input of its own. */
export async function runInProcess(
  args: readonly string[],
  options: { readonly env?: Record<string, string>; readonly input?: string } = {},
): Promise<Finished> {
  const out: Buffer[] = []
  let err = ''
  const code = await runCli(args, {
    env: options.env ?? {},
    stdin: Readable.from(options.input === undefined ? [] : [Buffer.from(options.input)]),
    stdout: {
      write(chunk) {
        out.push(Buffer.from(chunk))
      },
    },
    stderr: {
      write(chunk) {
        err += chunk
      },
    },
    exitCode: 0,
  })
  return { code, out: Buffer.concat(out).toString('latin1'), err }
}

/** A request as the stub saw it. */
export interface Seen {
  readonly method: string
  readonly url: string
  readonly body: string
}

/** What the stub answers, by `METHOD URL`; 404 for anything else. */
export type Answers = Record<string, { readonly status?: number; readonly body?: string | Buffer }>

/** An HTTP server in the place of an agent. */
export async function stubAgent(
  answers: Answers,
): Promise<{ readonly address: string; readonly seen: Seen[]; close(): Promise<void> }> {
  const seen: Seen[] = []
  const server = createServer(async (request: IncomingMessage, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { method = '', url = '' } = request
    seen.push({ method, url, body: Buffer.concat(chunks).toString('latin1') })
    const answer = answers[`${method} ${url}`] ?? { status: 404 }
    response.statusCode = answer.status ?? 200
    response.end(answer.body ?? '')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}
