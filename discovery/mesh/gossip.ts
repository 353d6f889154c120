import { hash, randomBytes } from 'node:crypto'
import type { GossipSub, GossipsubMessage, GossipsubOpts } from '@libp2p/gossipsub'
import type { Logger } from 'pino'
import { MeshError } from './errors.ts'
import type { PeerId } from './types.ts'

/** Bounds of gossip. */
export interface GossipOptions {
  readonly self: PeerId
  readonly bytesMax: number
}

type Handler = (from: PeerId, payload: Uint8Array) => void

const ID_BYTES = 20
const SEQUENCE_BYTES = 8
const BUFFER_FACTOR = 16

/**
 * The settings of gossipsub. Members are equally trusted, so messages are not signed (the connection is) and nobody is
 * scored: with the default score twenty nodes on one address deliver nothing. Own messages go to every subscriber
 * directly, which makes the usual cluster of a few nodes a single hop.
 */
export function gossipsubOptions(options: { readonly bytesMax: number }): Partial<GossipsubOpts> {
  return {
    globalSignaturePolicy: 'StrictNoSign',
    msgIdFn: (message) => hash('sha256', message.data, 'buffer').subarray(0, ID_BYTES),
    allowPublishToZeroTopicPeers: true,
    floodPublish: true,
    fallbackToFloodsub: false,
    emitSelf: false,
    doPX: false,
    tagMeshPeers: false,
    heartbeatInterval: 1_000,
    // Below this size telling others not to send a message costs more than receiving it twice.
    idontwantMinDataSize: 16 * 1024,
    maxInboundDataLength: options.bytesMax * 2,
    maxOutboundBufferSize: options.bytesMax * BUFFER_FACTOR,
    maxInboundStreams: 8,
    maxOutboundStreams: 8,
    scoreParams: {
      IPColocationFactorWeight: 0,
      behaviourPenaltyWeight: 0,
      appSpecificWeight: 0,
      decayInterval: 600_000,
      retainScore: 0,
    },
  }
}

/**
 * Topics over gossipsub. Each message carries who published it and a number, because unsigned gossip names neither, and
 * because two equal payloads would otherwise count as one message.
 */
export class Gossip {
  readonly #options: GossipOptions
  readonly #log: Logger
  readonly #handlers = new Map<string, Handler[]>()
  // The start is random: a node that restarts must not number its messages like those others still remember.
  #sequence = randomBytes(SEQUENCE_BYTES).readBigUInt64BE()
  #pubsub: GossipSub | undefined

  constructor(options: GossipOptions, collaborators: { readonly log: Logger }) {
    this.#options = options
    this.#log = collaborators.log
  }

  /** Joins the topics subscribed to. */
  start(pubsub: GossipSub): void {
    this.#pubsub = pubsub
    pubsub.addEventListener('gossipsub:message', (event: CustomEvent<GossipsubMessage>) => {
      this.#receive(event.detail)
    })
    for (const topic of this.#handlers.keys()) pubsub.subscribe(topic)
  }

  stop(): void {
    this.#pubsub = undefined
  }

  subscribe(topic: string, handler: Handler): void {
    const handlers = this.#handlers.get(topic)
    if (handlers !== undefined) {
      handlers.push(handler)
      return
    }
    this.#handlers.set(topic, [handler])
    this.#pubsub?.subscribe(topic)
  }

  /** @throws MeshError `MSH_TOO_LARGE`. A node without peers publishes to nobody, which is no error. */
  async publish(topic: string, payload: Uint8Array): Promise<void> {
    const { self, bytesMax } = this.#options
    if (payload.length > bytesMax) {
      throw new MeshError(
        'MSH_TOO_LARGE',
        `the gossip message has ${payload.length} bytes, the limit is ${bytesMax}`,
      )
    }
    this.#sequence = BigInt.asUintN(64, this.#sequence + 1n)
    await this.#pubsub?.publish(topic, encodeGossip(self, this.#sequence, payload))
  }

  #receive({ msg }: GossipsubMessage): void {
    const handlers = this.#handlers.get(msg.topic)
    if (handlers === undefined) return
    const message = decodeGossip(msg.data)
    if (message === undefined) {
      this.#log.debug({ topic: msg.topic }, 'a gossip message could not be read')
      return
    }
    for (const handler of handlers) {
      try {
        handler(message.from, message.payload)
      } catch (error) {
        this.#log.error({ topic: msg.topic, err: error }, 'the handler of a gossip message failed')
      }
    }
  }
}

/** Length of the publisher's id (1 byte), the id, a number (8 bytes), the payload. */
export function encodeGossip(from: PeerId, sequence: bigint, payload: Uint8Array): Uint8Array {
  const id = Buffer.from(from)
  const head = Buffer.alloc(1 + id.length + SEQUENCE_BYTES)
  head.writeUInt8(id.length, 0)
  head.set(id, 1)
  head.writeBigUInt64BE(sequence, 1 + id.length)
  return Buffer.concat([head, payload])
}

/** Reads what {@link encodeGossip} wrote; undefined when it is something else. */
export function decodeGossip(data: Uint8Array): { from: PeerId; payload: Uint8Array } | undefined {
  const idBytes = data[0] ?? 0
  const payloadAt = 1 + idBytes + SEQUENCE_BYTES
  if (idBytes === 0 || data.length < payloadAt) return undefined
  return {
    from: Buffer.from(data.subarray(1, 1 + idBytes)).toString('utf8'),
    payload: data.slice(payloadAt),
  }
}
