/** How fast failed attempts may follow each other. */
export interface BackoffOptions {
  readonly firstMs: number
  readonly maxMs: number
}

/** Doubles the pause after each failure in a row. */
export class Backoff {
  readonly #options: BackoffOptions
  #failures = 0
  #readyAtMs = 0

  constructor(options: BackoffOptions) {
    this.#options = options
  }

  /** Milliseconds until the next attempt is allowed; 0 when it is. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.#readyAtMs - nowMs)
  }

  /** Records a failure at this time. */
  failed(nowMs: number): void {
    const { firstMs, maxMs } = this.#options
    // Past 30 doublings every start is beyond every maximum; the bound keeps the number finite.
    this.#readyAtMs = nowMs + Math.min(maxMs, firstMs * 2 ** Math.min(this.#failures, 30))
    this.#failures += 1
  }

  /** Records a success: the next failure starts from the first pause. */
  reset(): void {
    this.#failures = 0
    this.#readyAtMs = 0
  }
}
