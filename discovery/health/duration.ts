/** Text that is not a Go duration. The message follows Go's `time.ParseDuration`, which clients show to their users. */
export class DurationError extends Error {
  readonly code = 'HLT_BAD_DURATION'

  constructor(message: string) {
    super(message)
    this.name = 'DurationError'
  }
}

// Beyond 104 days nanoseconds no longer fit a double exactly: hence bigint.
const NANOSECONDS: ReadonlyMap<string, bigint> = new Map([
  ['ns', 1n],
  ['us', 1_000n],
  ['µs', 1_000n],
  ['μs', 1_000n],
  ['ms', 1_000_000n],
  ['s', 1_000_000_000n],
  ['m', 60_000_000_000n],
  ['h', 3_600_000_000_000n],
])

/** Go keeps durations in an int64 of nanoseconds. */
const NANOSECONDS_MAX = 2n ** 63n

/** Digits of a whole number that can still be in range, and of a fraction that can still matter. */
const DIGITS_MAX = 19

/**
 * Reads a duration as Go's `time.ParseDuration` does: an optional sign and a sum of decimal numbers, each with a unit
 * (ns, us, µs, ms, s, m, h), such as "1h15m30.5s"; "0" needs no unit.
 * @returns milliseconds, with a fraction for anything finer.
 * @throws DurationError with Go's wording.
 */
export function parseGoDuration(text: string): number {
  const invalid = () => new DurationError(`time: invalid duration ${JSON.stringify(text)}`)
  const sign = text.startsWith('-') ? -1 : 1
  let rest = /^[+-]/.test(text) ? text.slice(1) : text
  if (rest === '0') return 0
  if (rest === '') throw invalid()

  let nanoseconds = 0n
  while (rest !== '') {
    const [part, digits = '', fraction = ''] = /^([0-9]*)(?:\.([0-9]*))?/.exec(rest) ?? ['']
    if (digits === '' && fraction === '') throw invalid()
    rest = rest.slice(part.length)

    const unit = /^[^0-9.]*/.exec(rest)?.[0] ?? ''
    if (unit === '') throw new DurationError(`time: missing unit in duration ${JSON.stringify(text)}`)
    const scale = NANOSECONDS.get(unit)
    if (scale === undefined) {
      throw new DurationError(
        `time: unknown unit ${JSON.stringify(unit)} in duration ${JSON.stringify(text)}`,
      )
    }
    const whole = digits.replace(/^0+/, '')
    if (whole.length > DIGITS_MAX) throw invalid()
    const decimals = fraction.slice(0, DIGITS_MAX)
    nanoseconds += BigInt(whole) * scale + (BigInt(decimals) * scale) / 10n ** BigInt(decimals.length)
    if (nanoseconds >= NANOSECONDS_MAX) throw invalid()
    rest = rest.slice(unit.length)
  }
  if (nanoseconds === 0n) return 0
  return sign * (Number(nanoseconds / 1_000_000n) + Number(nanoseconds % 1_000_000n) / 1e6)
}

/**
 * Writes a duration as Go's `Duration.String` does: "0s", "100ms", "1.5s", "1m30s", "24h0m0s".
 * @param ms milliseconds; fractions finer than a nanosecond are rounded off.
 */
export function formatGoDuration(ms: number): string {
  const whole = Math.trunc(Math.abs(ms))
  const nanoseconds = BigInt(whole) * 1_000_000n + BigInt(Math.round((Math.abs(ms) - whole) * 1e6))
  if (nanoseconds === 0n) return '0s'
  const sign = ms < 0 ? '-' : ''
  if (nanoseconds < 1_000n) return `${sign}${nanoseconds}ns`
  if (nanoseconds < 1_000_000n) return `${sign}${decimal(nanoseconds, 1_000n)}µs`
  if (nanoseconds < 1_000_000_000n) return `${sign}${decimal(nanoseconds, 1_000_000n)}ms`

  const minutes = nanoseconds / 60_000_000_000n
  const seconds = `${decimal(nanoseconds % 60_000_000_000n, 1_000_000_000n)}s`
  if (minutes === 0n) return `${sign}${seconds}`
  if (minutes < 60n) return `${sign}${minutes}m${seconds}`
  return `${sign}${minutes / 60n}h${minutes % 60n}m${seconds}`
}

/** `nanoseconds / unit` without trailing zeros. `unit` is a power of ten. */
function decimal(nanoseconds: bigint, unit: bigint): string {
  const fraction = String(nanoseconds % unit)
    .padStart(String(unit).length - 1, '0')
    .replace(/0+$/, '')
  return fraction === '' ? String(nanoseconds / unit) : `${nanoseconds / unit}.${fraction}`
}
