import type { Logger } from 'pino'

/** Something that runs, in the one life cycle everything here has. */
export interface Part {
  start(): Promise<void>
  stop(): Promise<void>
}

/** What was started, so that it is stopped in the opposite order. */
export class Parts {
  readonly #log: Logger
  readonly #started: { readonly name: string; readonly stop: () => Promise<void> | void }[] = []

  constructor({ log }: { readonly log: Logger }) {
    this.#log = log
  }

  /** Starts it. It is stopped even when its start fails half-way. */
  async start(name: string, part: Part): Promise<void> {
    this.add(name, () => part.stop())
    await part.start()
  }

  /** Takes in what runs already; `stop` ends it. */
  add(name: string, stop: () => Promise<void> | void): void {
    this.#started.push({ name, stop })
  }

  /** Stops everything, the last started first. What cannot be stopped is logged and does not keep the others. */
  async stop(): Promise<void> {
    for (const { name, stop } of this.#started.splice(0).toReversed()) {
      await this.attempt(`stopping ${name}`, stop)
    }
  }

  /** Does one step on the way out; its failure is logged. */
  async attempt(what: string, step: () => Promise<void> | void | undefined): Promise<void> {
    try {
      await step()
    } catch (error) {
      this.#log.warn({ err: error }, `${what} failed`)
    }
  }
}
