import type { RaftOptions } from './options.ts'

/**
 * The ticks that decide when a node campaigns and when it helps nobody to: how long ago it heard its leader, and for how long
 * it promised a leader its vote.
 */
export class ElectionTimer {
  readonly #electionTicks: number
  readonly #random: () => number
  #elapsed = 0
  #timeout = 0
  /** Evidence from outside says that the leader is gone: its lease no longer protects it here. */
  #leaderLost = false
  /** Ticks for which this node votes for nobody: it granted the leader a lease, or may have before it was started. */
  #leaseTicks: number

  constructor(options: Pick<RaftOptions, 'electionTicks' | 'random'>, mayHaveGranted: boolean) {
    this.#electionTicks = options.electionTicks
    this.#random = options.random
    this.#leaseTicks = mayHaveGranted ? options.electionTicks : 0
  }

  tick(): void {
    this.#elapsed++
    if (this.#leaseTicks > 0) this.#leaseTicks--
  }

  /** Begins anew with another timeout: the role or the term changed. */
  reset(): void {
    this.#leaderLost = false
    this.#elapsed = 0
    this.#timeout = this.#electionTicks + Math.floor(this.#random() * this.#electionTicks)
  }

  /** Begins anew. */
  restart(): void {
    this.#elapsed = 0
  }

  heardLeader(): void {
    this.#elapsed = 0
    this.#leaderLost = false
  }

  /** The leader is said to be gone: the timeout is a few ticks away at the most. */
  leaderLost(): void {
    this.#leaderLost = true
    const soon = this.#timeout - 1 - Math.floor(this.#random() * 4)
    this.#elapsed = Math.max(this.#elapsed, soon)
  }

  /** True if it is time to campaign. */
  get isDue(): boolean {
    return this.#elapsed >= this.#timeout
  }

  /** True once the shortest timeout has passed: in this time a leader must have heard a quorum. */
  get isShortestOver(): boolean {
    return this.#elapsed >= this.#electionTicks
  }

  /** True if a leader was heard so recently that nobody should depose it (thesis 4.2.3). */
  get leaderHolds(): boolean {
    return !this.#leaderLost && !this.isShortestOver
  }

  /** Promises the leader to vote for nobody for a while. */
  grantLease(): void {
    this.#leaseTicks = this.#electionTicks
  }

  /** True while a promise may hold. */
  get leaseGranted(): boolean {
    return this.#leaseTicks > 0
  }
}
