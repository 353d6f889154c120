import type { NetworkLimits } from './probe.ts'

/** Node's own value. */
const ATTEMPT_MS_MIN = 250

/**
 * For a socket to a name with several addresses, such as `localhost`: how long each but the last is waited for, a third of the time of
 * the run, so that a third one has its turn. After a stall of the agent timers come before sockets, so with Node's 250 ms a connection that has long been made would be
 * dropped for an address at which nobody listens.
 */
export function addressAttempts({ timeoutMs }: Pick<NetworkLimits, 'timeoutMs'>): {
  readonly autoSelectFamilyAttemptTimeout: number
} {
  return { autoSelectFamilyAttemptTimeout: Math.max(ATTEMPT_MS_MIN, Math.floor(timeoutMs / 3)) }
}
