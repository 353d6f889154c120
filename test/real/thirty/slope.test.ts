import t from 'tap'
import { isFlat, slopeOf } from './slope.ts'

const points = (value: (i: number) => number) => Array.from({ length: 30 }, (_, i) => [i, value(i)] as const)

t.test('a steady rise is found, whatever it is hidden in', async (t) => {
  const noise = (i: number) => ((i * 7919) % 13) - 6
  const leak = slopeOf(points((i) => 100 + i + noise(i)))
  t.ok(Math.abs(leak.rise - 29) < 6, `${leak.rise}`)
  t.notOk(isFlat(leak, 0.05, 2))
  t.ok(isFlat(slopeOf(points((i) => 100 + noise(i))), 0.05, 2), 'noise alone is flat')
  t.ok(isFlat(slopeOf(points((i) => 100 - i)), 0.05, 2), 'what falls is flat')
})

t.test('a rise that is too small to matter is flat', async (t) => {
  t.ok(isFlat(slopeOf(points((i) => 1000 + i)), 0.05, 2), '3 %')
  t.ok(isFlat(slopeOf(points((i) => (i < 15 ? 4 : 5))), 0.05, 2), 'one timer more')
  t.notOk(isFlat(slopeOf(points((i) => 4 + i / 5)), 0.05, 2), 'six timers more')
})

t.test('constant and few values do not rise', async (t) => {
  t.strictSame(slopeOf(points(() => 5)), { mean: 5, rise: 0, significance: 0 })
  t.equal(
    slopeOf([
      [0, 1],
      [1, 900],
    ]).rise,
    0,
  )
})
