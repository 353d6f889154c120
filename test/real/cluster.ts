import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { generateClusterKey } from '../../discovery/mesh/cluster-key.ts'
import { AgentProcess, type AgentSettings } from './agent-process.ts'
import { executable } from './executable.ts'
import { type PortBlock, reservePorts } from './ports.ts'
import { until } from './until.ts'

const LOG_TAIL_LINES = 25

/** Patience with a cluster that starts, not a bound on how long that may take: a machine may be busy with something else. */
const SETTLED_MS = 40_000

/** What /api/v1/status answers, as far as the tests look at it. */
export interface Status {
  readonly node: string
  readonly cluster: string
  readonly clusterId: string | null
  readonly leader: string | null
  readonly term: number
  readonly role: string
  readonly ready: boolean
  /** On a client: the name of the member that feeds it. */
  readonly feed?: { readonly feeder: string | null; readonly lag: number }
}

/** A row of /api/v1/nodes. */
export interface NodeRow {
  readonly name: string
  readonly status: string
  readonly address: string
  readonly role: string
  /** Of a client: the name of the member that feeds it. */
  readonly fedBy?: string
}

/** A row of /api/v1/leases. */
export interface LeaseRow {
  readonly name: string
  readonly holder: string | null
  readonly fencingToken: number | null
  readonly heldBySelf: boolean
}

/** How a further node differs from the first ones. */
export interface NodeOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly keyFile?: string | null
  readonly join?: readonly string[]
  readonly bootstrapExpect?: number | null
  readonly args?: readonly string[]
  /** Where it keeps its data; by default a directory of the cluster's folder. */
  readonly dataDir?: string
}

/** Agents of the built executable on loopback, in a temporary folder that goes away with them. */
export class Cluster {
  readonly folder: string
  readonly keyFile: string
  readonly #program: string
  readonly #ports: PortBlock
  readonly #agents: AgentProcess[] = []

  private constructor(program: string) {
    this.#program = program
    this.#ports = reservePorts()
    this.folder = mkdtempSync(join(tmpdir(), 'constellation-test-'))
    this.keyFile = join(this.folder, 'cluster.key')
    writeFileSync(this.keyFile, `${generateClusterKey()}\n`, { mode: 0o600 })
  }

  /** An empty one; its processes and files end with the test, however that ends. */
  static async create(test: Test): Promise<Cluster> {
    const cluster = new Cluster(await executable())
    test.teardown(() => cluster.close(!test.passing()))
    return cluster
  }

  /** Path of the executable. */
  get program(): string {
    return this.#program
  }

  /** Every agent, running or not, in the order they were added. */
  get agents(): readonly AgentProcess[] {
    return this.#agents
  }

  /** The agent of this name. @throws Error if there is none. */
  agent(name: string): AgentProcess {
    const found = this.#agents.find((agent) => agent.name === name)
    if (found === undefined) throw new Error(`no agent is called ${name}`)
    return found
  }

  get running(): readonly AgentProcess[] {
    return this.#agents.filter((agent) => agent.running)
  }

  /** A port of this test that nobody listens on. */
  freePort(): Promise<number> {
    return this.#ports.next()
  }

  /** Adds agents that make a cluster together, without starting them. */
  async addFounders(
    names: readonly string[],
    options: (name: string) => NodeOptions = () => ({}),
  ): Promise<readonly AgentProcess[]> {
    const meshPorts: number[] = []
    for (const _ of names) meshPorts.push(await this.freePort())
    const added: AgentProcess[] = []
    for (const [i, name] of names.entries()) {
      const join = meshPorts.filter((_, other) => other !== i).map((port) => `127.0.0.1:${port}`)
      const own = options(name)
      added.push(await this.add(name, { join, bootstrapExpect: names.length, ...own }, meshPorts[i]))
    }
    return added
  }

  /** Adds one agent without starting it. By default it joins through every agent added before. */
  async add(name: string, options: NodeOptions = {}, meshPort?: number): Promise<AgentProcess> {
    const ports = {
      http: await this.freePort(),
      mesh: meshPort ?? (await this.freePort()),
      dns: await this.freePort(),
    }
    const join_ = options.join ?? this.#agents.map((agent) => `127.0.0.1:${agent.ports.mesh}`)
    const keyFile = options.keyFile === undefined ? this.keyFile : options.keyFile
    const expect = options.bootstrapExpect ?? null
    const settings: AgentSettings = {
      name,
      program: this.#program,
      ports,
      dataDir: options.dataDir ?? join(this.folder, name),
      logFile: join(this.folder, `${name}.log`),
      args: [
        ...join_.flatMap((address) => ['--join', address]),
        ...(expect === null ? [] : ['--bootstrap-expect', String(expect)]),
        ...(keyFile === null ? [] : ['--cluster-key-file', keyFile]),
        ...(options.args ?? []),
      ],
      env: options.env ?? {},
    }
    const agent = new AgentProcess(settings)
    this.#agents.push(agent)
    return agent
  }

  /** Starts these agents, by default all, and waits until each is ready and sees all the others. */
  async start(agents: readonly AgentProcess[] = this.#agents): Promise<void> {
    for (const agent of agents) agent.start()
    await this.settled(agents)
  }

  /** Waits until every running agent is ready and sees exactly the running ones alive. */
  async settled(agents: readonly AgentProcess[] = this.running, timeoutMs = SETTLED_MS): Promise<void> {
    for (const agent of agents) {
      await until(
        `${agent.name} is ready and sees ${this.running.length} nodes alive`,
        async () => {
          const [{ ready }, nodes] = await Promise.all([agent.status(), agent.nodes()])
          return ready && nodes.filter(({ status }) => status === 'alive').length === this.running.length
        },
        { timeoutMs, state: () => agent.nodes().catch(String) },
      )
    }
  }

  /** The agent that a running one other than `not` calls the leader, once that is a running one. */
  leader(options: { readonly not?: AgentProcess; readonly timeoutMs?: number } = {}): Promise<AgentProcess> {
    return until(
      'a leader is known',
      async () => {
        for (const agent of this.running) {
          const { leader } = await agent.status().catch(() => ({ leader: null }))
          const found = this.running.find(({ name }) => name === leader && name !== options.not?.name)
          if (found !== undefined) return found
        }
        return null
      },
      options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs },
    )
  }

  /** Running agents but the given ones. */
  others(...not: readonly AgentProcess[]): readonly AgentProcess[] {
    return this.running.filter((agent) => !not.includes(agent))
  }

  /** Ends every process at once and removes the folder. `tell`: first shows what the agents said last. */
  async close(tell: boolean): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent.kill()))
    if (tell) {
      for (const agent of this.#agents) {
        const tail = agent.logText().split('\n').slice(-LOG_TAIL_LINES).join('\n')
        process.stderr.write(`--- the end of the log of ${agent.name}:\n${tail}\n`)
      }
    }
    this.#ports.release()
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** A test with `count` agents n1, n2, … that form a cluster and are ready. Fails after `timeoutMs`, whatever hangs. */
export function clusterTest(
  name: string,
  options: { readonly nodes: number; readonly timeoutMs?: number; readonly env?: NodeOptions['env'] },
  body: (test: Test, cluster: Cluster) => Promise<void>,
): void {
  void t.test(name, { timeout: options.timeoutMs ?? 60_000 }, async (test) => {
    const cluster = await Cluster.create(test)
    const names = Array.from({ length: options.nodes }, (_, i) => `n${i + 1}`)
    await cluster.addFounders(names, () => (options.env === undefined ? {} : { env: options.env }))
    const started = performance.now()
    await cluster.start()
    test.comment(`cluster of ${options.nodes} ready after ${ms(performance.now() - started)}`)
    await body(test, cluster)
  })
}

/** A duration for a comment. */
export function ms(milliseconds: number): string {
  return `${Math.round(milliseconds)} ms`
}
