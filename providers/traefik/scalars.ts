import { parseGoDuration } from '../../discovery/health/duration.ts'
import type { ScalarSchema } from './schema-node.ts'

/** Go keeps durations in an int64 of nanoseconds. */
const SECONDS_MAX = 2 ** 63 / 1e9

/** Go's `strconv.ParseBool`; undefined if it is none. */
export function parseBool(text: string): boolean | undefined {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false
  return undefined
}

/** A base 10 whole number that a double holds exactly; undefined if it is none. */
export function parseInteger(text: string): number | undefined {
  if (!/^[+-]?[0-9]+$/.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}

/** A Go duration, or a whole number of seconds, in milliseconds; undefined if it is neither. */
export function parseDuration(text: string): number | undefined {
  const seconds = parseInteger(text)
  if (seconds !== undefined) return Math.abs(seconds) < SECONDS_MAX ? seconds * 1000 : undefined
  try {
    return parseGoDuration(text)
  } catch {
    return undefined
  }
}

/** What a value of each kind looks like, for messages. */
export const ALLOWED: Readonly<Record<ScalarSchema['kind'], string>> = {
  string: 'text',
  bool: 'true or false',
  int: 'a whole number',
  duration: 'a duration such as 10s or 1m30s, or a number of seconds',
}
