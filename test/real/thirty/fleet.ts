import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { generateClusterKey } from '../../../discovery/mesh/cluster-key.ts'
import { guardPause } from '../../nemesis/pause-guard.ts'
import { AgentProcess } from '../agent-process.ts'
import { until } from '../until.ts'
import type { Fabric, Site } from './fabric.ts'
import { Excuses } from './false-deaths.ts'
import { LoopbackFabric } from './loopback.ts'
import { NamespaceFabric } from './namespaces.ts'
import { Verdicts } from './verdicts.ts'

/** What a fleet is made of. */
export interface FleetOptions {
  readonly count: number
  /** A program and what comes before `agent`. */
  readonly program: { readonly path: string; readonly args: readonly string[] }
  readonly network: 'namespaces' | 'loopback'
  /** Settings of every agent, as variables of its environment. */
  readonly env: Readonly<Record<string, string>>
}

/** A member as one node sees it. */
export interface MemberView {
  readonly name: string
  readonly status: string
  readonly incarnation: number
}

const FOUNDERS = 3
/** An observer whose log says nothing is asked after this time. */
const LISTED_AFTER_MS = 5000
const POLL_MS = 20
const ANSWER_MS = 2000
const ANSWER_EVERY_MS = 100
/** Long: with all agents at full load an answer takes its time. */
const REQUEST_MS = 60_000

/** Agents n1, n2, … on one fabric: the first three found the cluster, the others join through them. */
export class Fleet {
  readonly fabric: Fabric
  readonly agents: readonly AgentProcess[]
  readonly folder: string
  readonly verdicts: Verdicts
  readonly excuses = new Excuses()
  /** Agents that ended although nobody ended them. */
  readonly crashes: string[] = []
  readonly #endExcuse = new Map<string, () => void>()
  readonly #paused = new Map<string, () => void>()
  readonly #expectedToEnd = new Set<string>()

  private constructor(fabric: Fabric, agents: readonly AgentProcess[], folder: string) {
    this.fabric = fabric
    this.agents = agents
    this.folder = folder
    this.verdicts = new Verdicts(new Map(agents.map(({ name, logFile }) => [name, logFile])))
  }

  /** Nothing runs yet. */
  static async create(options: FleetOptions): Promise<Fleet> {
    const names = Array.from({ length: options.count }, (_, i) => `n${i + 1}`)
    const folder = mkdtempSync(join(tmpdir(), 'constellation-thirty-'))
    writeFileSync(join(folder, 'cluster.key'), `${generateClusterKey()}\n`, { mode: 0o600 })
    const agents: AgentProcess[] = []
    const running = (): readonly AgentProcess[] => agents.filter((agent) => agent.running)
    const fabric =
      options.network === 'namespaces'
        ? await NamespaceFabric.create(names)
        : await LoopbackFabric.create(names, running)
    for (const site of fabric.sites) agents.push(agentAt(site, fabric, folder, options))
    return new Fleet(fabric, agents, folder)
  }

  get #keyArgs(): readonly string[] {
    return keyArgs(this.folder)
  }

  get running(): readonly AgentProcess[] {
    return this.agents.filter((agent) => agent.running)
  }

  /** Running, and not stopped by a signal. */
  get up(): readonly AgentProcess[] {
    return this.running.filter(({ name }) => !this.#paused.has(name))
  }

  /** The agents with these names, by default all. @throws Error for an unknown name. */
  named(...names: readonly string[]): readonly AgentProcess[] {
    return names.map((name) => {
      const agent = this.agents.find((each) => each.name === name)
      if (agent === undefined) throw new Error(`no agent is called ${name}`)
      return agent
    })
  }

  /** `isAlone`: it is told of nobody and has to find the others again by what it remembers. */
  start(agent: AgentProcess, isAlone = false): void {
    this.#expectedToEnd.delete(agent.name)
    if (isAlone) agent.start(this.#keyArgs)
    else agent.start()
    this.excuses.started(agent.name)
    const endExcuse = this.#endExcuse.get(agent.name)
    this.#endExcuse.delete(agent.name)
    // On a busy machine a program takes its time to start, and until then the others are right.
    if (endExcuse !== undefined) void answering(agent).then(() => endExcuse())
    void agent.exited.then(({ code, signal }) => {
      if (!this.#expectedToEnd.has(agent.name))
        this.crashes.push(`${agent.name} ended by itself: ${signal ?? `exit code ${code}`}`)
    })
  }

  /** kill -9; answers the time of day at which it was sent. */
  kill(agent: AgentProcess): number {
    this.#ends(agent)
    const at = Date.now()
    agent.signal('SIGKILL')
    return at
  }

  /** SIGTERM, and waits for the end; answers when it was sent and the exit code. */
  async stop(agent: AgentProcess): Promise<{ readonly at: number; readonly code: number | null }> {
    this.#ends(agent)
    const at = Date.now()
    const { code } = await agent.stop()
    return { at, code }
  }

  #ends(agent: AgentProcess): void {
    this.#expectedToEnd.add(agent.name)
    this.#endExcuse.get(agent.name)?.()
    this.#endExcuse.set(agent.name, this.excuses.begin(agent.name))
  }

  /** SIGSTOP; answers the time of day. `isExcused`: the others may call it failed meanwhile. */
  pause(agent: AgentProcess, isExcused: boolean): number {
    this.#paused.set(agent.name, guardPause(agent.pid))
    if (isExcused) this.#endExcuse.set(agent.name, this.excuses.begin(agent.name))
    const at = Date.now()
    agent.signal('SIGSTOP')
    return at
  }

  /** SIGCONT; answers the time of day. */
  resume(agent: AgentProcess): number {
    const at = Date.now()
    agent.signal('SIGCONT')
    this.#paused.get(agent.name)?.()
    this.#paused.delete(agent.name)
    this.#endExcuse.get(agent.name)?.()
    this.#endExcuse.delete(agent.name)
    return at
  }

  /** Cuts these groups off from each other; answers when, and how to heal it (which answers when that was). */
  async cut(
    groups: readonly (readonly AgentProcess[])[],
  ): Promise<{ at: number; heal: () => Promise<number> }> {
    const names = groups.map((group) => group.map(({ name }) => name))
    const ends = names.flatMap((group) => {
      const others = new Set(names.flat().filter((name) => !group.includes(name)))
      return group.map((name) => this.excuses.begin(name, others))
    })
    const at = Date.now()
    await this.fabric.cut(names)
    return {
      at,
      heal: async () => {
        await this.fabric.heal()
        for (const end of ends) end()
        return Date.now()
      },
    }
  }

  /**
   * Waits until each of the observers has said this of the member since `from` (time of day in ms), by their logs. Answers
   * how many ms after `from` each did. An observer that believed it back before it was (the word of one that had not noticed its death)
   * has nothing to say when it comes, for comings and goings are told damped: that it lists the member's run counts as well.
   */
  async heard(
    what: 'alive' | 'failed' | 'left',
    member: string,
    observers: readonly AgentProcess[],
    from: number,
    timeoutMs: number,
  ): Promise<readonly number[]> {
    const others = observers.filter(({ name }) => name !== member)
    const listed = new Map<string, number>()
    const first = () => new Map([...listed, ...this.verdicts.firstSince(from, member, what)])
    const missing = () => others.filter(({ name }) => !first().has(name))
    await until(
      `${others.length} nodes say that ${member} is ${what}`,
      async () => {
        this.verdicts.read()
        if (what === 'alive' && Date.now() - from > LISTED_AFTER_MS)
          for (const observer of missing())
            if (await this.#listsRun(observer, member)) listed.set(observer.name, Date.now())
        return missing().length === 0
      },
      { timeoutMs, intervalMs: POLL_MS, state: () => ({ missing: missing().map(({ name }) => name) }) },
    )
    const said = first()
    return others.map(({ name }) => (said.get(name) ?? 0) - from)
  }

  /** Whether a node lists a member alive, with the incarnation that the member has in its present run. */
  async #listsRun(observer: AgentProcess, member: string): Promise<boolean> {
    const subject = this.agents.find(({ name }) => name === member)
    if (subject === undefined) return false
    const [own, theirs] = await Promise.all(
      [subject, observer].map(async (agent) =>
        (await this.members(agent)).find(({ name }) => name === member),
      ),
    )
    return theirs?.status === 'alive' && theirs.incarnation === own?.incarnation
  }

  /** The members as a node sees them, by name. @throws Error when it does not answer. */
  async members(agent: AgentProcess): Promise<readonly MemberView[]> {
    const rows = await agent.json<readonly MemberView[]>('/api/v1/nodes', { timeoutMs: REQUEST_MS })
    return rows
      .map(({ name, status, incarnation }) => ({ name, status, incarnation }))
      .sort((a, b) => a.name.localeCompare(b.name))
  }

  /** Waits until every running agent answers and sees exactly the running ones alive. */
  async settled(timeoutMs: number): Promise<void> {
    const wanted = this.running
      .map(({ name }) => name)
      .sort()
      .join(' ')
    for (const agent of this.running) {
      await until(
        `${agent.name} sees ${this.running.length} nodes alive`,
        async () => {
          const alive = (await this.members(agent)).filter(({ status }) => status === 'alive')
          return (
            alive
              .map(({ name }) => name)
              .sort()
              .join(' ') === wanted
          )
        },
        { timeoutMs, intervalMs: 200, state: () => this.members(agent).catch(String) },
      )
    }
  }

  /** Verdicts of death so far that nothing excuses, for people. */
  falseDeaths(): readonly string[] {
    this.verdicts.read()
    return this.excuses
      .falseDeaths(this.verdicts.all)
      .map(({ observer, member, at }) => `${new Date(at).toISOString()} ${observer} called ${member} failed`)
  }

  /** kill -9 for everything, at once; for the end of this process, however it comes. */
  killNow(): void {
    for (const agent of this.agents) agent.signal('SIGKILL')
  }

  /** Ends everything; `keep`: leaves the folder with logs and data. */
  async close(keep: boolean): Promise<void> {
    for (const agent of this.agents) this.#expectedToEnd.add(agent.name)
    await Promise.all(this.agents.map((agent) => agent.kill()))
    this.verdicts.close()
    await this.fabric.close()
    if (!keep) rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** Resolves when the agent answers, or has ended again. */
async function answering(agent: AgentProcess): Promise<void> {
  const { exited } = agent
  let isOver = false
  void exited.then(() => {
    isOver = true
  })
  const answers = (): Promise<boolean> => agent.ask('/healthz', { timeoutMs: ANSWER_MS }).then(Boolean)
  while (!isOver && !(await answers().catch(() => false))) await delay(ANSWER_EVERY_MS)
}

function agentAt(site: Site, fabric: Fabric, folder: string, options: FleetOptions): AgentProcess {
  const founders = fabric.sites.slice(0, Math.min(FOUNDERS, options.count))
  const join_ = founders
    .filter(({ name }) => name !== site.name)
    .flatMap(({ address }) => ['--join', address])
  return new AgentProcess({
    name: site.name,
    program: options.program.path,
    programArgs: options.program.args,
    host: site.host,
    ports: site.ports,
    launcher: site.launcher,
    dataDir: join(folder, site.name),
    logFile: join(folder, `${site.name}.log`),
    args: [...join_, ...['--bootstrap-expect', String(founders.length)], ...keyArgs(folder)],
    env: { ...options.env, CONSTELLATION_MESH_ADVERTISE: site.address },
  })
}

function keyArgs(folder: string): readonly string[] {
  return ['--cluster-key-file', join(folder, 'cluster.key')]
}
