import type { NodeId, SwimTimings } from './types.ts'

/**
 * How long a suspicion still runs: it starts at `maxMs` and falls logarithmically with independent confirmations down to
 * `minMs` at `k` of them (Lifeguard, arXiv 1707.00788 §IV-B). Negative once it is over.
 */
export function remainingSuspicionMs(
  confirmations: number,
  k: number,
  elapsedMs: number,
  minMs: number,
  maxMs: number,
): number {
  const fraction = k < 1 ? 1 : Math.log(confirmations + 1) / Math.log(k + 1)
  return Math.max(minMs, Math.floor(maxMs - fraction * (maxMs - minMs))) - elapsedMs
}

/** Shortest suspicion in a cluster of `n`: time enough for the news to reach the suspect and for its answer to come back. */
export function suspicionMinMs(timings: SwimTimings, n: number): number {
  return timings.suspicionMult * Math.max(1, Math.log10(Math.max(1, n))) * timings.probeIntervalMs
}

/** How often one deadline moves because this process stood still. One that is late all the time still comes to a verdict. */
export const STALLS_FORGIVEN_MAX = 8

/** An open suspicion: who confirmed it, and when it ends. */
export class Suspicion {
  readonly #k: number
  readonly #minMs: number
  readonly #maxMs: number
  readonly #lookMs: number
  readonly #accusers: Set<NodeId>
  #concludedAt: number | null = null
  #looked = false
  #shifts = 0
  #startedAt: number

  /**
   * @param k confirmations expected; 0 makes the suspicion last `minMs` whatever comes.
   * @param lookMs how long before the end this node looks at the suspect once more: nobody is given up on hearsay.
   */
  constructor(from: NodeId, now: number, k: number, minMs: number, maxMs: number, lookMs = 0) {
    this.#accusers = new Set([from])
    this.#startedAt = now
    this.#k = k
    this.#minMs = minMs
    this.#maxMs = maxMs
    this.#lookMs = lookMs
  }

  /** Confirmations beyond the first accusation. */
  get confirmations(): number {
    return this.#accusers.size - 1
  }

  /** Counts an accuser. True if it is new and still wanted, so that the accusation is worth passing on. */
  confirm(from: NodeId): boolean {
    if (this.confirmations >= this.#k || this.#accusers.has(from)) return false
    this.#accusers.add(from)
    return true
  }

  /**
   * Somebody else gave the suspect up: it has the shortest time in which it can still refute, and is looked at once more, but
   * has no longer than that. True if that is new.
   */
  conclude(now: number): boolean {
    if (this.#concludedAt !== null) return false
    this.#concludedAt = now
    this.#looked = false
    return true
  }

  /** When the suspect is given up. */
  get deadline(): number {
    const end =
      this.#startedAt + remainingSuspicionMs(this.confirmations, this.#k, 0, this.#minMs, this.#maxMs)
    if (this.#concludedAt === null) return end
    return Math.min(end, Math.max(this.#startedAt + this.#minMs, this.#concludedAt + this.#lookMs))
  }

  /** When something is due: the last look, then the end. */
  get nextAt(): number {
    return this.#looked ? this.deadline : this.deadline - this.#lookMs
  }

  /** True once, when the last look is due. */
  takeLook(now: number): boolean {
    if (this.#looked || now < this.deadline - this.#lookMs) return false
    this.#looked = true
    return true
  }

  /** This process stood still for `ms`: the suspect gets that time back, but not for ever if the process is always late. */
  shift(ms: number): void {
    if (this.#shifts >= STALLS_FORGIVEN_MAX) return
    this.#shifts++
    this.#startedAt += ms
    if (this.#concludedAt !== null) this.#concludedAt += ms
  }
}
