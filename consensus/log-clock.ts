import type { Clock } from './clock.ts'
import type { StateMachine } from './state/state-machine.ts'

/**
 * The time a leader stamps on log entries, the only one the state machine knows: it goes on from where the log stands, at the
 * pace of the leader's monotonic clock. So no wall clock, right or wrong, ends a lock delay early or late; while nobody leads
 * it stands still. Milliseconds.
 */
export class LogClock {
  readonly #clock: Pick<Clock, 'now'>
  #term = -1
  #logTime = 0
  #since = 0

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  /** What to stamp on a proposal of this term; `state` is that of the leader. */
  stamp(term: number, state: Pick<StateMachine, 'logTime'>): number {
    const now = this.#clock.now()
    const stamp = Math.floor(this.#logTime + now - this.#since)
    if (term === this.#term && stamp >= state.logTime) return stamp
    // A new term, or entries of the one before were applied meanwhile.
    this.#term = term
    this.#logTime = state.logTime
    this.#since = now
    return this.#logTime
  }
}
