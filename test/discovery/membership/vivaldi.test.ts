import t from 'tap'
import {
  type Coordinate,
  distanceS,
  ERROR_MAX,
  HEIGHT_MIN_S,
  isValidCoordinate,
  ORIGIN,
  push,
} from '../../../discovery/membership/core/coordinate.ts'
import { CoordinateBook } from '../../../discovery/membership/core/coordinate-book.ts'
import { seededRandom } from '../../../discovery/membership/core/random.ts'
import { Vivaldi } from '../../../discovery/membership/core/vivaldi.ts'

const at = (vec: number[], more: Partial<Coordinate> = {}): Coordinate => ({
  vec: [...vec, ...ORIGIN.vec].slice(0, 8),
  height: 0,
  adjustment: 0,
  error: 0.1,
  ...more,
})
const close = (found: number, wanted: number): boolean => Math.abs(found - wanted) < 1e-9

/** Everybody measures random others for `rounds`; mean and largest error of all pairs, relative to the truth. */
function settle(rttMs: (a: number, b: number) => number, count: number, rounds = 500) {
  const random = seededRandom(5)
  const nodes = Array.from({ length: count }, () => new Vivaldi(random))
  for (let round = 0; round < rounds; round++) {
    nodes.forEach((node, i) => {
      const j = Math.floor(random() * count)
      const peer = nodes[j]
      if (peer && j !== i) node.observe(String(j), peer.coordinate, rttMs(i, j))
    })
  }
  const errors = nodes.flatMap((a, i) =>
    nodes.flatMap((b, j) => {
      if (i >= j) return []
      return [Math.abs(distanceS(a.coordinate, b.coordinate) * 1000 - rttMs(i, j)) / rttMs(i, j)]
    }),
  )
  return { mean: errors.reduce((a, b) => a + b, 0) / errors.length, max: Math.max(...errors) }
}

t.test('distance: space, heights, and adjustments that leave something', async (t) => {
  const a = at([-0.5, 1.3, 2.4])
  const b = at([1.2, -2.3, 3.4])
  t.ok(close(distanceS(a, a), 0))
  t.ok(close(distanceS(a, b), 4.104875150354758))
  t.ok(close(distanceS(b, a), distanceS(a, b)))
  t.ok(close(distanceS({ ...a, adjustment: -1e9 }, b), 4.104875150354758), 'nothing left: not counted')
  t.ok(close(distanceS({ ...a, adjustment: 0.1 }, { ...b, adjustment: 0.2 }), 4.404875150354758))
  t.ok(close(distanceS({ ...a, height: 0.7 }, { ...b, height: 0.1 }), 4.904875150354758))
})

t.test('a push moves along the line of both, and never leaves a height below the least', async (t) => {
  const random = seededRandom(1)
  const away = push(ORIGIN, 1, at([0, 1]), random)
  t.ok(close(away.vec[1] ?? 0, -1), 'away')
  t.ok(close(push(ORIGIN, -0.2, at([0, 1]), random).vec[1] ?? 0, 0.2), 'towards')
  const same = push(ORIGIN, 1, ORIGIN, random)
  t.ok(close(Math.hypot(...same.vec), 1), 'in some direction from the same place')
  t.equal(same.height, HEIGHT_MIN_S)
  t.ok(close(push(ORIGIN, 0.5, at([0, 1], { height: 0.2 }), random).height, 0.100015))
  t.equal(push(ORIGIN, -0.5, at([0, 1], { height: 0.2 }), random).height, HEIGHT_MIN_S)
})

t.test('a thousand answers of one peer at 100 ms', async (t) => {
  const node = new Vivaldi(seededRandom(2))
  const peer = at([0.05])
  for (let i = 0; i < 1000; i++) node.observe('peer', peer, 100)
  t.ok(Math.abs(distanceS(node.coordinate, peer) - 0.1) < 0.002, String(distanceS(node.coordinate, peer)))
  t.ok(node.coordinate.error < 0.1)
})

t.test('round trips of places on a line, on a grid and behind slow uplinks are found again', async (t) => {
  const line = settle((i, j) => 10 * Math.abs(i - j), 10)
  t.ok(line.mean < 0.03 && line.max < 0.2, `line ${JSON.stringify(line)}`)
  const grid = settle((i, j) => 20 * Math.hypot((i % 5) - (j % 5), Math.floor(i / 5) - Math.floor(j / 5)), 25)
  t.ok(grid.mean < 0.03 && grid.max < 0.2, `grid ${JSON.stringify(grid)}`)
  const split = settle((i, j) => (i % 2 === j % 2 ? 1 : 51), 25)
  t.ok(split.mean < 0.1, `two sites ${JSON.stringify(split)}`)
  const height = settle((i, j) => 5 + (i === 0 || j === 0 ? 100 : 0), 20)
  t.ok(height.mean < 0.1, `one slow uplink ${JSON.stringify(height)}`)
})

t.test('one late answer moves nothing: the median of three counts', async (t) => {
  const settled = () => {
    const node = new Vivaldi(seededRandom(3))
    for (let i = 0; i < 200; i++) node.observe('p', at([0.01]), 10)
    return node
  }
  const [late, usual] = [settled(), settled()]
  late.observe('p', at([0.01]), 5000)
  usual.observe('p', at([0.01]), 10)
  t.same(late.coordinate, usual.coordinate)
})

t.test('what no node can say is refused and moves nothing', async (t) => {
  const node = new Vivaldi(seededRandom(4))
  for (let i = 0; i < 20; i++) node.observe('p', at([0.01]), 10)
  const before = node.coordinate
  const rogues: Record<string, Coordinate> = {
    'not a number': at([Number.NaN]),
    'infinitely far': at([Number.POSITIVE_INFINITY]),
    'seconds away': at([11]),
    'three dimensions': { ...ORIGIN, vec: [0, 0, 0] },
    'height NaN': at([0], { height: Number.NaN }),
    'negative height': at([0], { height: -1 }),
    'adjustment NaN': at([0], { adjustment: Number.NaN }),
    'adjusted by a minute': at([0], { adjustment: 60 }),
    'error NaN': at([0], { error: Number.NaN }),
    'negative error': at([0], { error: -0.1 }),
    'error too large': at([0], { error: ERROR_MAX + 0.1 }),
  }
  for (const [name, rogue] of Object.entries(rogues)) {
    t.notOk(isValidCoordinate(rogue), name)
    t.notOk(node.observe('p', rogue, 10), name)
  }
  for (const rttMs of [Number.NaN, -1, 10_001, Number.POSITIVE_INFINITY]) {
    t.notOk(node.observe('p', at([0.01]), rttMs), `${rttMs} ms`)
  }
  t.equal(node.coordinate, before)
})

t.test('a peer that lies within the limits moves a place by 100 ms at most', async (t) => {
  const node = new Vivaldi(seededRandom(6))
  for (let i = 0; i < 50; i++) node.observe('p', at([0.01]), 10)
  const before = node.coordinate
  t.ok(node.observe('liar', at([10, 10, 10], { error: 0 }), 1))
  const moved = Math.hypot(...node.coordinate.vec.map((x, i) => x - (before.vec[i] ?? 0)))
  t.ok(moved > 0.09 && moved < 0.101, `${moved} s`)
})

t.test('the book: newest word, unknown places, the forgotten', async (t) => {
  const book = new CoordinateBook('me', seededRandom(7))
  t.equal(book.get('me'), null, 'has measured nothing')
  t.equal(book.rttMs('me', 'me'), null)
  book.heard('a', at([0.01]), 500, 1000)
  book.heard('a', at([0.02]), 600, 1000)
  t.equal(book.get('a')?.vec[0], 0.01, 'older news does not replace newer')
  book.heard('a', at([0.03]), 400, 1000)
  t.equal(book.get('a')?.vec[0], 0.03)
  t.same(book.entry('a', 1100)?.ageMs, 500)
  book.heard('b', ORIGIN, 0, 1000)
  t.equal(book.get('b'), null, 'has measured nothing')
  t.equal(book.rttMs('a', 'b'), null)
  t.equal(book.rttMs('a', 'nobody'), null)
  book.heard('c', at([0.05]), 0, 1000)
  t.ok(close(book.rttMs('a', 'c') ?? 0, 20))
  t.equal(book.rttMs('c', 'c'), 0)
  t.notOk(book.heard('d', at([99]), 0, 1000))
  t.equal(book.rejected, 1)
  t.equal(book.get('d'), null)
  book.answered('c', at([0.05]), null, 1000)
  t.equal(book.get('me'), null, 'an answer without a time measures nothing')
  book.answered('c', at([0.05]), 50, 1000)
  t.not(book.get('me'), null)
  t.equal(book.rttMs('me', 'me'), 0)
  book.forget('c')
  t.equal(book.get('c'), null)
})
