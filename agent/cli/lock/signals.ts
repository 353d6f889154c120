const PASSED_ON = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

/**
 * Takes the signals this process gets until it is closed. Ctrl-Z is ignored: a stopped holder of a lock could not renew it,
 * and what it runs would not be stopped with it.
 */
export class SignalRelay {
  readonly #handlers = new Map<NodeJS.Signals, () => void>()

  constructor(onSignal: (signal: NodeJS.Signals) => void) {
    for (const signal of PASSED_ON) this.#handlers.set(signal, () => onSignal(signal))
    this.#handlers.set('SIGTSTP', () => {})
    for (const [signal, handler] of this.#handlers) process.on(signal, handler)
  }

  close(): void {
    for (const [signal, handler] of this.#handlers) process.off(signal, handler)
  }
}
