import t from 'tap'
import type { CheckStatus } from '../../../discovery/catalog/types.ts'
import { ThresholdCounter } from '../../../discovery/health/thresholds.ts'

/** The statuses shown for results given by their first letters; "-" = the shown one stays. */
function shown(
  [successBeforePassing, failuresBeforeWarning, failuresBeforeCritical]: [number, number, number],
  results: string,
): string {
  const counter = new ThresholdCounter({
    successBeforePassing,
    failuresBeforeWarning,
    failuresBeforeCritical,
  })
  const statuses: Record<string, CheckStatus> = { p: 'passing', w: 'warning', c: 'critical' }
  return [...results].map((letter) => counter.judge(statuses[letter] ?? 'critical')?.[0] ?? '-').join('')
}

t.test('without thresholds every result counts', async (t) => {
  t.equal(shown([0, 0, 0], 'pcwpc'), 'pcwpc')
  t.equal(shown([1, 0, 1], 'pcwpc'), 'pcwpc')
})

t.test('successes before passing are counted in a row, warnings among them', async (t) => {
  t.equal(shown([3, 0, 0], 'pppp'), '--pp')
  t.equal(shown([3, 0, 0], 'ppcppp'), '--c--p')
  t.equal(shown([3, 0, 0], 'pwwp'), '--wp')
})

t.test('failures before critical are counted in a row and do not warn by themselves', async (t) => {
  t.equal(shown([0, 0, 3], 'cccc'), '--cc')
  t.equal(shown([0, 0, 3], 'ccpccc'), '--p--c')
})

t.test('failures before warning come first', async (t) => {
  t.equal(shown([0, 1, 3], 'cccc'), 'wwcc')
  t.equal(shown([2, 2, 4], 'ccccpp'), '-wwc-p')
})
