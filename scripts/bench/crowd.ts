import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import type { Site } from '../../test/real/thirty/fabric.ts'
import { LogFollower } from '../../test/real/thirty/log-follower.ts'
import type { Verdict } from '../../test/real/thirty/verdicts.ts'
import { until } from '../../test/real/until.ts'
import { type Contender, FOUNDERS } from './contenders.ts'

const PATIENCE_MS = 180_000
const POLL_MS = 10
/** Ends a program with the process that started it, however that ends. */
const WITH_PARENT = ['setpriv', '--pdeathsig', 'KILL', '--']

/** All agents of one program, started and watched. */
export class Crowd {
  readonly #contender: Contender
  readonly #sites: readonly Site[]
  readonly #folder: string
  readonly #children = new Map<string, ChildProcess>()
  readonly #followers: ReadonlyMap<string, LogFollower>
  readonly #heard: Verdict[] = []

  constructor(contender: Contender, sites: readonly Site[], folder: string) {
    this.#contender = contender
    this.#sites = sites
    this.#folder = folder
    mkdirSync(join(folder, 'logs'))
    this.#followers = new Map(sites.map(({ name }) => [name, new LogFollower(this.#log(name))]))
  }

  #log(name: string): string {
    return join(this.#folder, 'logs', name)
  }

  get pids(): readonly number[] {
    return [...this.#children.values()].flatMap(({ pid }) => (pid === undefined ? [] : [pid]))
  }

  start(site: Site): void {
    const founders = this.#sites.slice(0, FOUNDERS).filter(({ name }) => name !== site.name)
    const seeds = founders.map(({ address }) => address)
    const [launcher = '', ...rest] = [
      ...site.launcher,
      ...WITH_PARENT,
      ...this.#contender.command(site, seeds, this.#folder),
    ]
    const log = openSync(this.#log(site.name), 'a')
    const child = spawn(launcher, rest, { stdio: ['ignore', log, log] })
    closeSync(log)
    this.#children.set(site.name, child)
  }

  /** Sends it, and answers the time of day. The process is waited for. */
  async end(site: Site, signal: NodeJS.Signals): Promise<{ at: number; ended: Promise<void> }> {
    const child = this.#children.get(site.name)
    if (child === undefined) throw new Error(`${site.name} does not run`)
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    this.#children.delete(site.name)
    const at = Date.now()
    child.kill(signal)
    return { at, ended }
  }

  /** Waits until every observer has said this of every member since `from`; answers ms after it, when it was read. */
  async heard(what: Verdict['what'], members: readonly Site[], from: number): Promise<readonly number[]> {
    const observers = [...this.#children.keys()]
    const wanted = members.flatMap(({ name }) =>
      observers.filter((observer) => observer !== name).map((observer) => `${observer} ${name}`),
    )
    const times = (): ReadonlyMap<string, number> => {
      const first = new Map<string, number>()
      for (const { observer, member, what: said, at } of this.#heard) {
        if (said === what && at >= from && !first.has(`${observer} ${member}`))
          first.set(`${observer} ${member}`, at)
      }
      return first
    }
    await until(
      `all ${this.#contender.name} agents say ${what}`,
      () => {
        this.#read()
        const said = times()
        return wanted.every((pair) => said.has(pair))
      },
      {
        timeoutMs: PATIENCE_MS,
        intervalMs: POLL_MS,
        state: () => wanted.filter((pair) => !times().has(pair)).slice(0, 20),
      },
    )
    const said = times()
    return wanted.map((pair) => (said.get(pair) ?? 0) - from)
  }

  #read(): void {
    const at = Date.now()
    for (const [observer, follower] of this.#followers) {
      for (const line of follower.read()) {
        const verdict = this.#contender.verdict(observer, line)
        if (verdict !== null) this.#heard.push({ observer, member: verdict.member, what: verdict.what, at })
      }
    }
  }

  async close(): Promise<void> {
    const ended = [...this.#children.values()].map(
      (child) => new Promise((resolve) => child.once('exit', resolve)),
    )
    this.killNow()
    await Promise.all(ended)
    for (const follower of this.#followers.values()) follower.close()
  }

  killNow(): void {
    for (const child of this.#children.values()) child.kill('SIGKILL')
  }
}
