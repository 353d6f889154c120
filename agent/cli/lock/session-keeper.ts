import type { Clock } from './clock.ts'

const RETRY_MS_MAX = 1000

/** What a keeper works with. */
export interface SessionKeeperOptions {
  readonly ttlMs: number
  /** How long before the session may end its loss is told: what needs time to stop gets it. Less than two thirds of the TTL. */
  readonly noticeMs: number
  readonly clock: Clock
  /** Renews the session: false if there is none any more. May throw when there is no answer. */
  readonly renew: (timeoutMs: number) => Promise<boolean>
  /** Called once, when the session is gone or cannot be relied on any longer. */
  readonly onLost: (why: string) => void
}

/**
 * Keeps a session alive from its creation on, and says in time when that fails.
 *
 * The session ends a TTL after the leader heard of it last, at the earliest. When it heard is unknown here, but not before the
 * request was sent: so a renewal counts from the moment it was SENT, and only once it was confirmed. With a TTL of 15 s
 * and a notice of 5 s: renewed at 0 s, asked again at 5 s; without an answer the loss is told at 10 s, and at 15 s nothing
 * may go on that relied on the session.
 */
export class SessionKeeper {
  readonly #options: SessionKeeperOptions
  #sentAt: number
  #lost: string | null = null
  #stopped = false
  #failure: string | null = null
  #cancelRenewal: () => void = () => {}
  #cancelExpiry: () => void = () => {}

  /** @param sentAt when the request that made the session was sent. */
  constructor(options: SessionKeeperOptions, sentAt: number) {
    this.#options = options
    this.#sentAt = sentAt
    this.#armExpiry()
    this.#scheduleRenewal()
  }

  /** Why the session cannot be relied on; null while it can. */
  get lost(): string | null {
    return this.#lost
  }

  /** Until when the session exists for certain, on the clock. */
  get deadline(): number {
    return this.#sentAt + this.#options.ttlMs
  }

  /** Somebody saw that it is gone. */
  lose(why: string): void {
    if (this.#stopped || this.#lost !== null) return
    this.#lost = why
    this.stop()
    this.#options.onLost(why)
  }

  /** Renews no more, and tells nothing any more. */
  stop(): void {
    this.#stopped = true
    this.#cancelRenewal()
    this.#cancelExpiry()
  }

  #armExpiry(): void {
    const { clock, noticeMs, ttlMs } = this.#options
    this.#cancelExpiry()
    this.#cancelExpiry = clock.after(Math.max(0, this.deadline - noticeMs - clock.now()), () => {
      const seconds = (ttlMs - noticeMs) / 1000
      this.lose(
        `the session was not renewed for ${seconds} s${this.#failure === null ? '' : `: ${this.#failure}`}`,
      )
    })
  }

  #scheduleRenewal(): void {
    const { clock, ttlMs } = this.#options
    const dueInMs = Math.max(0, this.#sentAt + ttlMs / 3 - clock.now())
    this.#cancelRenewal = clock.after(dueInMs, () => void this.#renew())
  }

  async #renew(): Promise<void> {
    const { clock, renew, ttlMs } = this.#options
    const sentAt = clock.now()
    let exists: boolean
    try {
      exists = await renew(ttlMs / 5)
    } catch (error) {
      this.#failure = (error as Error).message
      if (this.#stopped) return
      this.#cancelRenewal = clock.after(Math.min(RETRY_MS_MAX, ttlMs / 10), () => void this.#renew())
      return
    }
    if (this.#stopped) return
    if (!exists) return this.lose('its session has ended')
    this.#failure = null
    this.#sentAt = sentAt
    this.#armExpiry()
    this.#scheduleRenewal()
  }
}
