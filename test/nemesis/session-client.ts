import { type Answer, ask } from '../real/http.ts'
import type { Random } from '../sim/random.ts'
import type { Place } from './nodes.ts'

const TIMEOUT_MS = 4000

/** An answer, and when it was asked for and came. */
export interface Timed {
  readonly calledAt: number
  readonly returnedAt: number
  readonly node: string
  /** Null: nothing came back. */
  readonly answer: Answer | null
}

/** Asks a random node, as a client behind a load balancer does. */
export class SessionClient {
  readonly #places: readonly Place[]
  readonly #random: Random

  constructor(places: readonly Place[], random: Random) {
    this.#places = places
    this.#random = random
  }

  /** Where a call goes. A node that does not run is not asked: a balancer has noticed that. */
  place(): Place {
    const running = this.#places.filter(({ agent }) => agent.running)
    return this.#random.pick(running.length === 0 ? this.#places : running)
  }

  async put(path: string, body?: unknown): Promise<Timed> {
    return this.#ask(path, { method: 'PUT', ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  }

  async get(path: string): Promise<Timed> {
    return this.#ask(path, { method: 'GET' })
  }

  async #ask(
    path: string,
    request: { readonly method: 'GET' | 'PUT'; readonly body?: string },
  ): Promise<Timed> {
    const { agent } = this.place()
    const calledAt = performance.now()
    const answer = await ask(agent.ports.http, path, { ...request, timeoutMs: TIMEOUT_MS }).catch(() => null)
    return { calledAt, returnedAt: performance.now(), node: agent.name, answer }
  }
}
