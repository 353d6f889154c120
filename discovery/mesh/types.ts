/** Identity of a node: its libp2p peer id in text form. It lasts as long as the data directory and is never reused. */
export type PeerId = string

/** Bounds of a request over the mesh. */
export interface RequestOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

/** Something that happened to the connection to a peer that has proved its membership. */
export type PeerEvent =
  | { readonly type: 'connected'; readonly peer: PeerId; readonly address: string }
  /** `parted`: both ends had agreed that neither needs the connection, so it says nothing about the peer. */
  | { readonly type: 'disconnected'; readonly peer: PeerId; readonly parted?: true }

/**
 * The encrypted network between the nodes of one cluster. A peer that cannot prove the cluster key and name never
 * becomes visible here. Channels are named message streams, one kept stream per peer, channel and direction.
 */
export interface Mesh {
  readonly id: PeerId
  /** host:port other nodes are told to dial. */
  readonly advertise: string
  start(): Promise<void>
  stop(): Promise<void>
  /** Connects to `host:port` and answers who is there. @throws MeshError with a sentence for the operator. */
  dial(address: string, signal?: AbortSignal): Promise<PeerId>
  /** Where to dial `peer` when a message for it finds no connection. */
  setAddress(peer: PeerId, address: string): void
  /** Forgets the address of a peer and closes its connection. */
  forget(peer: PeerId): void
  /** Keeps connections to these; others are closed when they are idle, and made again when a message needs one. Null: keeps all. */
  keep(peers: readonly PeerId[] | null): void
  connected(): readonly PeerId[]
  /** Those of the connected that are kept: for who talks to somebody now and then, whoever that is, and is to keep no other in use. */
  neighbours(): readonly PeerId[]
  onPeer(listener: (event: PeerEvent) => void): () => void
  /** Best effort, ordered per peer and channel; dropped when there is no connection or the queue is full. False if dropped. */
  send(peer: PeerId, channel: string, payload: Uint8Array): boolean
  onMessage(channel: string, handler: (from: PeerId, payload: Uint8Array) => void): void
  /** @throws MeshError `MSH_UNREACHABLE` (never sent), `MSH_TIMEOUT` or `MSH_CLOSED` (may have been received), `MSH_REMOTE` (handler threw). */
  request(peer: PeerId, channel: string, payload: Uint8Array, options: RequestOptions): Promise<Uint8Array>
  onRequest(
    channel: string,
    handler: (from: PeerId, payload: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>,
  ): void
  /** Gossip to every node subscribed to `topic`; may be lost. */
  publish(topic: string, payload: Uint8Array): Promise<void>
  subscribe(topic: string, handler: (from: PeerId, payload: Uint8Array) => void): void
  /** The signature of this node over a payload (Ed25519, 64 bytes). `context` names what it is for: it counts for nothing else. */
  sign(context: string, payload: Uint8Array): Uint8Array
  /** Whether `peer` signed this payload for this context. Its id is its public key. */
  verify(peer: PeerId, context: string, payload: Uint8Array, signature: Uint8Array): boolean
}
