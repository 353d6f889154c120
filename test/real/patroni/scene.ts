import { chownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AgentProcess } from '../agent-process.ts'
import { executable } from '../executable.ts'
import { reservePorts } from '../ports.ts'
import { until } from '../until.ts'
import { agentsSettled, endAgents, makeAgents } from './agents.ts'
import { type ClusterRow, Member } from './member.ts'
import { Probe } from './probe.ts'
import { POSTGRES_BIN, type Programs } from './programs.ts'
import type { Timing } from './settings.ts'

const COUNT = 3
const START_MS = 30_000
const LOG_TAIL_LINES = 60
/** States of a replica that works, by the names of different versions of Patroni. */
const WORKS = ['running', 'streaming']

/** How the cluster is run. */
export interface SceneOptions {
  readonly programs: Programs
  readonly timing: Timing
  /** Settings of every agent, by variable. */
  readonly env?: Readonly<Record<string, string>>
}

/** Three agents and three Patronis, each of which asks its own agent; observers and writers of all of them. */
export class Scene {
  readonly timing: Timing
  readonly agents: readonly AgentProcess[]
  readonly members: readonly Member[]
  #probe: Probe | null = null
  readonly #close: () => Promise<void>

  private constructor(
    timing: Timing,
    agents: readonly AgentProcess[],
    members: readonly Member[],
    close: () => Promise<void>,
  ) {
    this.timing = timing
    this.agents = agents
    this.members = members
    this.#close = close
  }

  /** Reserves ports and folders; nothing runs yet. */
  static async make(options: SceneOptions): Promise<Scene> {
    const { programs, timing, env = {} } = options
    const program = await executable()
    const ports = reservePorts()
    const agentFolder = mkdtempSync(join(tmpdir(), 'constellation-patroni-'))
    // In /tmp, whatever TMPDIR says: a path of a Unix socket has 107 bytes at most, and another user must get there.
    const folder = mkdtempSync('/tmp/cpat-')
    if (programs.user !== null) chownSync(folder, programs.user.uid, programs.user.gid)
    const agents = await makeAgents({ count: COUNT, program, folder: agentFolder, ports, env })
    const members: Member[] = []
    for (const [i, agent] of agents.entries()) {
      const own = { postgres: await ports.next(), rest: await ports.next() }
      const settings = {
        ...{ name: `m${i + 1}`, folder, ports: own, agentPort: agent.ports.http },
        ...{ binDir: POSTGRES_BIN, timing },
      }
      members.push(new Member(settings, programs.user))
    }
    const close = async () => {
      await Promise.all(members.map((member) => member.kill()))
      await endAgents(agents)
      ports.release()
      for (const path of [folder, agentFolder]) rmSync(path, { recursive: true, force: true, maxRetries: 3 })
    }
    return new Scene(timing, agents, members, close)
  }

  get probe(): Probe {
    if (this.#probe === null) throw new Error('the probe was not started')
    return this.#probe
  }

  /** Starts the agents, then all members at once, which bootstrap one database; then observers and writers, until rows come. */
  async start(): Promise<void> {
    for (const agent of this.agents) agent.start()
    await agentsSettled(this.agents)
    for (const member of this.members) member.start()
    const primary = await this.settled()
    await primary.sql('create table rows (id text primary key, member text, timeline bigint)')
    this.#probe = new Probe(this.members)
    await this.#probe.acknowledged(0, { timeoutMs: START_MS })
  }

  /** The agent this member uses. */
  agentOf(member: Member): AgentProcess {
    return found(this.agents[this.members.indexOf(member)])
  }

  member(name: string): Member {
    return found(this.members.find((member) => member.name === name))
  }

  /**
   * Waits until every member runs, one leads, the others follow it on its timeline, and one of them is the synchronous standby.
   * @returns the one that leads
   */
  settled(timeoutMs = 120_000): Promise<Member> {
    return until(
      'the members are settled',
      async () => {
        const views = await Promise.all(this.members.map((member) => member.cluster()))
        const primaries = views.map((rows) => this.#primaryOf(rows))
        const [primary] = primaries
        return primary !== null && primaries.every((other) => other === primary) && primary
      },
      { timeoutMs, intervalMs: 200, state: () => this.states() },
    )
  }

  #primaryOf(rows: readonly ClusterRow[]): Member | null {
    const leader = rows.find(({ role }) => role === 'leader')
    const well = rows.every(({ state, timeline }) => WORKS.includes(state) && timeline === leader?.timeline)
    const standbys = rows.filter(({ role }) => role === 'sync_standby')
    if (leader === undefined || rows.length !== COUNT || !well || standbys.length !== 1) return null
    return this.member(leader.name)
  }

  /** What every member says of the cluster, for a message. */
  states(): Promise<readonly unknown[]> {
    return Promise.all(this.members.map((member) => member.cluster().catch(String)))
  }

  /** The synchronous standby, once the members are settled. */
  async standby(): Promise<Member> {
    const primary = await this.settled()
    const rows = await primary.cluster()
    return this.member(found(rows.find(({ role }) => role === 'sync_standby')).name)
  }

  /** What members and agents said last. */
  lastWords(): string {
    return [...this.members, ...this.agents]
      .map((one) => `--- ${one.name}:\n${one.logText().split('\n').slice(-LOG_TAIL_LINES).join('\n')}\n`)
      .join('')
  }

  /** Ends every process and removes every file. */
  async close(): Promise<void> {
    await this.#probe?.end()
    await this.#close()
  }
}

function found<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('no such member')
  return value
}
