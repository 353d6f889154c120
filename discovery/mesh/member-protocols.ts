import {
  type Connection,
  type Libp2pEvents,
  type PeerStore,
  serviceCapabilities,
  type TypedEventTarget,
} from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { PeerId } from './types.ts'

const GOSSIPSUB_PROTOCOL = '/meshsub/1.2.0'
const MEMBER_TAG = { 'constellation-member': { value: 100 } }

/** The parts of libp2p that {@link MemberProtocols} works with. */
export interface MemberProtocolsComponents {
  readonly events: TypedEventTarget<Libp2pEvents>
  readonly peerStore: PeerStore
}

/**
 * Stands in for libp2p's identify exchange. Gossipsub only wants to know which peers speak its protocol, and the proof
 * of membership has already answered that: all members run this program. It saves a stream and two messages per
 * connection, and nobody is told our addresses and versions.
 */
export class MemberProtocols {
  readonly [serviceCapabilities]: readonly string[] = ['@libp2p/identify']
  readonly #events: TypedEventTarget<Libp2pEvents>
  readonly #peerStore: PeerStore

  constructor(collaborators: MemberProtocolsComponents) {
    this.#events = collaborators.events
    this.#peerStore = collaborators.peerStore
  }

  /** Records what a new member speaks and keeps its connection from being pruned. */
  async remember(connection: Connection): Promise<void> {
    await this.#peerStore.merge(connection.remotePeer, { protocols: [GOSSIPSUB_PROTOCOL], tags: MEMBER_TAG })
  }

  /** Drops what was recorded about a peer that is no member any more. */
  async forget(peer: PeerId): Promise<void> {
    await this.#peerStore.delete(peerIdFromString(peer))
  }

  /**
   * Tells gossipsub that it may open its stream on this connection. It ignores what it knows; repeating it is what
   * gives a peer its gossip back after the stream or the connection under it was lost.
   */
  announce(connection: Connection): void {
    if (connection.status !== 'open') return
    const detail = {
      peerId: connection.remotePeer,
      protocols: [GOSSIPSUB_PROTOCOL],
      listenAddrs: [],
      connection,
    }
    this.#events.safeDispatchEvent('peer:identify', { detail })
  }
}
