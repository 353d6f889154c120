import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** Runs the program with a command line; its compiled code goes to `cache` when it ends. Output goes to `log`. */
export type Recorder = (args: readonly string[], cache: string, log: number) => ChildProcess

const READY_MS_MAX = 60_000
const POLL_MS = 100
/** After they are ready: probes, gossip and the exchange of digests are done for the first time. */
const REHEARSED_MS = 2_000
/** What is asked of an agent soon after it started. */
const PATHS = ['/metrics', '/v1/catalog/nodes', '/v1/health/service/x', '/v1/kv/x', '/api/v1/status']

/**
 * Has two agents found a cluster on loopback and leave it, in `folder`. Answers the file with the compiled code of the one
 * that used more of the program: only one of them leads. @throws Error with the end of a log if they do not become ready
 */
export async function rehearseAgents(recorder: Recorder, folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true })
  const keyFile = join(folder, 'cluster.key')
  writeFileSync(keyFile, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 })
  const ports = await freePorts(6)
  const names = ['a', 'b']
  const port = (agent: number, which: number): string => `127.0.0.1:${ports[3 * agent + which]}`
  const agents = names.map((name, i) => {
    const log = openSync(join(folder, `${name}.log`), 'a')
    const files = ['--data-dir', join(folder, name), '--cluster-key-file', keyFile, '--log-format', 'json']
    const listen = ['--mesh', port(i, 0), '--http', port(i, 1), '--dns', port(i, 2)]
    const cluster = ['--node', name, '--join', port(1 - i, 0), '--bootstrap-expect', '2']
    const child = recorder(['agent', ...files, ...listen, ...cluster], join(folder, `${name}.cache`), log)
    closeSync(log)
    return { child, http: `http://${port(i, 1)}`, ended: new Promise((end) => child.once('exit', end)) }
  })
  try {
    const deadline = Date.now() + READY_MS_MAX
    for (const { http } of agents) while (!(await answers(`${http}/readyz`))) await pause(folder, deadline)
    for (const { http } of agents) for (const path of PATHS) await answers(`${http}${path}`)
    await delay(REHEARSED_MS)
    for (const { child } of agents) child.kill('SIGTERM')
    await Promise.all(agents.map(({ ended }) => ended))
  } finally {
    for (const { child } of agents) child.kill('SIGKILL')
  }
  const [largest = ''] = names
    .map((name) => join(folder, `${name}.cache`))
    .sort((one, other) => statSync(other).size - statSync(one).size)
  return largest
}

async function pause(folder: string, deadline: number): Promise<void> {
  if (Date.now() > deadline) {
    const log = readFileSync(join(folder, 'a.log'), 'utf8').slice(-2000)
    throw new Error(`the agents of the rehearsal were not ready in ${READY_MS_MAX} ms:\n${log}`)
  }
  await delay(POLL_MS)
}

async function answers(url: string): Promise<boolean> {
  try {
    const reply = await fetch(url, { signal: AbortSignal.timeout(READY_MS_MAX) })
    await reply.arrayBuffer()
    return reply.ok
  } catch {
    return false
  }
}

/** Ports of loopback that were free a moment ago. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject)
          server.listen(0, '127.0.0.1', () => {
            const address = server.address()
            resolve(address !== null && typeof address === 'object' ? address.port : 0)
          })
        }),
    ),
  )
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))))
  return ports
}

/** The program through `record.ts`, run by this Node. */
export function recorderOf(paths: { readonly program: string; readonly addon: string }): Recorder {
  return (args, cache, log) =>
    spawn(process.execPath, [join(import.meta.dirname, 'record.ts'), ...args], {
      stdio: ['ignore', log, log],
      env: {
        PATH: process.env.PATH,
        RECORD_PROGRAM: paths.program,
        RECORD_ADDON: paths.addon,
        RECORD_CACHE: cache,
      },
    })
}

/** Has the program say its version. Answers the file with the compiled code. @throws Error with what it said if it fails */
export async function rehearseCommand(recorder: Recorder, folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true })
  const cache = join(folder, 'command.cache')
  const file = join(folder, 'command.log')
  const log = openSync(file, 'a')
  const child = recorder(['version'], cache, log)
  closeSync(log)
  const code = await new Promise<number | null>((end) => child.once('exit', end))
  if (code !== 0) throw new Error(`the rehearsal of a command failed:\n${readFileSync(file, 'utf8')}`)
  return cache
}
