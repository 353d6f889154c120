import type { Logger } from 'pino'

/** What looks regularly at something, and how often. */
export interface LooksOptions {
  readonly everyMs: number
  /** What is looked for, as in `looking for … failed`. */
  readonly purpose: string
}

/** Looks at something again and again, one look at a time. */
export class Looks {
  readonly #options: LooksOptions
  readonly #log: Logger
  readonly #look: (signal: AbortSignal) => Promise<void>
  #timer: NodeJS.Timeout | null = null
  #looking: Promise<void> | null = null
  #stopped = new AbortController()

  /** @param look one look; the signal ends with `stop` */
  constructor(
    options: LooksOptions,
    { log, look }: { readonly log: Logger; readonly look: (signal: AbortSignal) => Promise<void> },
  ) {
    this.#options = options
    this.#log = log
    this.#look = look
  }

  start(): void {
    if (this.#timer !== null) return
    this.#stopped = new AbortController()
    this.#timer = setInterval(() => void this.look(), this.#options.everyMs)
  }

  /** Resolves when the look under way has ended. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#stopped.abort()
    await this.#looking
  }

  /** Looks now, or joins the look under way; resolves when that has ended. */
  look(): Promise<void> {
    this.#looking ??= this.#look(this.#stopped.signal)
      .catch((err: unknown) => this.#log.error({ err }, `looking for ${this.#options.purpose} failed`))
      .finally(() => {
        this.#looking = null
      })
    return this.#looking
  }
}
