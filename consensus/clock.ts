/** Time as the drivers see it; injected so that tests can move it. */
export interface Clock {
  /** Monotonic milliseconds: for timeouts and leases. */
  now(): number
  /** Unix milliseconds: stamped on log entries, never compared between nodes. */
  wall(): number
}

/** The clocks of this machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
}
