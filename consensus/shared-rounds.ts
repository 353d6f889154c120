/**
 * Lets many callers share one request for something that must be asked for after each of them came: those that come while
 * a round is under way share the next one, because the present one began before them.
 */
export class SharedRounds<T> {
  readonly #ask: () => Promise<T>
  #round: Promise<T> | null = null
  #next: Promise<T> | null = null

  constructor(ask: () => Promise<T>) {
    this.#ask = ask
  }

  /** The answer to a request that was made after this call. @throws what the request throws */
  join(): Promise<T> {
    if (this.#round === null) {
      this.#round = this.#ask().finally(() => {
        this.#round = null
      })
      return this.#round
    }
    const begin = () => {
      this.#next = null
      return this.join()
    }
    this.#next ??= this.#round.then(begin, begin)
    return this.#next
  }
}
