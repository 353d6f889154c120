import {
  type Coordinate,
  distanceS,
  ERROR_MAX,
  isValidCoordinate,
  NEAR_S,
  ORIGIN,
  push,
  RTT_MAX_S,
  rawDistanceS,
} from './coordinate.ts'
import type { NodeId } from './types.ts'

/** How fast the error follows a measurement (Vivaldi's c_e), and the place (c_c). */
const ERROR_RATE = 0.25
const PLACE_RATE = 0.25
const ADJUSTMENT_WINDOW = 20
const LATENCY_WINDOW = 3
/** Pulls everything towards the origin with the square of the distance, so that the whole space does not drift off. */
const GRAVITY_RHO_S = 150
/** One measurement moves a place by no more, so that one peer that lies does not throw it across the space. */
const STEP_MAX_S = 0.1

/** The place of this node: corrected with every round trip that is measured. Pure; `random` answers in [0, 1). */
export class Vivaldi {
  readonly #random: () => number
  readonly #latencies = new Map<NodeId, number[]>()
  readonly #offsets: number[] = []
  #offsetAt = 0
  #coordinate = ORIGIN

  constructor(random: () => number) {
    this.#random = random
  }

  get coordinate(): Coordinate {
    return this.#coordinate
  }

  /**
   * `peer`, which says that it is at `theirs`, answered in `rttMs`. False if that cannot be used: a place or a time that no
   * node can have. A place of this node that is not valid any more starts again from the origin.
   */
  observe(peer: NodeId, theirs: Coordinate, rttMs: number): boolean {
    const rttS = rttMs / 1000
    if (!isValidCoordinate(theirs) || !(rttS >= 0 && rttS <= RTT_MAX_S)) return false
    const usual = Math.max(NEAR_S, this.#usualS(peer, rttS))
    this.#follow(theirs, usual)
    this.#adjust(theirs, usual)
    this.#coordinate = push(this.#coordinate, -gravity(this.#coordinate), ORIGIN, this.#random)
    if (!isValidCoordinate(this.#coordinate)) this.#coordinate = ORIGIN
    return true
  }

  /** The peer is gone: what was measured with it is of no use. */
  forget(peer: NodeId): void {
    this.#latencies.delete(peer)
  }

  /** Median of the last round trips with the peer: one that came late, for whatever reason, moves nothing. */
  #usualS(peer: NodeId, rttS: number): number {
    const last = [...(this.#latencies.get(peer) ?? []), rttS].slice(-LATENCY_WINDOW)
    this.#latencies.set(peer, last)
    return last.toSorted((a, b) => a - b)[Math.floor(last.length / 2)] ?? rttS
  }

  #follow(theirs: Coordinate, rttS: number): void {
    const own = this.#coordinate
    const distance = distanceS(own, theirs)
    const weight = own.error / Math.max(NEAR_S, own.error + theirs.error)
    const wrong = Math.abs(distance - rttS) / rttS
    const error = Math.min(ERROR_MAX, ERROR_RATE * weight * wrong + own.error * (1 - ERROR_RATE * weight))
    const force = PLACE_RATE * weight * (rttS - distance)
    const step = Math.min(STEP_MAX_S, Math.max(-STEP_MAX_S, force))
    this.#coordinate = push({ ...own, error }, step, theirs, this.#random)
  }

  /** Half of the mean of what the space was wrong by lately: the other half is the peers' own. */
  #adjust(theirs: Coordinate, rttS: number): void {
    this.#offsets[this.#offsetAt] = rttS - rawDistanceS(this.#coordinate, theirs)
    this.#offsetAt = (this.#offsetAt + 1) % ADJUSTMENT_WINDOW
    const sum = this.#offsets.reduce((a, b) => a + b, 0)
    this.#coordinate = { ...this.#coordinate, adjustment: sum / (2 * ADJUSTMENT_WINDOW) }
  }
}

function gravity(coordinate: Coordinate): number {
  return (distanceS(ORIGIN, coordinate) / GRAVITY_RHO_S) ** 2
}
