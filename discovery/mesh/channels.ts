import type { Libp2p, Stream } from '@libp2p/interface'
import type { Logger } from 'pino'
import type { Connections } from './connections.ts'
import { MeshError } from './errors.ts'
import { type ChannelHandlers, InboundStream } from './inbound-stream.ts'
import type { MeshLimits } from './limits.ts'
import { LineLimiter } from './line-limiter.ts'
import type { MeshMetrics } from './metrics.ts'
import { OutboundLink } from './outbound-link.ts'
import { PARTING_CHANNEL } from './parting.ts'
import type { PeerId, RequestOptions } from './types.ts'

/** What the channels need from the mesh once it runs. */
export interface ChannelsHost {
  readonly host: Pick<Libp2p, 'handle'>
  readonly connections: Connections
}

const STREAMS_PER_CONNECTION_MAX = 16
const FLUSH_TIMEOUT_MS = 200

/** The named channels of this node: their handlers, and one link per peer and channel. */
export class Channels {
  readonly #limits: MeshLimits
  readonly #log: Logger
  readonly #metrics: MeshMetrics
  readonly #now: () => number
  readonly #lines: LineLimiter
  readonly #handlers = new Map<string, ChannelHandlers>()
  readonly #links = new Map<PeerId, Map<string, OutboundLink>>()
  #running: ChannelsHost | undefined

  constructor(
    options: { readonly limits: MeshLimits },
    collaborators: { readonly log: Logger; readonly metrics: MeshMetrics; readonly now: () => number },
  ) {
    this.#limits = options.limits
    this.#log = collaborators.log
    this.#metrics = collaborators.metrics
    this.#now = collaborators.now
    this.#lines = new LineLimiter({ intervalMs: 60_000, keysMax: 1_000 }, collaborators)
  }

  /** Registers a handler. @throws Error when the channel already has one of this kind: only one can own it. */
  setHandler<K extends keyof ChannelHandlers>(channel: string, kind: K, handler: ChannelHandlers[K]): void {
    const known = this.#handlers.get(channel)
    if (known?.[kind] !== undefined)
      throw new Error(`channel ${channel} already has a handler of kind ${kind}`)
    const handlers = known ?? {}
    handlers[kind] = handler
    if (known !== undefined) return
    this.#handlers.set(channel, handlers)
    if (this.#running !== undefined) this.#serve(this.#running, channel, handlers)
  }

  /** Starts to serve every channel. Called before the host listens, so that the first peer finds them all. */
  start(running: ChannelsHost): void {
    this.#running = running
    for (const [channel, handlers] of this.#handlers) this.#serve(running, channel, handlers)
  }

  /** Writes out what is queued on open streams, within 200 ms, then fails everything that waits. */
  async stop(): Promise<void> {
    const links = [...this.#links.values()].flatMap((channels) => [...channels.values()])
    await Promise.all(links.map((link) => link.flush(FLUSH_TIMEOUT_MS)))
    this.#running = undefined
    const cause = new MeshError('MSH_STOPPED', 'the mesh is stopped')
    for (const peer of [...this.#links.keys()]) this.forget(peer, cause)
  }

  /** Queues a message. False when it is dropped. Never throws. */
  send(peer: PeerId, channel: string, payload: Uint8Array): boolean {
    if (payload.length > this.#limits.frameBytesMax && this.#lines.allow(`${channel} too_large`)) {
      this.#log.error(
        { channel, peer, bytes: payload.length },
        `a message on channel ${channel} has ${payload.length} bytes and was dropped, the limit is ${this.#limits.frameBytesMax}`,
      )
    }
    this.#running?.connections.used(peer)
    return this.#link(peer, channel)?.send(payload) ?? false
  }

  /** Sends a request. @throws MeshError */
  async request(
    peer: PeerId,
    channel: string,
    payload: Uint8Array,
    options: RequestOptions,
  ): Promise<Uint8Array> {
    const link = this.#link(peer, channel)
    if (link === undefined) throw new MeshError('MSH_STOPPED', 'the mesh is not running')
    const { connections } = this.#running ?? {}
    if (channel === PARTING_CHANNEL) return await link.request(payload, options)
    connections?.used(peer)
    try {
      return await link.request(payload, options)
    } finally {
      connections?.used(peer)
    }
  }

  /** Whether something waits to be sent to this peer or to be answered by it. The question about parting does not count. */
  busy(peer: PeerId): boolean {
    for (const [channel, link] of this.#links.get(peer) ?? []) {
      if (channel !== PARTING_CHANNEL && link.busy) return true
    }
    return false
  }

  /** Closes the streams to a peer that are not in use; the next message opens another on whatever connection there is. */
  park(peer: PeerId): void {
    for (const link of this.#links.get(peer)?.values() ?? []) link.park()
  }

  /** Leaves the streams on surplus connections to a peer for the connection that is kept; nothing is lost. */
  move(peer: PeerId): void {
    for (const link of this.#links.get(peer)?.values() ?? []) link.move()
  }

  /** Ends the links to a peer. */
  forget(peer: PeerId, cause = new MeshError('MSH_CLOSED', `${peer} was forgotten`)): void {
    for (const link of this.#links.get(peer)?.values() ?? []) link.close(cause)
    this.#links.delete(peer)
  }

  /** Keeps streams alive and throws away links that lead nowhere. */
  tick(): void {
    for (const [peer, links] of [...this.#links]) {
      for (const [channel, link] of [...links]) {
        link.tick()
        if (link.idle && this.#running?.connections.current(peer) === undefined) links.delete(channel)
      }
      if (links.size === 0) this.#links.delete(peer)
    }
  }

  #link(peer: PeerId, channel: string): OutboundLink | undefined {
    if (this.#running === undefined) return undefined
    let links = this.#links.get(peer)
    if (links === undefined) {
      links = new Map()
      this.#links.set(peer, links)
    }
    let link = links.get(channel)
    if (link === undefined) {
      link = new OutboundLink(
        { peer, protocol: protocolOf(channel), limits: this.#limits },
        { connections: this.#running.connections, metrics: this.#metrics, now: this.#now },
      )
      links.set(channel, link)
    }
    return link
  }

  #serve(running: ChannelsHost, channel: string, handlers: ChannelHandlers): void {
    const onStream = (stream: Stream, connection: { remotePeer: { toString(): string } }) => {
      const peer = connection.remotePeer.toString()
      const used = channel === PARTING_CHANNEL ? () => {} : () => running.connections.used(peer)
      const collaborators = { stream, handlers, log: this.#log, metrics: this.#metrics, used }
      new InboundStream({ channel, peer, limits: this.#limits }, collaborators)
    }
    const limits = {
      maxInboundStreams: STREAMS_PER_CONNECTION_MAX,
      maxOutboundStreams: STREAMS_PER_CONNECTION_MAX,
    }
    running.host.handle(protocolOf(channel), onStream, limits).catch((error: unknown) => {
      this.#log.error({ channel, err: error }, 'a channel cannot be served')
    })
  }
}

function protocolOf(channel: string): string {
  return `/constellation/${channel}/1`
}
