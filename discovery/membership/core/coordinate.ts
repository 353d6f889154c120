/**
 * A place in Vivaldi's space (Dabek et al., SIGCOMM 2004, with a height and serf's adjustment term): the distance of two
 * places estimates the round trip between two nodes that never measured it. Everything in seconds but `error`.
 */
export interface Coordinate {
  /** Eight dimensions. */
  readonly vec: readonly number[]
  /** The part of every round trip that no direction explains: the node's own way into the network. */
  readonly height: number
  /** Corrects the distance where the space does not fit; may be negative. */
  readonly adjustment: number
  /** How wrong the place is, relative to a round trip: 1.5 knows nothing, 0 is exact. */
  readonly error: number
}

export const DIMENSIONS = 8
/** Confidence of a node that measured nothing. */
export const ERROR_MAX = 1.5
export const HEIGHT_MIN_S = 1e-5
/** No round trip is longer; neither is any part of a place farther out. */
export const RTT_MAX_S = 10
/** Below this a distance has no direction. */
export const NEAR_S = 1e-6

/** Where everybody starts. */
export const ORIGIN: Coordinate = Object.freeze({
  vec: Object.freeze(new Array<number>(DIMENSIONS).fill(0)),
  height: HEIGHT_MIN_S,
  adjustment: 0,
  error: ERROR_MAX,
})

/** False for what no node that follows the rules can have: other dimensions, NaN, places seconds away from everything. */
export function isValidCoordinate({ vec, height, adjustment, error }: Coordinate): boolean {
  return (
    vec.length === DIMENSIONS &&
    vec.every((x) => Math.abs(x) <= RTT_MAX_S) &&
    height >= 0 &&
    height <= RTT_MAX_S &&
    Math.abs(adjustment) <= RTT_MAX_S &&
    error >= 0 &&
    error <= ERROR_MAX
  )
}

/** True once the place was corrected by measurements: until then a distance to it says nothing. */
export function isPlaced(coordinate: Coordinate): boolean {
  return coordinate.error < ERROR_MAX
}

/** Estimated round trip in seconds. The adjustments count only as long as they leave something. */
export function distanceS(a: Coordinate, b: Coordinate): number {
  const raw = rawDistanceS(a, b)
  const adjusted = raw + a.adjustment + b.adjustment
  return adjusted > 0 ? adjusted : raw
}

/** Distance in the space alone, heights included. */
export function rawDistanceS(a: Coordinate, b: Coordinate): number {
  return Math.hypot(...difference(a.vec, b.vec)) + a.height + b.height
}

/** `a` pushed away from `b` by `force` seconds, towards it if negative. In a random direction where they coincide. */
export function push(a: Coordinate, force: number, b: Coordinate, random: () => number): Coordinate {
  const away = difference(a.vec, b.vec)
  const apart = Math.hypot(...away)
  const unit = apart > NEAR_S ? away.map((x) => x / apart) : randomUnit(random)
  const vec = a.vec.map((x, i) => x + (unit[i] ?? 0) * force)
  if (apart <= NEAR_S) return { ...a, vec }
  const height = Math.max(HEIGHT_MIN_S, ((a.height + b.height) * force) / apart + a.height)
  return { ...a, vec, height }
}

function difference(a: readonly number[], b: readonly number[]): number[] {
  return a.map((x, i) => x - (b[i] ?? 0))
}

function randomUnit(random: () => number): number[] {
  const drawn = Array.from({ length: DIMENSIONS }, () => random() - 0.5)
  const length = Math.hypot(...drawn)
  if (length > NEAR_S) return drawn.map((x) => x / length)
  return drawn.map((_, i) => (i === 0 ? 1 : 0))
}
