import type { Action } from './event-queue.ts'
import type { World } from './world.ts'

/** What a broken link does with a message: nobody sees it again, or it arrives when the link works again. */
export type CutMode = 'drop' | 'hold'

interface Held {
  readonly from: string
  readonly to: string
  readonly run: Action
}

/** Messages a broken link holds at most; the rest is lost. */
const HELD_MAX = 500

/** The network between the nodes: delay, loss, duplication, reordering, and links that are broken in one direction. */
export class SimNetwork {
  readonly #world: World
  readonly #cut = new Map<string, CutMode>()
  /** Connections the transport knows to be gone, in both directions. */
  readonly #broken = new Set<string>()
  readonly #lastArrival = new Map<string, number>()
  #held: Held[] = []

  constructor(world: World) {
    this.#world = world
  }

  isCut(from: string, to: string): boolean {
    return this.#cut.has(`${from}>${to}`)
  }

  /** As the transport of `from` sees it. */
  isConnected(from: string, to: string): boolean {
    return !this.#broken.has(`${from}>${to}`)
  }

  cut(from: string, to: string, mode: CutMode): void {
    if (from !== to) this.#cut.set(`${from}>${to}`, mode)
  }

  /** Both ends know that there is no connection; nothing passes. */
  breakConnection(a: string, b: string): void {
    this.cut(a, b, 'drop')
    this.cut(b, a, 'drop')
    this.#broken.add(`${a}>${b}`)
    this.#broken.add(`${b}>${a}`)
  }

  heal(from: string, to: string): void {
    this.#cut.delete(`${from}>${to}`)
    this.#broken.delete(`${from}>${to}`)
    this.#broken.delete(`${to}>${from}`)
    const arriving = this.#held.filter((held) => held.from === from && held.to === to)
    this.#held = this.#held.filter((held) => !arriving.includes(held))
    for (const { run } of arriving) this.#arrive(from, to, run)
  }

  healAll(): void {
    const links = [...this.#cut.keys()]
    for (const link of links) {
      const [from = '', to = ''] = link.split('>')
      this.heal(from, to)
    }
  }

  /** Delivers, if the network lets it. */
  send(from: string, to: string, run: Action): void {
    const { random, options, faulty } = this.#world
    const cut = this.#cut.get(`${from}>${to}`)
    if (cut === 'drop') return
    if (cut === 'hold') {
      if (this.#held.length < HELD_MAX) this.#held.push({ from, to, run })
      return
    }
    if (faulty && random.chance(options.loss)) {
      this.#world.count('message lost')
      return
    }
    this.#arrive(from, to, run)
    if (faulty && random.chance(options.duplication)) {
      this.#world.count('message duplicated')
      this.#arrive(from, to, run)
    }
  }

  #arrive(from: string, to: string, run: Action): void {
    const { random, options, faulty, now } = this.#world
    const link = `${from}>${to}`
    let delay = faulty ? options.delayMinMs + random.exponential(options.delayMeanMs) : random.between(0.2, 2)
    const last = this.#lastArrival.get(link) ?? 0
    if (options.ordered) delay = Math.max(delay, last - now)
    else if (now + delay < last) this.#world.count('message reordered')
    this.#lastArrival.set(link, Math.max(last, now + delay))
    this.#world.after(delay, run)
  }
}
