import t from 'tap'
import type { CheckStatus } from '../../../discovery/catalog/types.ts'
import { ThresholdCounter } from '../../../discovery/health/thresholds.ts'

/** The statuses shown for results given by their first letters; "-" = the one of before, at first passing, stays. */
function shown(
  [successBeforePassing, failuresBeforeWarning, failuresBeforeCritical]: [number, number, number],
  results: string,
  before: CheckStatus = 'passing',
): string {
  const counter = new ThresholdCounter({
    successBeforePassing,
    failuresBeforeWarning,
    failuresBeforeCritical,
  })
  const statuses: Record<string, CheckStatus> = { p: 'passing', w: 'warning', c: 'critical' }
  let showing = before
  return [...results]
    .map((letter) => {
      const next = counter.judge(statuses[letter] ?? 'critical', showing)
      showing = next ?? showing
      return next?.[0] ?? '-'
    })
    .join('')
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

t.test('a failure makes no status better', async (t) => {
  t.equal(shown([0, 1, 3], 'ccccpc', 'critical'), 'ccccpw')
  t.equal(shown([2, 1, 3], 'cpcpp', 'critical'), 'c-c-p')
  t.equal(shown([0, 0, 3], 'cw', 'critical'), 'cw', 'a result that is no failure does')
})
