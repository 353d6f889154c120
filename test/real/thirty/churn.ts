import { Resolver } from 'node:dns/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { Random } from '../../sim/random.ts'
import type { AgentProcess } from '../agent-process.ts'
import { deregister, registerChecked, setCheck } from './catalogue.ts'
import type { Fleet } from './fleet.ts'

const CHANGE_MS = 1000
const QUERY_MS = 500
const WAITERS_PER_NODE = 2
const RESTART_MS = 45_000
const SERVICES = 6
const KEYS = 50
const UP_MS = 30_000

/** What clients and operators did, and how often it failed: an agent that is being restarted refuses. */
export interface ChurnCounts {
  changes: number
  flaps: number
  answers: number
  lookups: number
  writes: number
  restarts: number
  refused: number
}

/**
 * Keeps a fleet busy: services come and go, checks flap, clients wait with blocking queries, look names up and write keys, and
 * the agents in `restarted` are killed or stopped and started again, in turn.
 */
export class Churn {
  readonly counts: ChurnCounts = {
    changes: 0,
    flaps: 0,
    answers: 0,
    lookups: 0,
    writes: 0,
    restarts: 0,
    refused: 0,
  }
  readonly #fleet: Fleet
  readonly #restarted: readonly AgentProcess[]
  readonly #random: Random
  readonly #over = new AbortController()
  readonly #registered = new Map<string, Set<string>>()
  #running: Promise<unknown> = Promise.resolve()

  constructor(fleet: Fleet, restarted: readonly AgentProcess[], seed: number) {
    this.#fleet = fleet
    this.#restarted = restarted
    this.#random = new Random(seed)
  }

  start(): void {
    const { agents } = this.#fleet
    this.#running = Promise.all([
      this.#again(CHANGE_MS, () => this.#change()),
      this.#again(QUERY_MS, () => this.#lookUp()),
      this.#again(QUERY_MS, () => this.#write()),
      this.#again(RESTART_MS, () => this.#restart()),
      ...agents.flatMap((agent) => Array.from({ length: WAITERS_PER_NODE }, (_, i) => this.#wait(agent, i))),
    ])
  }

  async stop(): Promise<void> {
    this.#over.abort()
    await this.#running
  }

  async #again(everyMs: number, act: () => Promise<void>): Promise<void> {
    while (await this.#pause(everyMs)) await act().catch(() => this.counts.refused++)
  }

  /** False when it is over. */
  #pause(ms: number): Promise<boolean> {
    return delay(ms, true, { signal: this.#over.signal }).catch(() => false)
  }

  async #change(): Promise<void> {
    const agent = this.#random.pick(this.#fleet.up)
    const service = `churn-${1 + this.#random.below(SERVICES)}`
    const own = this.#registered.get(agent.name) ?? new Set()
    this.#registered.set(agent.name, own)
    if (!own.has(service)) {
      await registerChecked(agent, service)
      own.add(service)
    } else if (this.#random.chance(0.5)) {
      await setCheck(agent, service, this.#random.chance(0.5) ? 'fail' : 'pass')
      this.counts.flaps++
    } else {
      await deregister(agent, service)
      own.delete(service)
    }
    this.counts.changes++
  }

  async #lookUp(): Promise<void> {
    const agent = this.#random.pick(this.#fleet.up)
    const resolver = new Resolver({ timeout: 2000, tries: 1 })
    resolver.setServers([`${agent.host}:${agent.ports.dns}`])
    const found = await resolver.resolveSrv('kept.service.constellation')
    if (found.length > 0) this.counts.lookups++
  }

  async #write(): Promise<void> {
    const agent = this.#random.pick(this.#fleet.up)
    if (await agent.put(`churn/${this.#random.below(KEYS)}`, String(Date.now()))) this.counts.writes++
    else this.counts.refused++
  }

  async #wait(agent: AgentProcess, waiter: number): Promise<void> {
    let index = '0'
    while (!this.#over.signal.aborted) {
      const path = `/v1/health/service/churn-${waiter + 1}?index=${index}&wait=5s`
      const answer = await agent.ask(path, { timeoutMs: 10_000 }).catch(() => null)
      if (answer?.status === 200) this.counts.answers++
      else await this.#pause(1000)
      index = String(answer?.headers['x-consul-index'] ?? '0')
    }
  }

  async #restart(): Promise<void> {
    const agent = this.#restarted[this.counts.restarts % this.#restarted.length]
    if (agent === undefined) return
    this.counts.restarts++
    if (this.counts.restarts % 2 === 0) {
      this.#fleet.kill(agent)
      await agent.exited
    } else await this.#fleet.stop(agent)
    this.#fleet.start(agent)
    await this.#fleet.settled(UP_MS)
  }
}
