import type { Clock } from './clock.ts'

/** A point in time on both clocks of this machine. */
export interface Moment {
  readonly now: number
  readonly wall: number
}

/**
 * The time for which a quorum has promised to elect nobody else, so that the leader may answer reads without asking again
 * (thesis 6.4.1). Counted from before the quorum was asked, on the monotonic clock; the wall clock must agree, because the
 * monotonic one stands still while a machine is suspended. Those who promised count ticks of their own timers, so the lease
 * is half as long as their promise: neither drift nor a timer that fires early can make it outlive that.
 */
export class LeaderLease {
  readonly #clock: Clock
  readonly #validMs: number
  #since: Moment | null = null

  constructor(promisedMs: number, clock: Clock) {
    this.#validMs = promisedMs / 2
    this.#clock = clock
  }

  moment(): Moment {
    return { now: this.#clock.now(), wall: this.#clock.wall() }
  }

  /** A quorum granted a lease after `since`. */
  extend(since: Moment): void {
    if (this.#since === null || since.now > this.#since.now) this.#since = since
  }

  /** The promise no longer holds, or no longer for this node: it leads no more, hands over, or others vote now. */
  drop(): void {
    this.#since = null
  }

  get isValid(): boolean {
    if (this.#since === null) return false
    const { now, wall } = this.moment()
    const elapsedWall = wall - this.#since.wall
    return now - this.#since.now < this.#validMs && elapsedWall >= 0 && elapsedWall < this.#validMs
  }
}
