/** How a silent stream is treated. */
export interface KeepAliveOptions {
  /** A stream that was silent this long is asked for a sign of life. */
  readonly intervalMs: number
  /** This many unanswered questions in a row mean that the connection is dead. */
  readonly unansweredMax: number
}

/**
 * Decides when to ask the other end of a stream for a sign of life, and when to give the connection up. Questions are
 * counted instead of milliseconds: a process that was stopped for an hour must not find all its connections dead.
 */
export class KeepAlive {
  readonly #options: KeepAliveOptions
  #lastMs: number
  #unanswered = 0

  constructor(options: KeepAliveOptions, nowMs: number) {
    this.#options = options
    this.#lastMs = nowMs
  }

  /** Something arrived from the other end. */
  heard(nowMs: number): void {
    this.#lastMs = nowMs
    this.#unanswered = 0
  }

  /** What to do now. `ping` is answered once per interval; `dead` again and again. */
  check(nowMs: number): 'nothing' | 'ping' | 'dead' {
    if (nowMs - this.#lastMs < this.#options.intervalMs) return 'nothing'
    if (this.#unanswered >= this.#options.unansweredMax) return 'dead'
    this.#lastMs = nowMs
    this.#unanswered += 1
    return 'ping'
  }
}
