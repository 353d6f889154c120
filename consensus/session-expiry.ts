import { isConsensusError, noLeader } from './errors.ts'
import type { Expiry, ExpiryCollaborators } from './expiry.ts'
import { SessionTimers } from './session-timers.ts'
import type { Command, Session } from './state/types.ts'

/** Ends the sessions nobody renews: on the leader only, and only through the log. */
export class SessionExpiry implements Expiry {
  /** Who proposes the end of sessions: one start of one node. */
  readonly #origin: string
  readonly #with: ExpiryCollaborators
  readonly #timers = new SessionTimers()
  #sequence = 0

  constructor(origin: string, collaborators: ExpiryCollaborators) {
    this.#origin = origin
    this.#with = collaborators
  }

  /** Gives every session its full time: this node became leader, or was paused so that nobody could renew anything. */
  restart(): void {
    this.#timers.armAll(this.#with.state().sessions(), this.#with.clock.now())
  }

  /** This node leads no longer. */
  clear(): void {
    this.#timers.clear()
  }

  /** A command was applied. */
  applied(command: Command): void {
    if (command.type === 'session.destroy') this.#timers.remove(command.id)
    if (command.type === 'session.create') this.#arm(command.session.id)
  }

  #arm(id: string): void {
    const session = this.#with.state().session(id)
    if (session !== undefined && this.#with.isLeader()) this.#timers.arm(session, this.#with.clock.now())
  }

  /**
   * Gives a session its full time again; null if there is none. @throws ConsensusError `CST_NO_LEADER` while the end of
   * the session is on its way to a quorum: whether it still counts is not known yet.
   */
  renew(id: string): Session | null {
    const session = this.#with.state().session(id)
    if (session === undefined) return null
    if (this.#timers.isEnding(id)) throw noLeader()
    this.#arm(id)
    return session
  }

  /** Proposes the end of every session whose time is over. */
  endExpired(now: number): void {
    for (const id of this.#timers.expired(now)) this.#end(id)
  }

  #end(id: string): void {
    // From now on it cannot be renewed: the entry that ends it may already be on its way to a quorum.
    this.#timers.end(id)
    const sequence = ++this.#sequence
    this.#with.log.info({ session: id }, 'session expired')
    const command: Command = { type: 'session.destroy', id }
    this.#with
      .propose({ origin: this.#origin, sequence, acknowledged: sequence, command })
      .catch((error: unknown) => {
        // It may be in the log still, and be applied later: no renewal may promise time until that is known.
        if (isConsensusError(error, 'CST_OUTCOME_UNKNOWN')) return
        // Not applied: whoever leads next gives the session its time again. If that is still this node, so does it.
        this.#arm(id)
      })
  }
}
