import type { Session } from './state/types.ts'

/**
 * When sessions expire, kept by the leader only, on its monotonic clock. A new leader gives every session its full time
 * again: renewals the old leader took are not lost, only prolonged, so nobody is granted a lock too early.
 */
export class SessionTimers {
  readonly #deadlines = new Map<string, number>()
  /** Sessions whose end is proposed and not yet applied: a renewal now would promise time they no longer have. */
  readonly #ending = new Set<string>()

  /** Starts or restarts the time of a session. */
  arm(session: Session, now: number): void {
    this.#ending.delete(session.id)
    if (session.expiresAfterMs > 0) this.#deadlines.set(session.id, now + session.expiresAfterMs)
  }

  /** The end of the session was proposed. It stays so until it is armed again or removed. */
  end(id: string): void {
    this.#deadlines.delete(id)
    this.#ending.add(id)
  }

  isEnding(id: string): boolean {
    return this.#ending.has(id)
  }

  remove(id: string): void {
    this.#deadlines.delete(id)
    this.#ending.delete(id)
  }

  /** Replaces everything by these sessions with their full time; those that are ending stay so. */
  armAll(sessions: Iterable<Session>, now: number): void {
    this.#deadlines.clear()
    for (const session of sessions) if (!this.#ending.has(session.id)) this.arm(session, now)
  }

  clear(): void {
    this.#deadlines.clear()
    this.#ending.clear()
  }

  /** Ids whose time is over. They stay listed until removed or their end is proposed. */
  expired(now: number): string[] {
    const ids: string[] = []
    for (const [id, deadline] of this.#deadlines) if (deadline <= now) ids.push(id)
    return ids
  }
}
