/** Time as the holder of a lock counts it: it never goes back, and an adjusted wall clock does not touch it. */
export interface Clock {
  /** Milliseconds since some moment. */
  now(): number
  /** Calls `run` once after this time. Answers how to call that off. */
  after(ms: number, run: () => void): () => void
}

/** The monotonic clock of this machine. */
export const MONOTONIC_CLOCK: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
}
