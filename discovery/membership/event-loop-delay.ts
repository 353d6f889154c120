import { monitorEventLoopDelay } from 'node:perf_hooks'

const SAMPLE_MS = 1000
const RESOLUTION_MS = 20

/** Tells once a second by how much, in ms, this process ran late at the most: a node that is slow must not blame others. */
export class EventLoopDelay {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  readonly #timer: NodeJS.Timeout

  /** Begins at once. */
  constructor(onSample: (delayMs: number) => void) {
    this.#delay.enable()
    this.#timer = setInterval(() => {
      const delayMs = this.#delay.max / 1e6 - RESOLUTION_MS
      this.#delay.reset()
      onSample(delayMs)
    }, SAMPLE_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#delay.disable()
  }
}
