/** What is looked after in rounds. */
export interface RoundsCollaborators {
  /** Has `notice` called upon whatever asks for a round; answers the ways to stop. */
  readonly watch: (notice: () => void) => readonly (() => void)[]
  /** One round. Answers how long nothing needs to be done, in milliseconds. */
  readonly step: (signal: AbortSignal) => Promise<number>
  /** A round threw; the next one comes after the pause for that. */
  readonly failed: (error: unknown) => void
}

/** Does one round after the other: the next when it is due, or at once if something asked for it meanwhile. */
export class Rounds {
  readonly #retryMs: number
  readonly #with: RoundsCollaborators
  #asked = true
  #wakeUp = () => {}
  #running: Promise<void> | null = null
  #abort = new AbortController()

  /** @param options `retryMs`: pause after a round that failed, in milliseconds. */
  constructor(options: { readonly retryMs: number }, collaborators: RoundsCollaborators) {
    this.#retryMs = options.retryMs
    this.#with = collaborators
  }

  get isRunning(): boolean {
    return this.#running !== null
  }

  start(): void {
    if (this.#running !== null) return
    this.#abort = new AbortController()
    this.#running = this.#run(this.#abort.signal)
  }

  /** Resolves when the round under way has ended. */
  async stop(): Promise<void> {
    this.#abort.abort()
    this.#wakeUp()
    await this.#running
    this.#running = null
  }

  /** Asks for another round as soon as the one under way, if there is one, has ended. */
  readonly ask = (): void => {
    this.#asked = true
    this.#wakeUp()
  }

  async #run(signal: AbortSignal): Promise<void> {
    const stops = this.#with.watch(this.ask)
    while (!signal.aborted) {
      this.#asked = false
      let waitMs = this.#retryMs
      try {
        waitMs = await this.#with.step(signal)
      } catch (error) {
        if (!signal.aborted) this.#with.failed(error)
      }
      if (!this.#asked && !signal.aborted) await this.#sleep(waitMs)
    }
    for (const stop of stops) stop()
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wakeUp = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
