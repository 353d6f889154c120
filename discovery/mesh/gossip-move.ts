import type { GossipSub } from '@libp2p/gossipsub'
import type { Connection, PeerId, Stream } from '@libp2p/interface'

/** What this needs to know of gossipsub: the stream it writes to each peer, and how it makes one. */
interface StreamKeeper {
  readonly streamsOutbound: Map<string, WrittenStream>
  createOutboundStream(peer: PeerId, connection: Connection): Promise<void>
}

interface WrittenStream {
  readonly rawStream: Stream
  close(options?: { readonly signal: AbortSignal }): Promise<void>
}

const FLUSH_TIMEOUT_MS = 5_000

/**
 * Moves gossip from connections that are given up to those that are kept. The old stream to a peer is used until the new
 * one is open, so that nothing published meanwhile misses it, and is closed when it has been written out. Gossipsub itself
 * keeps the stream it has for as long as it lasts.
 */
export class GossipMove {
  readonly #gossip: GossipSub
  readonly #moving = new Set<string>()

  constructor(gossip: GossipSub) {
    this.#gossip = gossip
  }

  /** Has gossip written on `to` if it is written on one of the others. Does nothing while it is being moved already. */
  async move(to: Connection, from: readonly Connection[]): Promise<void> {
    const keeper: unknown = this.#gossip
    const peer = to.remotePeer.toString()
    if (!keepsStreams(keeper) || this.#moving.has(peer)) return
    const old = keeper.streamsOutbound.get(peer)
    if (old === undefined || !from.some(({ streams }) => streams.includes(old.rawStream))) return
    this.#moving.add(peer)
    try {
      // It makes no second stream while it knows of one, and looks only when it begins.
      keeper.streamsOutbound.delete(peer)
      const made = keeper.createOutboundStream(to.remotePeer, to)
      keeper.streamsOutbound.set(peer, old)
      await made
      if (keeper.streamsOutbound.get(peer) !== old) {
        await old.close({ signal: AbortSignal.timeout(FLUSH_TIMEOUT_MS) })
      }
    } finally {
      this.#moving.delete(peer)
    }
  }
}

function keepsStreams(gossip: unknown): gossip is StreamKeeper {
  const { streamsOutbound, createOutboundStream } = (gossip ?? {}) as Partial<StreamKeeper>
  return streamsOutbound instanceof Map && typeof createOutboundStream === 'function'
}
