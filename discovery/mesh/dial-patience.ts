/** How long one dial may take. Milliseconds. */
export interface DialPatienceOptions {
  /** Until the peer has said its first word. */
  readonly dialTimeoutMs: number
  /** From there on: a peer that speaks lives, and is busy if it is slow. */
  readonly handshakeTimeoutMs: number
}

/** Emitted on the progress of a dial when the peer has answered for the first time. */
export const ANSWERED = 'constellation:peer-answered'

/**
 * The time one dial has. A machine that starts many agents at once is slow at handshakes; dials that are given up and begun
 * anew would keep it so, each attempt paying again for what the one before had already reached.
 */
export class DialPatience {
  readonly #options: DialPatienceOptions
  readonly #over = new AbortController()
  #timer: NodeJS.Timeout
  #answered = false

  constructor(options: DialPatienceOptions) {
    this.#options = options
    this.#timer = this.#arm(options.dialTimeoutMs)
  }

  /** Aborted when the time is up. */
  get signal(): AbortSignal {
    return this.#over.signal
  }

  /** The peer has answered. */
  answered(): void {
    if (this.#answered) return
    this.#answered = true
    clearTimeout(this.#timer)
    this.#timer = this.#arm(this.#options.handshakeTimeoutMs)
  }

  /** What was waited for in vain, for people. */
  get complaint(): string {
    const { dialTimeoutMs, handshakeTimeoutMs } = this.#options
    return this.#answered
      ? `it answered, but the connection was not made within ${handshakeTimeoutMs} ms`
      : `no answer within ${dialTimeoutMs} ms`
  }

  /** The dial is over. */
  end(): void {
    clearTimeout(this.#timer)
  }

  #arm(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#over.abort(new Error(this.complaint)), ms)
  }
}
