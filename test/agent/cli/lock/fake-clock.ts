import type { Clock } from '../../../../agent/cli/lock/clock.ts'

/** A clock that stands still until it is told to go on. */
export class FakeClock implements Clock {
  #now: number
  readonly #timers = new Set<{ readonly at: number; readonly run: () => void }>()

  constructor(now = 0) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Goes on by this time; each timer runs at its moment. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#now = Math.max(this.#now, next.at)
      this.#timers.delete(next)
      next.run()
    }
    this.#now = end
  }

  /** As after a pause of the process: the time has passed, and then every timer that is due runs. */
  jump(ms: number): void {
    this.#now += ms
    this.advance(0)
  }

  #next(end: number): { readonly at: number; readonly run: () => void } | undefined {
    return [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
  }
}
