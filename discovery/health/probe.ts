import type { CheckStatus } from '../catalog/types.ts'

/** What one run of a check found. */
export interface ProbeResult {
  readonly status: CheckStatus
  readonly output: string
}

/** Most characters of an output that are kept (Consul's default `OutputMaxSize`). */
export const OUTPUT_CHARS_MAX = 4096

/** The first `OUTPUT_CHARS_MAX` characters, never half of a surrogate pair. */
export function cutOutput(output: string): string {
  const text = output.length > OUTPUT_CHARS_MAX ? output.slice(0, OUTPUT_CHARS_MAX) : output
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
