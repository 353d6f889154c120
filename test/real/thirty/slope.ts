/** How values change over time, by least squares. */
export interface Slope {
  readonly mean: number
  /** By how much the fitted line rises from the first to the last point. */
  readonly rise: number
  /** The rise in standard errors of itself: below 3 it may be chance. */
  readonly significance: number
}

/** The line through points [time, value]. With fewer than three points nothing rises. */
export function slopeOf(points: readonly (readonly [at: number, value: number])[]): Slope {
  const n = points.length
  const mean = points.reduce((sum, [, value]) => sum + value, 0) / n
  if (n < 3) return { mean, rise: 0, significance: 0 }
  const middle = points.reduce((sum, [at]) => sum + at, 0) / n
  const spread = points.reduce((sum, [at]) => sum + (at - middle) ** 2, 0)
  const slope = points.reduce((sum, [at, value]) => sum + (at - middle) * (value - mean), 0) / spread
  const rest = points.reduce((sum, [at, value]) => sum + (value - mean - slope * (at - middle)) ** 2, 0)
  const error = Math.sqrt(rest / (n - 2) / spread)
  const [first = [0]] = points
  const [last = [0]] = points.slice(-1)
  const rise = slope * (last[0] - first[0])
  return {
    mean,
    rise,
    significance: error === 0 ? (slope === 0 ? 0 : Number.POSITIVE_INFINITY) : slope / error,
  }
}

/** True unless it rises by more than chance explains and by more than `share` of its mean and `least`. */
export function isFlat({ mean, rise, significance }: Slope, share: number, least: number): boolean {
  return significance < 3 || rise <= Math.max(mean * share, least)
}
