import { setTimeout as delay } from 'node:timers/promises'
import type { Nodes } from './nodes.ts'

const INTERVAL_MS = 250
/**
 * Between two looks more than this, and nobody knows what happened meanwhile: a leader that stood still for an election timeout gives
 * every session its time again.
 */
const GAP_MS_MAX = 1000

interface Look {
  readonly from: number
  readonly to: number
  readonly term: number
  readonly leader: string
}

/** Notes all the time who leads, to tell when nothing changed. */
export class Leadership {
  readonly #stop = new AbortController()
  readonly #looks: Look[] = []
  readonly #loop: Promise<void>

  constructor(nodes: Nodes) {
    this.#loop = this.#run(nodes)
  }

  /** True if one node is known to have led, in one term, from before `from` until after `to`. */
  isSteady(from: number, to: number): boolean {
    const first = this.#looks.findLastIndex((look) => look.to <= from)
    const last = this.#looks.findIndex((look) => look.from >= to)
    if (first < 0 || last < 0) return false
    const looks = this.#looks.slice(first, last + 1)
    return looks.every((look, i) => {
      const before = looks[i - 1] ?? look
      return (
        look.leader !== '' &&
        look.term === before.term &&
        look.leader === before.leader &&
        look.to - before.from <= GAP_MS_MAX
      )
    })
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#loop
  }

  async #run(nodes: Nodes): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const from = performance.now()
      const found = await nodes.leading().catch(() => null)
      const leader = found?.place.name ?? ''
      this.#looks.push({ from, to: performance.now(), term: found?.term ?? 0, leader })
      await delay(INTERVAL_MS, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
  }
}
