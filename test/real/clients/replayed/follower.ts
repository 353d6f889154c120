import { setTimeout as delay } from 'node:timers/promises'

/** Runs rounds until it is stopped. A round that fails is kept and followed by a pause. */
export class Follower {
  readonly #gone: AbortSignal
  /** What went wrong while it ran, as text. */
  readonly errors: string[] = []

  constructor(gone: AbortSignal) {
    this.#gone = gone
  }

  /** Starts to repeat `round`, with this pause after each. `stopped` ends it earlier than all. Milliseconds. */
  follow(round: () => Promise<void>, pauseMs: number, stopped: () => boolean = () => false): void {
    const run = async (): Promise<void> => {
      while (!this.#gone.aborted && !stopped()) {
        try {
          await round()
        } catch (error) {
          if (this.#gone.aborted) return
          this.errors.push((error as Error).message)
        }
        await delay(pauseMs, undefined, { signal: this.#gone }).catch(() => {})
      }
    }
    void run()
  }
}
