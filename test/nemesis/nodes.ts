import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateClusterKey } from '../../discovery/mesh/cluster-key.ts'
import { AgentProcess } from '../real/agent-process.ts'
import { reservePorts } from '../real/ports.ts'
import { until } from '../real/until.ts'
import type { Random } from '../sim/random.ts'
import type { SmallDisk } from '../small-disk.ts'
import { Links } from './links.ts'
import { guardPause } from './pause-guard.ts'

/** How to run an agent: a program and what comes before its own arguments. */
export interface Program {
  readonly path: string
  readonly args: readonly string[]
}

/** What a node says of Raft, as far as a run looks at it. */
export interface RaftStatus {
  readonly id: string
  readonly name: string
  readonly role: string
  readonly term: number
  readonly leader: string | null
  readonly commitIndex: number
  readonly appliedIndex: number
  readonly diskFull: string | null
  readonly peers: readonly { readonly id: string; readonly name: string; readonly voter: boolean }[]
}

/** An agent that ended although nobody ended it. */
export interface Crash {
  readonly node: string
  readonly how: string
}

const READY_MS = 40_000

/**
 * A place in the cluster: an address at which one agent after the other may run. The faults act on places, because a
 * node that replaces another takes over its addresses.
 */
export class Place {
  readonly name: string
  readonly #crashed: (crash: Crash) => void
  #agent: AgentProcess
  #isExpectedToEnd = false
  #isPaused = false
  #resumed: (() => void) | null = null

  constructor(name: string, agent: AgentProcess, crashed: (crash: Crash) => void) {
    this.name = name
    this.#agent = agent
    this.#crashed = crashed
  }

  get agent(): AgentProcess {
    return this.#agent
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  /** Running and not stopped by a signal. */
  get isUp(): boolean {
    return this.#agent.running && !this.#isPaused
  }

  start(): void {
    const agent = this.#agent
    this.#isExpectedToEnd = false
    agent.start()
    void agent.exited.then(({ code, signal }) => {
      if (!this.#isExpectedToEnd && this.#agent === agent)
        this.#crashed({ node: agent.name, how: signal ?? `exit code ${code}` })
    })
  }

  async kill(): Promise<void> {
    this.#isExpectedToEnd = true
    this.resume()
    await this.#agent.kill()
  }

  /** SIGTERM; answers the exit code. */
  async stop(): Promise<number | null> {
    this.#isExpectedToEnd = true
    return (await this.#agent.stop()).code
  }

  /** SIGSTOP. Should the test die, a guard wakes the process, which then ends by itself. */
  pause(): void {
    this.#isPaused = true
    this.#resumed = guardPause(this.#agent.pid)
    this.#agent.signal('SIGSTOP')
  }

  /** SIGCONT. */
  resume(): void {
    if (!this.#isPaused) return
    this.#agent.signal('SIGCONT')
    this.#resumed?.()
    this.#isPaused = false
  }

  /** Puts another agent here; the old one has ended. */
  replace(agent: AgentProcess): void {
    this.#agent = agent
  }

  raft(): Promise<RaftStatus> {
    return this.#agent.json('/api/v1/raft', { timeoutMs: 1500 })
  }
}

/** What a cluster is made of. */
export interface NodesOptions {
  readonly count: number
  readonly program: Program
  /** Settings of every agent, as variables of its environment. */
  readonly env: Readonly<Record<string, string>>
  readonly folder: string
  /** Disk of the last place; null: all are in the folder. */
  readonly disk: SmallDisk | null
  readonly random: Random
}

/** Agents on loopback whose mesh traffic goes through proxies. */
export class Nodes {
  readonly options: NodesOptions
  readonly links: Links
  readonly crashes: Crash[] = []
  readonly #ports = reservePorts()
  readonly #places: Place[] = []
  readonly #fronts = new Map<string, number>()
  #named = 0

  private constructor(options: NodesOptions) {
    this.options = options
    this.links = new Links(() => this.#pids(), options.random)
    writeFileSync(this.#keyFile, `${generateClusterKey()}\n`, { mode: 0o600 })
  }

  /** Processes are made but not started. */
  static async create(options: NodesOptions): Promise<Nodes> {
    const nodes = new Nodes(options)
    const names = Array.from({ length: options.count }, (_, i) => `n${i + 1}`)
    for (const name of names) nodes.#fronts.set(name, await nodes.#ports.next())
    for (const [i, name] of names.entries()) {
      const ports = {
        http: await nodes.#ports.next(),
        mesh: await nodes.#ports.next(),
        dns: await nodes.#ports.next(),
      }
      const disk = i === names.length - 1 ? options.disk : null
      const dataDir = disk === null ? join(options.folder, name) : join(disk.path, 'data')
      const agent = nodes.#agent(name, name, ports, { dataDir, bootstrapExpect: names.length })
      nodes.#places.push(new Place(name, agent, (crash) => nodes.crashes.push(crash)))
      await nodes.links.listen(nodes.#fronts.get(name) ?? 0, name, ports.mesh)
    }
    nodes.#named = names.length
    return nodes
  }

  get places(): readonly Place[] {
    return this.#places
  }

  get up(): readonly Place[] {
    return this.#places.filter(({ isUp }) => isUp)
  }

  /** How many places make a majority. */
  get majority(): number {
    return Math.floor(this.#places.length / 2) + 1
  }

  /** All but these. */
  others(...not: readonly Place[]): readonly Place[] {
    return this.#places.filter((place) => !not.includes(place))
  }

  get #keyFile(): string {
    return join(this.options.folder, 'cluster.key')
  }

  #pids(): Map<string, number> {
    return new Map(this.#places.flatMap(({ name, agent }) => (agent.running ? [[name, agent.pid]] : [])))
  }

  #agent(
    place: string,
    name: string,
    ports: AgentProcess['ports'],
    { dataDir, bootstrapExpect }: { dataDir: string; bootstrapExpect: number | null },
  ): AgentProcess {
    const { folder, program, env } = this.options
    const join_ = [...this.#fronts]
      .filter(([other]) => other !== place)
      .map(([, port]) => `127.0.0.1:${port}`)
    return new AgentProcess({
      name,
      program: program.path,
      programArgs: program.args,
      ports,
      dataDir,
      logFile: join(folder, `${name}.log`),
      args: [
        ...join_.flatMap((address) => ['--join', address]),
        ...(bootstrapExpect === null ? [] : ['--bootstrap-expect', String(bootstrapExpect)]),
        ...['--cluster-key-file', this.#keyFile],
      ],
      env: { ...env, CONSTELLATION_MESH_ADVERTISE: `127.0.0.1:${this.#fronts.get(place)}` },
    })
  }

  /** Starts all and waits until they are a cluster. */
  async start(): Promise<void> {
    for (const place of this.#places) place.start()
    await this.ready()
  }

  /** Waits until each of these is ready. */
  async ready(places: readonly Place[] = this.#places, timeoutMs = READY_MS): Promise<void> {
    for (const { agent } of places) {
      await until(
        `${agent.name} is ready`,
        async () => (await agent.ask('/readyz', { timeoutMs: 2000 })).status === 200,
        {
          timeoutMs,
          intervalMs: 100,
          state: () => this.describe(),
        },
      )
    }
  }

  /** What every node says of Raft that answers. */
  async statuses(): Promise<ReadonlyMap<Place, RaftStatus>> {
    const answers = await Promise.all(
      this.up.map(async (place) => [place, await place.raft().catch(() => null)] as const),
    )
    return new Map(answers.flatMap(([place, status]) => (status === null ? [] : [[place, status]])))
  }

  /** The place that says it leads, in the latest term. Null: none does. */
  async leading(): Promise<{ readonly place: Place; readonly term: number } | null> {
    let found: { place: Place; term: number } | null = null
    for (const [place, { role, term }] of await this.statuses()) {
      if (role === 'leader' && term > (found?.term ?? 0)) found = { place, term }
    }
    return found
  }

  /** Waits for a leader, optionally other than `not` and in a later term than its. */
  leader(not?: { readonly place: Place; readonly term: number }, timeoutMs = 15_000) {
    return until(
      not === undefined ? 'somebody leads' : `somebody other than ${not.place.name} leads`,
      async () => {
        const found = await this.leading()
        if (found === null || found.place === not?.place || found.term <= (not?.term ?? 0)) return null
        return found
      },
      { timeoutMs, intervalMs: 50, state: () => this.describe() },
    )
  }

  /** Names a node that has never been here, with no data, for a place whose agent has ended. */
  replacement(place: Place): AgentProcess {
    const name = `n${++this.#named}`
    const dataDir = join(this.options.folder, name)
    return this.#agent(place.name, name, place.agent.ports, { dataDir, bootstrapExpect: null })
  }

  /** One line about every node. */
  async describe(): Promise<string> {
    const lines = await Promise.all(
      this.#places.map(async (place) => {
        const { name, agent, isPaused } = place
        const label = name === agent.name ? name : `${agent.name} at ${name}`
        if (!agent.running) return `${label} does not run`
        if (isPaused) return `${label} is paused`
        const status = await place.raft().catch((error: Error) => error.message)
        if (typeof status === 'string') return `${label}: ${status}`
        const { role, term, leader, commitIndex, appliedIndex } = status
        return `${label}: ${role} in term ${term}, leader ${leader}, committed ${commitIndex}, applied ${appliedIndex}`
      }),
    )
    return lines.join('; ')
  }

  /** kill -9 for everything that may run, at once; for the end of the test, however it comes. */
  killNow(): void {
    for (const { agent } of this.#places) agent.signal('SIGKILL')
  }

  async close(): Promise<void> {
    await Promise.all(this.#places.map((place) => place.kill()))
    await this.links.close()
    this.#ports.release()
  }
}

/** A folder of its own for a run. */
export function makeFolder(): string {
  return mkdtempSync(join(tmpdir(), 'constellation-nemesis-'))
}

/** Removes a folder of `makeFolder`. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
}
