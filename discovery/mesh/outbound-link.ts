import type { Connection, Stream } from '@libp2p/interface'
import { Backoff } from './backoff.ts'
import type { Connections } from './connections.ts'
import { MeshError } from './errors.ts'
import { FrameQueue, type QueuedFrame } from './frame-queue.ts'
import { encodeFrame, FRAME, type Frame } from './frames.ts'
import type { MeshLimits } from './limits.ts'
import { LinkStream } from './link-stream.ts'
import type { MeshMetrics } from './metrics.ts'
import type { PeerId, RequestOptions } from './types.ts'

/** Whom a link leads to. */
export interface OutboundLinkOptions {
  readonly peer: PeerId
  readonly protocol: string
  readonly limits: MeshLimits
}

/** What a link needs from its surroundings. */
export interface OutboundLinkCollaborators {
  readonly connections: Pick<Connections, 'connect' | 'current' | 'isSurplus' | 'reachable'>
  readonly metrics: MeshMetrics
  readonly now: () => number
}

interface PendingRequest {
  /** The stream it was sent on: its answer comes there. */
  via: LinkStream | undefined
  readonly settle: (result: Uint8Array | MeshError) => void
}

const OPEN_TIMEOUT_MS = 5_000
const OPEN_ATTEMPTS_MAX = 3
const FLUSH_POLL_MS = 5
const BACKOFF = { firstMs: 250, maxMs: 5_000 }
const ID_MAX = 0xffff_ffff

/**
 * Our side of one channel to one peer: a queue, and the stream it empties into. The stream is opened by the first frame
 * and again after a failure, on whatever connection there is by then. What was queued when a stream broke goes on the
 * next one; what was already written is lost or was received, nobody can tell which. A stream on a surplus connection
 * is left without losing anything: once the other end has handled what was written, the queue goes on elsewhere, and the
 * stream stays for the answers that are still to come.
 */
export class OutboundLink {
  readonly #options: OutboundLinkOptions
  readonly #connections: OutboundLinkCollaborators['connections']
  readonly #metrics: MeshMetrics
  readonly #now: () => number
  readonly #queue: FrameQueue
  readonly #backoff = new Backoff(BACKOFF)
  readonly #pending = new Map<number, PendingRequest>()
  #open: LinkStream | undefined
  /** Streams that nothing is written to any more, kept for the answers to come. */
  readonly #leaving = new Set<LinkStream>()
  #opening = false
  #closed = false
  #lastId = 0

  constructor(options: OutboundLinkOptions, collaborators: OutboundLinkCollaborators) {
    const { queueFramesMax, queueBytesMax } = options.limits
    this.#options = options
    this.#connections = collaborators.connections
    this.#metrics = collaborators.metrics
    this.#now = collaborators.now
    this.#queue = new FrameQueue({ framesMax: queueFramesMax, bytesMax: queueBytesMax }, collaborators)
  }

  /** Queues a message. False, and counted, when it is dropped. */
  send(payload: Uint8Array): boolean {
    if (payload.length > this.#options.limits.frameBytesMax) return this.#drop('too_large')
    if (!this.#usable()) return this.#drop('unreachable')
    if (!this.#push({ bytes: encodeFrame(FRAME.message, 0, payload) })) return this.#drop('queue_full')
    return true
  }

  /** Sends a request and waits for its answer. @throws MeshError, or the reason of the signal. */
  async request(payload: Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    options.signal?.throwIfAborted()
    const { frameBytesMax, requestsInFlightMax } = this.#options.limits
    if (payload.length > frameBytesMax) {
      throw new MeshError(
        'MSH_TOO_LARGE',
        `the request has ${payload.length} bytes, the limit is ${frameBytesMax}`,
      )
    }
    if (this.#pending.size >= requestsInFlightMax) {
      throw this.#unreachable(`${requestsInFlightMax} requests are already waiting for an answer`)
    }
    // Let the connection book say why there is no way.
    if (!this.#usable()) await this.#refuse()
    const result = await this.#ask(payload, options)
    this.#metrics.requests.inc({ result: result instanceof MeshError ? result.code : 'ok' })
    if (result instanceof MeshError) throw result
    options.signal?.throwIfAborted()
    return result
  }

  /** Keeps the stream alive, or ends a connection that gives no sign of life. */
  tick(): void {
    this.#open?.tick()
    for (const stream of [...this.#leaving]) stream.tick()
  }

  /** Leaves a stream on a surplus connection for one on the connection that is kept. Nothing is lost or overtaken. */
  move(): void {
    const from = this.#open
    if (from === undefined || from.halted || !this.#connections.isSurplus(from.connection)) return
    from.halt(() => {
      if (this.#open !== from) return
      this.#open = undefined
      this.#leaving.add(from)
      this.#leave(from)
      if (this.#queue.size > 0) this.#ensureOpen()
    })
  }

  /** True when nothing is lost by throwing the link away. */
  get idle(): boolean {
    return this.#open === undefined && !this.#opening && this.#queue.size === 0 && this.#pending.size === 0
  }

  /** True while something waits to be sent or to be answered. */
  get busy(): boolean {
    return this.#opening || this.#queue.size > 0 || this.#pending.size > 0
  }

  /** Gives the stream up if it is not in use; the next message opens another. */
  park(): void {
    const open = this.#open
    if (open === undefined || this.busy) return
    this.#open = undefined
    open.abort(new Error('not needed any more'))
  }

  /** Ends the link for good. Requests fail with this cause. */
  close(cause: MeshError): void {
    this.#closed = true
    for (const pending of [...this.#pending.values()]) pending.settle(cause)
    this.#dropQueue(cause)
    this.#open?.abort(cause)
    for (const stream of [...this.#leaving]) stream.abort(cause)
  }

  /** Resolves when everything queued has been written, or the time is over. */
  async flush(timeoutMs: number): Promise<void> {
    for (
      let waited = 0;
      this.#queue.size > 0 && (this.#open !== undefined || this.#opening);
      waited += FLUSH_POLL_MS
    ) {
      if (waited >= timeoutMs) return
      await new Promise((resolve) => setTimeout(resolve, FLUSH_POLL_MS))
    }
  }

  #usable(): boolean {
    if (this.#closed) return false
    if (this.#open !== undefined || this.#opening) return true
    return this.#backoff.waitMs(this.#now()) === 0 && this.#connections.reachable(this.#options.peer)
  }

  async #refuse(): Promise<never> {
    if (this.#closed) throw new MeshError('MSH_STOPPED', 'the channel is closed')
    const waitMs = this.#backoff.waitMs(this.#now())
    if (waitMs === 0) await this.#connections.connect(this.#options.peer)
    throw this.#unreachable(`the channel could not be opened, next attempt in ${waitMs} ms`)
  }

  #ask(payload: Uint8Array, options: RequestOptions): Promise<Uint8Array | MeshError> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | MeshError>()
    const id = this.#nextId()
    const frame: QueuedFrame = {
      bytes: encodeFrame(FRAME.request, id, payload),
      onSent: () => {
        pending.via = this.#open
      },
      onDropped: (cause) =>
        pending.settle(cause instanceof MeshError ? cause : this.#unreachable(messageOf(cause))),
    }
    const end = () => {
      clearTimeout(timer)
      options.signal?.removeEventListener('abort', abort)
      this.#pending.delete(id)
      if (pending.via !== undefined) this.#leave(pending.via)
    }
    const giveUp = () => {
      frame.cancelled = true
      this.#cancel(id, pending.via)
      end()
    }
    const pending: PendingRequest = {
      via: undefined,
      settle: (result) => {
        end()
        resolve(result)
      },
    }
    const timer = setTimeout(() => {
      giveUp()
      resolve(
        pending.via !== undefined
          ? new MeshError(
              'MSH_TIMEOUT',
              `${this.#options.peer} did not answer within ${options.timeoutMs} ms`,
            )
          : this.#unreachable(`not connected within ${options.timeoutMs} ms`),
      )
    }, options.timeoutMs)
    const abort = () => {
      giveUp()
      reject(options.signal?.reason)
    }
    options.signal?.addEventListener('abort', abort, { once: true })
    this.#pending.set(id, pending)
    if (!this.#push(frame)) {
      this.#drop('queue_full')
      pending.settle(this.#unreachable('its queue is full'))
    }
    return promise
  }

  #nextId(): number {
    do this.#lastId = this.#lastId >= ID_MAX ? 1 : this.#lastId + 1
    while (this.#pending.has(this.#lastId))
    return this.#lastId
  }

  #push(frame: QueuedFrame): boolean {
    if (!this.#queue.push(frame)) return false
    if (this.#open !== undefined) this.#open.schedule()
    else this.#ensureOpen()
    return true
  }

  #ensureOpen(): void {
    if (this.#open !== undefined || this.#opening || this.#closed) return
    this.#opening = true
    this.#openStream()
      .then((open) => {
        this.#opening = false
        this.#attach(open)
      })
      .catch((error: unknown) => {
        this.#opening = false
        // Failed dials have their own pause, which a connection from the other side ends at once.
        if (this.#connections.current(this.#options.peer) !== undefined) this.#backoff.failed(this.#now())
        this.#dropQueue(error)
      })
  }

  async #openStream(): Promise<{ stream: Stream; connection: Connection }> {
    const { peer, protocol } = this.#options
    for (let attempt = 1; ; attempt += 1) {
      const connection = await this.#connections.connect(peer)
      try {
        const signal = AbortSignal.timeout(OPEN_TIMEOUT_MS)
        return { stream: await connection.newStream(protocol, { signal }), connection }
      } catch (error) {
        // Its multiplexer is closed while the socket still looks open: nothing will ever work on it again.
        const name = error instanceof Error ? error.name : ''
        if (name === 'ConnectionClosedError' || name === 'MuxerClosedError') connection.abort(new Error(name))
        // A peer that has just restarted leaves a connection behind that is found closed only when it is used.
        // So does one that became surplus meanwhile, and that the other end has closed.
        const isUsed = connection.status === 'open' && !this.#connections.isSurplus(connection)
        if (attempt >= OPEN_ATTEMPTS_MAX || isUsed) throw error
      }
    }
  }

  #attach({ stream, connection }: { stream: Stream; connection: Connection }): void {
    if (this.#closed || stream.status !== 'open') {
      stream.abort(new Error('not wanted any more'))
      if (this.#queue.size > 0) this.#ensureOpen()
      return
    }
    const open = new LinkStream(this.#options, {
      stream,
      connection,
      queue: this.#queue,
      metrics: this.#metrics,
      now: this.#now,
      onFrame: (frame) => this.#receive(frame),
      onClose: () => this.#detach(open),
    })
    this.#open = open
    this.#backoff.reset()
    // It became surplus while the stream was being opened.
    this.move()
    open.schedule()
  }

  #receive(frame: Frame): void {
    const pending = this.#pending.get(frame.id)
    if (frame.kind === FRAME.response) pending?.settle(frame.payload)
    if (frame.kind === FRAME.failure) {
      pending?.settle(new MeshError('MSH_REMOTE', Buffer.from(frame.payload).toString('utf8')))
    }
  }

  #cancel(id: number, via: LinkStream | undefined): void {
    if (via === undefined) return
    const bytes = encodeFrame(FRAME.cancel, id)
    if (via === this.#open && !via.halted) this.#push({ bytes })
    else via.write(bytes)
  }

  /** Ends a stream that is being left once no answer is to come on it any more. */
  #leave(stream: LinkStream): void {
    if (!this.#leaving.has(stream)) return
    for (const { via } of this.#pending.values()) if (via === stream) return
    this.#leaving.delete(stream)
    stream.abort(new Error('moved to another connection'))
  }

  #detach(stream: LinkStream): void {
    this.#leaving.delete(stream)
    for (const pending of [...this.#pending.values()]) {
      if (pending.via !== stream) continue
      pending.settle(
        new MeshError('MSH_CLOSED', `the connection to ${this.#options.peer} ended before the answer came`),
      )
    }
    if (this.#open !== stream) return
    this.#open = undefined
    if (this.#queue.size > 0) this.#ensureOpen()
  }

  #dropQueue(cause: unknown): void {
    const dropped = this.#queue.clear(cause)
    if (dropped > 0) this.#metrics.dropped.inc({ reason: 'unreachable' }, dropped)
  }

  #drop(reason: 'queue_full' | 'unreachable' | 'too_large'): false {
    this.#metrics.dropped.inc({ reason })
    return false
  }

  #unreachable(reason: string): MeshError {
    return new MeshError('MSH_UNREACHABLE', `${this.#options.peer} cannot be reached: ${reason}`)
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
