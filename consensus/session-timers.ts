import type { Session } from './state/types.ts'

/**
 * When sessions expire, kept by the leader only, on its monotonic clock. A new leader gives every session its full time
 * again: renewals the old leader took are not lost, only prolonged, so nobody is granted a lock too early.
 */
export class SessionTimers {
  readonly #deadlines = new Map<string, number>()

  /** Starts or restarts the time of a session. */
  arm(session: Session, now: number): void {
    if (session.expiresAfterMs > 0) this.#deadlines.set(session.id, now + session.expiresAfterMs)
  }

  remove(id: string): void {
    this.#deadlines.delete(id)
  }

  /** Replaces everything by these sessions with their full time. */
  armAll(sessions: Iterable<Session>, now: number): void {
    this.#deadlines.clear()
    for (const session of sessions) this.arm(session, now)
  }

  clear(): void {
    this.#deadlines.clear()
  }

  /** Ids whose time is over. They stay listed until removed. */
  expired(now: number): string[] {
    const ids: string[] = []
    for (const [id, deadline] of this.#deadlines) if (deadline <= now) ids.push(id)
    return ids
  }
}
