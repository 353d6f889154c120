import type { PeerId } from './types.ts'

/** Counts the connections that are on their way, so that those that come together do not exceed the bounds together. */
export class ComingConnections {
  #outgoing = 0
  /** Inbound ones that were promised a place and are not there yet. */
  readonly #incoming = new Map<PeerId, object[]>()

  get size(): number {
    let size = this.#outgoing
    for (const promised of this.#incoming.values()) size += promised.length
    return size
  }

  /** Counts one for as long as this attempt to connect takes. */
  async attempt<T>(connect: () => Promise<T>): Promise<T> {
    this.#outgoing += 1
    try {
      return await connect()
    } finally {
      this.#outgoing -= 1
    }
  }

  /** Promises a place to an inbound connection of this peer; `raw` is what carries it. */
  promise(peer: PeerId, raw: object): void {
    this.#incoming.set(peer, [...(this.#incoming.get(peer) ?? []), raw])
  }

  /** A connection of this peer has come, which has used up a promise. */
  arrived(peer: PeerId): void {
    this.#keep(peer, this.#incoming.get(peer)?.slice(1))
  }

  /** What carried the connection is closed: the promise, if it is still open, is void. */
  ended(peer: PeerId, raw: object): void {
    this.#keep(
      peer,
      this.#incoming.get(peer)?.filter((other) => other !== raw),
    )
  }

  #keep(peer: PeerId, promised: object[] | undefined): void {
    if (promised !== undefined && promised.length > 0) this.#incoming.set(peer, promised)
    else this.#incoming.delete(peer)
  }
}
