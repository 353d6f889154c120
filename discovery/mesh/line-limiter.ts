/** How {@link LineLimiter} is bounded. */
export interface LineLimiterOptions {
  /** A key is allowed once in this time. */
  readonly intervalMs: number
  /** Keys remembered; the one allowed longest ago is forgotten first. */
  readonly keysMax: number
}

/** Lets a log line through once per interval and key, so that a peer that retries does not fill the log. */
export class LineLimiter {
  readonly #options: LineLimiterOptions
  readonly #now: () => number
  readonly #allowedAt = new Map<string, number>()

  constructor(options: LineLimiterOptions, collaborators: { readonly now: () => number }) {
    this.#options = options
    this.#now = collaborators.now
  }

  /** Whether a line with this key may be written now. */
  allow(key: string): boolean {
    const now = this.#now()
    const last = this.#allowedAt.get(key)
    if (last !== undefined && now - last < this.#options.intervalMs) return false
    this.#allowedAt.delete(key)
    this.#allowedAt.set(key, now)
    if (this.#allowedAt.size > this.#options.keysMax) {
      const oldest = this.#allowedAt.keys().next()
      if (!oldest.done) this.#allowedAt.delete(oldest.value)
    }
    return true
  }
}
