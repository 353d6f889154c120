import { shuffle } from './random.ts'
import type { NodeId } from './types.ts'

/**
 * The order of probing: round robin over a list that is shuffled after each round, so that every member is probed within
 * two rounds (SWIM §4.3). A new member is inserted at a random position.
 */
export class ProbeList {
  readonly #random: () => number
  readonly #known = new Set<NodeId>()
  #list: NodeId[] = []
  #at = 0

  constructor(random: () => number) {
    this.#random = random
  }

  add(id: NodeId): void {
    if (this.#known.has(id)) return
    this.#known.add(id)
    this.#list.splice(Math.floor(this.#random() * (this.#list.length + 1)), 0, id)
  }

  /** Drops those that do not pass `keep`; the round goes on with the others. */
  retain(keep: (id: NodeId) => boolean): void {
    const due = this.#list.slice(this.#at).filter(keep)
    const done = this.#list.slice(0, this.#at).filter(keep)
    this.#list = [...done, ...due]
    this.#at = done.length
    this.#known.clear()
    for (const id of this.#list) this.#known.add(id)
  }

  /** The next one that passes `accept`; those that do not leave the list until they are added again. */
  next(accept: (id: NodeId) => boolean): NodeId | undefined {
    for (let tries = this.#list.length; tries > 0; tries--) {
      if (this.#at >= this.#list.length) this.#startRound()
      const id = this.#list[this.#at]
      if (id === undefined) return undefined
      if (accept(id)) {
        this.#at++
        return id
      }
      this.#list.splice(this.#at, 1)
      this.#known.delete(id)
    }
    return undefined
  }

  #startRound(): void {
    this.#at = 0
    shuffle(this.#list, this.#random)
  }
}
