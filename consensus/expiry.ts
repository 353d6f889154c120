import type { Logger } from 'pino'
import type { Clock } from './clock.ts'
import type { LogRecord } from './state/codec.ts'
import type { StateMachine } from './state/state-machine.ts'
import type { Command } from './state/types.ts'

/** Ends what nobody keeps alive, on the leader only. Times are milliseconds of the monotonic clock. */
export interface Expiry {
  /** Gives everything its full time: this node became leader, or was paused so that nobody could renew anything. */
  restart(): void
  /** This node leads no longer. */
  clear(): void
  /** A command was applied. */
  applied(command: Command): void
  /** Proposes the end of what has no time left. */
  endExpired(now: number): void
}

/** What ends something works with. */
export interface ExpiryCollaborators {
  readonly clock: Clock
  readonly log: Logger
  readonly state: () => StateMachine
  readonly isLeader: () => boolean
  readonly propose: (record: Omit<LogRecord, 'at'>) => Promise<unknown>
}

/** Several as one. */
export function allExpiries(expiries: readonly Expiry[]): Expiry {
  return {
    restart() {
      for (const expiry of expiries) expiry.restart()
    },
    clear() {
      for (const expiry of expiries) expiry.clear()
    },
    applied(command) {
      for (const expiry of expiries) expiry.applied(command)
    },
    endExpired(now) {
      for (const expiry of expiries) expiry.endExpired(now)
    },
  }
}
