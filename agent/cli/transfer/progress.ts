/** What progress lines work with. */
export interface ProgressOptions {
  readonly everyMs: number
  /** A monotonic clock in milliseconds. */
  readonly now: () => number
  readonly print: (line: string) => void
}

/** Says how far a long work is, at most once every `everyMs`; a work that takes less says nothing. */
export class ProgressLines {
  readonly #options: ProgressOptions
  #lastAt: number

  constructor(options: ProgressOptions) {
    this.#options = options
    this.#lastAt = options.now()
  }

  /** The work is at `line` now. */
  at(line: string): void {
    const { everyMs, now, print } = this.#options
    if (now() - this.#lastAt < everyMs) return
    this.#lastAt = now()
    print(line)
  }
}
