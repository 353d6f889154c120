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
  const n = ids.length
  const at = ids.indexOf(self)
  if (at === -1) throw new Error('invariant: a node is always on its own ring')
  if (n - 1 <= max) return ids.filter((id) => id !== self)
  const found = new Set<NodeId>()
  for (const distance of ringDistances(n, max)) {
    for (const index of [(at + distance) % n, (at - distance + n) % n]) {
      const id = ids[index]
      if (id !== undefined && id !== self) found.add(id)
    }
  }
  return [...found]
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
