import type { CallOptions } from './client.ts'
import type { Clock } from './clock.ts'

const DEFAULT_TIMEOUT_MS = 2500

/** What is left of the time and whether the caller still wants the answer. */
export class Deadline {
  readonly #clock: Clock
  readonly #end: number
  readonly signal: AbortSignal | undefined

  constructor(clock: Clock, options: CallOptions | undefined) {
    this.#clock = clock
    this.#end = clock.now() + (options?.timeoutMs ?? DEFAULT_TIMEOUT_MS)
    this.signal = options?.signal
  }

  get leftMs(): number {
    return this.signal?.aborted ? 0 : Math.max(0, this.#end - this.#clock.now())
  }

  /** Settles like `promise`, or rejects with `late()` when the time is over or the caller gave up. */
  race<T>(promise: Promise<T>, late: () => Error): Promise<T> {
    return new Promise((resolve, reject) => {
      const expire = () => {
        finish()
        reject(late())
      }
      const timer = setTimeout(expire, this.leftMs)
      const finish = () => {
        clearTimeout(timer)
        this.signal?.removeEventListener('abort', expire)
      }
      this.signal?.addEventListener('abort', expire, { once: true })
      promise.then(resolve, reject).finally(finish)
    })
  }
}
