import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import type { AgentProcess } from './agent-process.ts'
import type { LeaseRow } from './cluster.ts'

const INTERVAL_MS = 40

interface Claim {
  readonly agent: string
  readonly lease: string
  readonly token: number
  readonly askedAt: number
  readonly answeredAt: number
}

/** Asks agents all the time who claims to hold which lease, and judges the answers afterwards. Ends with the test. */
export class LeaseWatch {
  readonly #agents: readonly AgentProcess[]
  readonly #claims: Claim[] = []
  readonly #stop = new AbortController()
  readonly #loops: Promise<void>[]
  #samples = 0

  constructor(test: Test, agents: readonly AgentProcess[]) {
    this.#agents = agents
    test.teardown(() => this.#stop.abort())
    this.#loops = this.#agents.map((agent) => this.#run(agent))
  }

  get samples(): number {
    return this.#samples
  }

  async #run(agent: AgentProcess): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const askedAt = performance.now()
      const rows = await agent.leases().catch((): readonly LeaseRow[] => [])
      const answeredAt = performance.now()
      if (rows.length > 0) this.#samples++
      for (const { name, heldBySelf, fencingToken } of rows) {
        if (!heldBySelf || fencingToken === null) continue
        this.#claims.push({ agent: agent.name, lease: name, token: fencingToken, askedAt, answeredAt })
      }
      await delay(INTERVAL_MS, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
  }

  /**
   * Stops asking and answers every contradiction. Two answers are never given at the same instant, so what is wrong is
   * this: a node still claims a lease after another one, with a later token, was seen to hold it already; or two nodes
   * claim one token.
   */
  async end(): Promise<readonly string[]> {
    this.#stop.abort()
    await Promise.all(this.#loops)
    const wrong = new Set<string>()
    for (const late of this.#claims) {
      for (const early of this.#claims) {
        if (early.lease !== late.lease || early.agent === late.agent) continue
        if (early.token === late.token)
          wrong.add(`${early.agent} and ${late.agent} hold ${late.lease} with token ${late.token}`)
        if (early.token > late.token && early.answeredAt < late.askedAt) {
          wrong.add(
            `${late.agent} holds ${late.lease} with token ${late.token} after ${early.agent} got it with ${early.token}`,
          )
        }
      }
    }
    return [...wrong]
  }
}
