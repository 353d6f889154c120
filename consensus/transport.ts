/** How certain a failed request is: `not-sent` never left; `unknown` may have been handled; `remote` was refused there. */
export type TransportFailure = 'not-sent' | 'unknown' | 'remote'

/** A request that got no answer. */
export class TransportError extends Error {
  readonly failure: TransportFailure

  constructor(failure: TransportFailure, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'TransportError'
    this.failure = failure
  }
}

/** What consensus/ needs of the network. Peers are authenticated: `from` is who really sent it. */
export interface Transport {
  /** Best effort; ordered per peer. False if it was dropped at once. */
  send(to: string, payload: Uint8Array): boolean
  /** @throws TransportError */
  request(
    to: string,
    payload: Uint8Array,
    options: { timeoutMs: number; signal?: AbortSignal },
  ): Promise<Uint8Array>
  onMessage(handler: (from: string, payload: Uint8Array) => void): void
  onRequest(handler: (from: string, payload: Uint8Array) => Promise<Uint8Array>): void
  /** True while a connection to the peer is open. */
  isConnected(peer: string): boolean
}
