/** A timer that was armed. */
export interface Timer {
  cancel(): void
}

/** The clock of the check runner. Tests put their own in its place. */
export interface Timers {
  /** Milliseconds on a monotonic clock. */
  now(): number
  /** Calls `fire` once after `delayMs`. */
  after(delayMs: number, fire: () => void): Timer
}

/** Node clamps longer delays to 1 ms. */
const DELAY_MS_MAX = 2 ** 31 - 1

/** The machine's own monotonic clock. Delays above 24 days are cut to that. */
export const systemTimers: Timers = {
  now: () => performance.now(),
  after(delayMs, fire) {
    const handle = setTimeout(fire, Math.min(Math.max(delayMs, 0), DELAY_MS_MAX))
    return { cancel: () => clearTimeout(handle) }
  },
}
