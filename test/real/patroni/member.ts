import { type ChildProcess, spawn } from 'node:child_process'
import { chownSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from '../command.ts'
import { ask } from '../http.ts'
import { PATRONI, POSTGRES_BIN, type Programs, PYTHON } from './programs.ts'
import { type MemberSettings, memberConfiguration, USER } from './settings.ts'

const GUARD = join(import.meta.dirname, 'guard.py')

/** A row of Patroni's `GET /cluster`. */
export interface ClusterRow {
  readonly name: string
  readonly role: string
  readonly state: string
  readonly timeline?: number
  readonly lag?: number | 'unknown'
}

/** One Patroni with its PostgreSQL, which may be ended and started again with the same data. */
export class Member {
  readonly #settings: MemberSettings
  readonly #user: Programs['user']
  #guard: ChildProcess | null = null
  #exited: Promise<number | null> = Promise.resolve(null)

  constructor(settings: MemberSettings, user: Programs['user']) {
    this.#settings = settings
    this.#user = user
  }

  get name(): string {
    return this.#settings.name
  }

  get ports(): MemberSettings['ports'] {
    return this.#settings.ports
  }

  get running(): boolean {
    return this.#guard !== null
  }

  /** How libpq finds its PostgreSQL. */
  get target(): string {
    const { name, password } = USER
    return `host=127.0.0.1 port=${this.ports.postgres} dbname=postgres user=${name} password=${password}`
  }

  get #file(): string {
    return join(this.#settings.folder, `${this.name}.json`)
  }

  get #log(): string {
    return join(this.#settings.folder, `${this.name}.log`)
  }

  /** Its processes end with the one that calls this, however that ends. */
  start(): void {
    if (this.#guard !== null) throw new Error(`${this.name} runs already`)
    writeFileSync(this.#file, memberConfiguration(this.#settings), { mode: 0o600 })
    if (this.#user !== null) chownSync(this.#file, this.#user.uid, this.#user.gid)
    const user = this.#user === null ? [] : ['--user', this.#user.name]
    const { folder } = this.#settings
    const guard = spawn(
      'env',
      [
        ...['-i', `PATH=${process.env.PATH ?? ''}`, `HOME=${folder}`, 'LANG=C.UTF-8'],
        ...[PYTHON, GUARD, '--log', this.#log, ...user, '--', PATRONI, this.#file],
      ],
      { stdio: ['pipe', 'ignore', 'inherit'], cwd: folder },
    )
    guard.stdin?.on('error', () => {})
    this.#guard = guard
    this.#exited = new Promise((resolve) => {
      const end = (code: number | null): void => {
        if (this.#guard === guard) this.#guard = null
        resolve(code)
      }
      guard.once('exit', end)
      guard.once('error', () => end(null))
    })
  }

  /** kill -9 of Patroni, the postmaster and every backend at once; waits until none is left. */
  async kill(): Promise<void> {
    this.#guard?.stdin?.write('kill\n')
    await this.#exited
  }

  /** SIGTERM to Patroni, which stops its PostgreSQL. @returns its exit code. */
  async stop(): Promise<number | null> {
    this.#guard?.stdin?.write('term\n')
    return await this.#exited
  }

  /** All members as this one sees them. @throws Error when its REST interface does not answer. */
  async cluster(): Promise<readonly ClusterRow[]> {
    const { status, text, json } = await ask(this.ports.rest, '/cluster', { timeoutMs: 3000 })
    if (status !== 200) throw new Error(`${this.name}: /cluster answered ${status}: ${text}`)
    return (json() as { members: readonly ClusterRow[] }).members
  }

  /** Hands the role of the primary over. @throws Error with what Patroni says if it refuses or fails. */
  async switchover(to: Member): Promise<void> {
    const body = JSON.stringify({ leader: this.name, candidate: to.name })
    const { status, text } = await ask(this.ports.rest, '/switchover', {
      method: 'POST',
      body,
      timeoutMs: 60_000,
    })
    if (status !== 200) throw new Error(`switchover from ${this.name} to ${to.name}: ${status} ${text}`)
  }

  /** Runs SQL there; rows as text, fields separated by `|`. @throws Error with what psql says. */
  async sql(query: string): Promise<readonly string[]> {
    const { code, out, err } = await runCommand(
      `${POSTGRES_BIN}/psql`,
      [...['-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1'], '-d', this.target],
      { input: query },
    )
    if (code !== 0) throw new Error(`${this.name}: ${err.trim()}`)
    return out.split('\n').filter((line) => line !== '')
  }

  /** Everything Patroni and PostgreSQL said since the first start. */
  logText(): string {
    try {
      return readFileSync(this.#log, 'utf8')
    } catch {
      return ''
    }
  }
}
