const SCORE_MAX = 8

/**
 * How much this node distrusts itself (Lifeguard's local health multiplier): 0 is healthy, 8 the worst. Probe interval
 * and timeout are stretched by it, so that a slow node does not call the others dead.
 */
export class Awareness {
  #score = 0

  get score(): number {
    return this.#score
  }

  apply(delta: number): void {
    this.#score = Math.min(SCORE_MAX, Math.max(0, this.#score + delta))
  }

  /** `ms` stretched by the score. */
  scale(ms: number): number {
    return ms * (this.#score + 1)
  }
}
