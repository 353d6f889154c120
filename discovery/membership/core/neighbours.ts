import type { NodeId } from './types.ts'

/**
 * Whom a node keeps connections to when everybody is too many: on the ring of all ids in order, the nodes at the distances
 * 1, 2, 4, 8, … in both directions. Symmetric, so that both ends of a connection want it; connected, because everybody has
 * the next one on the ring; and whatever a node says reaches n others in about log2 n steps.
 *
 * @param ids every living node, `self` included, sorted.
 * @param max how many there may be, at least 2. With fewer than there are powers of two, some are left out evenly.
 */
export function neighbours(self: NodeId, ids: readonly NodeId[], max: number): readonly NodeId[] {
  return [...new Neighbourhood(self, ids, max).offsets.keys()]
}

/** The {@link neighbours} of a node, and which of them are neighbours of each other. */
export class Neighbourhood {
  /** How far each neighbour is along the ring, from 1 on. */
  readonly offsets: ReadonlyMap<NodeId, number>
  readonly #size: number
  readonly #distances: ReadonlySet<number> | null

  /** As for {@link neighbours}. */
  constructor(self: NodeId, ids: readonly NodeId[], max: number) {
    const n = ids.length
    const at = ids.indexOf(self)
    if (at === -1) throw new Error('invariant: a node is always on its own ring')
    this.#size = n
    this.#distances = n - 1 <= max ? null : new Set(ringDistances(n, max))
    const offsets = new Map<NodeId, number>()
    const near = this.#distances
      ? [...this.#distances].flatMap((distance) => [distance, n - distance])
      : Array.from({ length: n - 1 }, (_, i) => i + 1)
    for (const offset of near) {
      const id = ids[(at + offset) % n]
      if (id !== undefined && id !== self) offsets.set(id, offset)
    }
    this.offsets = offsets
  }

  /** The neighbours that are also neighbours of `id`, which is one itself; none of one that is not. */
  with(id: NodeId): readonly NodeId[] {
    const from = this.offsets.get(id)
    if (from === undefined) return []
    const common: NodeId[] = []
    for (const [other, to] of this.offsets) {
      const apart = Math.abs(from - to)
      if (apart !== 0 && this.#areNeighbours(apart)) common.push(other)
    }
    return common
  }

  #areNeighbours(apart: number): boolean {
    return this.#distances === null || this.#distances.has(Math.min(apart, this.#size - apart))
  }
}

/** The distances at which neighbours are, on a ring of `n` for at most `max` of them. Always with 1, the same for all nodes. */
export function ringDistances(n: number, max: number): readonly number[] {
  const all: number[] = []
  for (let distance = 1; distance <= n / 2; distance *= 2) all.push(distance)
  const wanted = Math.max(1, Math.floor(max / 2))
  if (all.length <= wanted) return all
  if (wanted === 1) return [1]
  const step = (all.length - 1) / (wanted - 1)
  return Array.from({ length: wanted }, (_, i) => all[Math.round(i * step)] ?? 1)
}
