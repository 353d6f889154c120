import { InvalidArgumentError } from 'commander'
import { parseGoDuration } from '../../discovery/health/duration.ts'

const UINT64_MAX = 2n ** 64n - 1n

/** Text that is not empty. @throws InvalidArgumentError, as all of these do; commander makes it exit code 64. */
export function nonEmpty(value: string): string {
  if (value === '') throw new InvalidArgumentError('It must not be empty.')
  return value
}

/** One value of an option that may be given several times. */
export function repeated(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, nonEmpty(value)]
}

/** The digits of a number of 64 bits. */
export function uint64(value: string): string {
  if (!isUint64(value)) throw new InvalidArgumentError(`It must be a whole number 0-${UINT64_MAX}.`)
  return value
}

/** True for the digits of a number of 64 bits. */
export function isUint64(text: string): boolean {
  return /^\d{1,20}$/.test(text) && BigInt(text) <= UINT64_MAX
}

/** A span of time such as "15s" or "1m30s" within bounds, in milliseconds. */
export function duration(min: string, max: string): (value: string) => number {
  const [minMs, maxMs] = [parseGoDuration(min), parseGoDuration(max)]
  return (value) => {
    const refusal = new InvalidArgumentError(`It must be a duration ${min}-${max}, such as 15s or 1m30s.`)
    let ms: number
    try {
      ms = parseGoDuration(value)
    } catch {
      throw refusal
    }
    if (ms < minMs || ms > maxMs) throw refusal
    return ms
  }
}
