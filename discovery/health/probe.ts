import type { CheckStatus } from '../catalog/types.ts'
import { formatGoDuration } from './duration.ts'
import type { Names } from './name-lookup.ts'

/** What one run of a check found. */
export interface ProbeResult {
  readonly status: CheckStatus
  readonly output: string
}

/** What a run is given. */
export interface ProbeLimits {
  /** Ends the run. Its reason is a {@link ProbeTimeoutError} when the time is up. */
  readonly signal: AbortSignal
  /** After how long the signal ends it, in milliseconds. */
  readonly timeoutMs: number
  /** Characters of output worth collecting. */
  readonly outputMax: number
}

/** What a run that asks something over the network is given. */
export interface NetworkLimits extends ProbeLimits {
  /** Looks up the name of the target. */
  readonly names: Names
}

/** Most characters of an output that are kept (Consul's default `OutputMaxSize`). */
export const OUTPUT_CHARS_MAX = 4096

/** The timeout of a check is over. */
export class ProbeTimeoutError extends Error {
  readonly code = 'HLT_TIMEOUT'
  readonly limitMs: number

  constructor(limitMs: number) {
    super(`no answer within ${formatGoDuration(limitMs)}`)
    this.name = 'ProbeTimeoutError'
    this.limitMs = limitMs
  }
}

/** The first `max` characters, never half of a surrogate pair. */
export function cutOutput(output: string, max: number = OUTPUT_CHARS_MAX): string {
  const text = output.length > max ? output.slice(0, max) : output
  if (text.isWellFormed()) return text
  const last = text.charCodeAt(text.length - 1)
  return (last >= 0xd800 && last <= 0xdbff ? text.slice(0, -1) : text).toWellFormed()
}

/** The reason of a failed connection in a few words, from Node's error. */
export function reason(error: unknown): string {
  // A refused "localhost" is one error per address (happy eyeballs) with an empty message of its own.
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(reason).join(', ')
  return error instanceof Error ? error.message : String(error)
}

/** Exit codes as Consul reads them: 0 passing, 1 warning, anything else critical. */
export function exitStatus(code: number | null): CheckStatus {
  if (code === 0) return 'passing'
  return code === 1 ? 'warning' : 'critical'
}
