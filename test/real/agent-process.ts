import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import type { LeaseRow, NodeRow, Status } from './cluster.ts'
import { type Answer, type Ask, ask, askJson } from './http.ts'

/** How to run one agent. */
export interface AgentSettings {
  readonly name: string
  readonly program: string
  /** What comes before `agent`: the file to run if the program is Node. */
  readonly programArgs?: readonly string[]
  readonly ports: { readonly http: number; readonly mesh: number; readonly dns: number }
  /** Where it listens. Default 127.0.0.1. */
  readonly host?: string
  /** A command that runs the rest of its arguments, such as one that enters a network namespace. It must not fork. */
  readonly launcher?: readonly string[]
  readonly dataDir: string
  readonly logFile: string
  /** Flags besides the name, the folder and the ports. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** How a process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A line of an agent's log. */
export interface LogLine {
  readonly level: number
  readonly msg: string
  readonly [field: string]: unknown
}

/** One `constellation agent`, which may be ended and started again with the same data. */
export class AgentProcess {
  readonly #settings: AgentSettings
  #child: ChildProcess | null = null
  #exited: Promise<Ended> = Promise.resolve({ code: null, signal: null })

  constructor(settings: AgentSettings) {
    this.#settings = settings
  }

  get name(): string {
    return this.#settings.name
  }

  get ports(): AgentSettings['ports'] {
    return this.#settings.ports
  }

  get dataDir(): string {
    return this.#settings.dataDir
  }

  get host(): string {
    return this.#settings.host ?? '127.0.0.1'
  }

  get logFile(): string {
    return this.#settings.logFile
  }

  get running(): boolean {
    return this.#child !== null
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error(`${this.name} does not run`)
    return this.#child.pid
  }

  /** Resolves when the process has ended. */
  get exited(): Promise<Ended> {
    return this.#exited
  }

  /** `args`: flags for this run instead of those of the settings. */
  start(args: readonly string[] = this.#settings.args): void {
    if (this.#child !== null) throw new Error(`${this.name} runs already`)
    const { name, program, programArgs = [], ports, dataDir, logFile, env } = this.#settings
    const [command = 'env', ...before] = [...(this.#settings.launcher ?? []), 'env']
    const log = openSync(logFile, 'a')
    // Nothing of the environment of the test, whose runner adds a preload to every Node it sees. The pipe ends the agent
    // when this process is killed.
    const variables = { PATH: process.env.PATH ?? '', CONSTELLATION_PARENT_PIPE: '1', ...env }
    const child = spawn(
      command,
      [
        ...before,
        '-i',
        ...Object.entries(variables).map(([key, value]) => `${key}=${value}`),
        program,
        ...programArgs,
        'agent',
        ...['--node', name],
        ...['--data-dir', dataDir],
        ...['--http', `${this.host}:${ports.http}`],
        ...['--mesh', `${this.host}:${ports.mesh}`],
        ...['--dns', `${this.host}:${ports.dns}`],
        ...['--log-format', 'json'],
        ...args,
      ],
      { stdio: ['pipe', log, log] },
    )
    closeSync(log)
    child.stdin?.on('error', () => {})
    this.#child = child
    this.#exited = new Promise((resolve) => {
      const end = (ended: Ended): void => {
        if (this.#child === child) this.#child = null
        resolve(ended)
      }
      child.once('exit', (code, signal) => end({ code, signal }))
      child.once('error', () => end({ code: null, signal: null }))
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** kill -9, and waits for the end. Works on a stopped process as well. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.#exited
  }

  /** SIGTERM, and waits for the end. */
  async stop(): Promise<Ended & { readonly ms: number }> {
    const started = performance.now()
    this.signal('SIGTERM')
    const ended = await this.#exited
    return { ...ended, ms: performance.now() - started }
  }

  ask(path: string, options?: Ask): Promise<Answer> {
    return ask(this.ports.http, path, { host: this.host, ...options })
  }

  json<T>(path: string, options?: Ask): Promise<T> {
    return askJson<T>(this.ports.http, path, { host: this.host, ...options })
  }

  status(): Promise<Status> {
    return this.json('/api/v1/status', { timeoutMs: 2000 })
  }

  nodes(): Promise<readonly NodeRow[]> {
    return this.json('/api/v1/nodes', { timeoutMs: 2000 })
  }

  leases(): Promise<readonly LeaseRow[]> {
    return this.json('/api/v1/leases', { timeoutMs: 2000 })
  }

  /** Writes a key: true if the agent said so. */
  async put(key: string, value: string, timeoutMs = 5000): Promise<boolean> {
    const answer = await this.ask(`/v1/kv/${key}`, { method: 'PUT', body: value, timeoutMs })
    return answer.status === 200 && answer.text.trim() === 'true'
  }

  /** The value of a key, or null if there is none. @throws Error on any other answer. */
  async get(key: string, query = ''): Promise<string | null> {
    const answer = await this.ask(`/v1/kv/${key}?raw${query}`)
    if (answer.status === 404) return null
    if (answer.status !== 200) throw new Error(`GET ${key} answered ${answer.status}: ${answer.text}`)
    return answer.text
  }

  /** All that this agent said since the test began. */
  logText(): string {
    try {
      return readFileSync(this.#settings.logFile, 'utf8')
    } catch {
      return ''
    }
  }

  /** The lines of the log that are records. */
  log(): readonly LogLine[] {
    return this.logText()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as LogLine)
  }

  /** Resident memory of the process in bytes, as Linux counts it. */
  rss(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) * 1024
  }
}
