import t from 'tap'
import { neighbours, ringDistances } from '../../../discovery/membership/core/neighbours.ts'

const ids = (n: number) => Array.from({ length: n }, (_, i) => `n${String(i).padStart(4, '0')}`)

/** How many steps everybody is from the first node at most; Infinity if somebody cannot be reached. */
function eccentricity(graph: ReadonlyMap<string, readonly string[]>): number {
  const start = graph.keys().next().value ?? ''
  const steps = new Map([[start, 0]])
  const waiting = [start]
  for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
    for (const next of graph.get(id) ?? []) {
      if (steps.has(next)) continue
      steps.set(next, (steps.get(id) ?? 0) + 1)
      waiting.push(next)
    }
  }
  return steps.size === graph.size ? Math.max(...steps.values()) : Number.POSITIVE_INFINITY
}

t.test('from 2 to 1,000 nodes: symmetric, connected, bounded, and few steps across', async (t) => {
  for (const max of [2, 4, 5, 6, 16, 128]) {
    for (const n of [
      ...Array.from({ length: 70 }, (_, i) => i + 2),
      ...[127, 128, 129, 130, 131],
      200,
      255,
      256,
      257,
      500,
      512,
      999,
      1000,
    ]) {
      const all = ids(n)
      const graph = new Map(all.map((id) => [id, neighbours(id, all, max)]))
      const sets = new Map([...graph].map(([id, others]) => [id, new Set(others)]))
      const where = `${n} nodes, at most ${max}`
      let wrong = ''
      for (const [id, others] of graph) {
        if (others.length > max || others.includes(id) || sets.get(id)?.size !== others.length)
          wrong = `${id} bound`
        for (const other of others) if (!sets.get(other)?.has(id)) wrong = `${id} ${other} one-sided`
        if (n - 1 <= max && others.length !== n - 1) wrong = `${id} not full`
      }
      const steps = eccentricity(graph)
      if (steps === Number.POSITIVE_INFINITY) wrong = 'not connected'
      if (max >= 16 && steps > Math.ceil(Math.log2(n))) wrong = `${steps} steps`
      if (wrong !== '') t.fail(`${where}: ${wrong}`)
    }
  }
})

t.test('the number of neighbours grows with the logarithm', async (t) => {
  t.same(ringDistances(200, 128), [1, 2, 4, 8, 16, 32, 64])
  t.equal(neighbours('n0000', ids(1000), 128).length, 18)
  t.same(ringDistances(1000, 6), [1, 16, 256])
  t.same(ringDistances(1000, 3), [1])
})
