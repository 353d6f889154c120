import fc from 'fast-check'
import t from 'tap'
import { DurationError, formatGoDuration, parseGoDuration } from '../../../discovery/health/duration.ts'

t.test('reads what Go reads', (t) => {
  const cases: readonly [string, number][] = [
    ['0', 0],
    ['-0', 0],
    ['10s', 10_000],
    ['1m30s', 90_000],
    ['1h0m0s', 3_600_000],
    ['+5s', 5_000],
    ['-1.5h', -5_400_000],
    ['.5s', 500],
    ['1.s', 1_000],
    ['100ms', 100],
    ['10us', 0.01],
    ['10µs', 0.01],
    ['10μs', 0.01],
    ['1ns', 0.000_001],
    ['3h2m1.5s', 10_921_500],
  ]
  for (const [text, ms] of cases) t.equal(parseGoDuration(text), ms, text)
  t.end()
})

t.test('refuses what Go refuses, in its words', (t) => {
  const cases: readonly [string, string][] = [
    ['', 'time: invalid duration ""'],
    ['-', 'time: invalid duration "-"'],
    ['.s', 'time: invalid duration ".s"'],
    ['x', 'time: invalid duration "x"'],
    ['s', 'time: invalid duration "s"'],
    ['10', 'time: missing unit in duration "10"'],
    ['1d', 'time: unknown unit "d" in duration "1d"'],
    ['1S', 'time: unknown unit "S" in duration "1S"'],
    ['1 s', 'time: unknown unit " s" in duration "1 s"'],
    ['9999999h', 'time: invalid duration "9999999h"'],
    ['1e3s', 'time: unknown unit "e" in duration "1e3s"'],
  ]
  for (const [text, message] of cases) t.throws(() => parseGoDuration(text), new DurationError(message), text)
  t.end()
})

t.test('writes as Go writes', (t) => {
  const cases: readonly [number, string][] = [
    [0, '0s'],
    [10_000, '10s'],
    [60_000, '1m0s'],
    [90_000, '1m30s'],
    [1_500, '1.5s'],
    [200, '200ms'],
    [1.5, '1.5ms'],
    [0.1, '100µs'],
    [0.000_001, '1ns'],
    [-1_000, '-1s'],
    [86_400_000, '24h0m0s'],
    [3_600_500, '1h0m0.5s'],
  ]
  for (const [ms, text] of cases) t.equal(formatGoDuration(ms), text)
  t.end()
})

t.test('what is written reads back the same', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: -1e12, max: 1e12 }), (ms) => parseGoDuration(formatGoDuration(ms)) === ms),
  )
  t.end()
})

t.test('any text gives a number or a DurationError', (t) => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        return Number.isFinite(parseGoDuration(text))
      } catch (error) {
        return error instanceof DurationError
      }
    }),
  )
  t.end()
})
