import type { CheckStatus } from '../catalog/types.ts'
import type { CheckThresholds } from './types.ts'

/** Counts results in a row and says when they are enough to be believed. Pure. */
export class ThresholdCounter {
  readonly #thresholds: CheckThresholds
  #successes = 0
  #failures = 0

  constructor(thresholds: CheckThresholds) {
    this.#thresholds = thresholds
  }

  /**
   * Takes the result of a run (passing and warning are successes) and answers the status to show for it; null if the
   * shown one stays because too few results in a row speak against it. A failure never makes the status better.
   * @param shown the status that is shown now
   */
  judge(status: CheckStatus, shown: CheckStatus): CheckStatus | null {
    const { successBeforePassing, failuresBeforeCritical } = this.#thresholds
    if (status !== 'critical') {
      this.#failures = 0
      this.#successes += 1
      return this.#successes >= successBeforePassing ? status : null
    }
    this.#successes = 0
    this.#failures += 1
    if (this.#failures >= failuresBeforeCritical || shown === 'critical') return 'critical'
    const beforeWarning = this.#thresholds.failuresBeforeWarning || failuresBeforeCritical
    return this.#failures >= beforeWarning ? 'warning' : null
  }
}
