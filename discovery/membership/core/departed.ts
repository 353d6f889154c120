import type { LeftUpdate, NodeId } from './types.ts'

/** A node that is not in the table although it was heard of: what is older than this is not news. */
export interface Departure {
  readonly incarnation: number
  /** It said that it leaves before it was known here: it is still to be listed, as left. */
  readonly unlisted: boolean
  /** An operator wants it forgotten. */
  readonly prune: boolean
  /** It was given up, and another has its name here: those who are connected to it know better. */
  readonly replaced?: boolean
  readonly at: number
}

const DEPARTED_MAX = 1024

/**
 * Who is gone and not listed (any more). A `left` may overtake the `alive` it belongs to, and a node that was cut off may
 * still tell of one that everybody has forgotten: neither brings it back. The oldest makes room beyond 1,024.
 */
export class Departed {
  readonly #keptMs: number
  readonly #nodes = new Map<NodeId, Departure>()

  constructor(keptMs: number) {
    this.#keptMs = keptMs
  }

  get size(): number {
    return this.#nodes.size
  }

  /** Keeps the departure with the higher incarnation; a prune wins over none. True if this is one more, or says more. */
  remember(id: NodeId, departure: Departure): boolean {
    const known = this.get(id, departure.at)
    const { incarnation, prune } = known ?? { incarnation: -1, prune: false }
    const more =
      departure.incarnation > incarnation ||
      (departure.incarnation === incarnation && departure.prune && !prune)
    if (!more) return false
    this.#nodes.delete(id)
    const [oldest] = this.#nodes.keys()
    if (oldest !== undefined && this.#nodes.size >= DEPARTED_MAX) this.#nodes.delete(oldest)
    this.#nodes.set(id, departure)
    return true
  }

  get(id: NodeId, now: number): Departure | undefined {
    const departure = this.#nodes.get(id)
    if (!departure || now - departure.at < this.#keptMs) return departure
    this.#nodes.delete(id)
    return undefined
  }

  /** The node is back, or listed again. */
  forget(id: NodeId): void {
    this.#nodes.delete(id)
  }
}

/** What is said of a node that is gone. */
export function leftOf(
  id: NodeId,
  { incarnation, prune }: Pick<Departure, 'incarnation' | 'prune'>,
): LeftUpdate {
  return { status: 'left', id, incarnation, ...(prune ? { prune } : {}) }
}
