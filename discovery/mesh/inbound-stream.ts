import type { Stream } from '@libp2p/interface'
import type { Logger } from 'pino'
import { FrameQueue } from './frame-queue.ts'
import { encodeFrame, FRAME, type Frame, FrameDecoder } from './frames.ts'
import type { MeshLimits } from './limits.ts'
import type { MeshMetrics } from './metrics.ts'
import { StreamWriter } from './stream-writer.ts'
import type { PeerId } from './types.ts'

/** What is done with the messages and requests of a channel. Either may be missing. */
export interface ChannelHandlers {
  message?: (from: PeerId, payload: Uint8Array) => void
  request?: (from: PeerId, payload: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
}

/** Where an inbound stream comes from. */
export interface InboundStreamOptions {
  readonly channel: string
  readonly peer: PeerId
  readonly limits: MeshLimits
}

const ERROR_TEXT_MAX = 4_096

/** The peer's side of one channel: hands its frames to the handlers in order and writes their answers back. */
export class InboundStream {
  readonly #options: InboundStreamOptions
  readonly #stream: Stream
  readonly #handlers: ChannelHandlers
  readonly #log: Logger
  readonly #metrics: MeshMetrics
  readonly #used: () => void
  readonly #queue: FrameQueue
  readonly #writer: StreamWriter
  readonly #running = new Map<number, AbortController>()

  constructor(
    options: InboundStreamOptions,
    collaborators: {
      readonly stream: Stream
      readonly handlers: ChannelHandlers
      readonly log: Logger
      readonly metrics: MeshMetrics
      /** Called when a message or request has come, and when a request is answered. */
      readonly used: () => void
    },
  ) {
    const { queueFramesMax, queueBytesMax, frameBytesMax } = options.limits
    this.#options = options
    this.#stream = collaborators.stream
    this.#handlers = collaborators.handlers
    this.#log = collaborators.log
    this.#metrics = collaborators.metrics
    this.#used = collaborators.used
    this.#queue = new FrameQueue({ framesMax: queueFramesMax, bytesMax: queueBytesMax }, collaborators)
    this.#writer = new StreamWriter({ stream: this.#stream, queue: this.#queue, metrics: this.#metrics })
    const decoder = new FrameDecoder({ payloadBytesMax: frameBytesMax })
    this.#stream.addEventListener('message', ({ data }) => {
      try {
        for (const chunk of data instanceof Uint8Array ? [data] : data) {
          for (const frame of decoder.push(chunk)) this.#receive(frame)
        }
      } catch (error) {
        this.#log.warn({ ...this.#where(), err: error }, 'a channel stream was closed')
        this.#stream.abort(error instanceof Error ? error : new Error(String(error)))
      }
    })
    this.#stream.addEventListener('remoteCloseWrite', () => this.#stream.abort(new Error('the peer is done')))
    this.#stream.addEventListener('close', () => this.#end())
  }

  #receive(frame: Frame): void {
    this.#metrics.frames.inc({ direction: 'in' })
    switch (frame.kind) {
      case FRAME.ping:
        this.#answer(FRAME.pong, frame.id)
        break
      case FRAME.message:
        this.#used()
        this.#onMessage(frame.payload)
        break
      case FRAME.request:
        void this.#onRequest(frame.id, frame.payload)
        break
      case FRAME.cancel:
        this.#running.get(frame.id)?.abort(new Error('the peer has given the request up'))
        break
    }
  }

  #onMessage(payload: Uint8Array): void {
    if (this.#handlers.message === undefined) {
      this.#metrics.dropped.inc({ reason: 'unhandled' })
      return
    }
    try {
      this.#handlers.message(this.#options.peer, payload)
    } catch (error) {
      this.#log.error({ ...this.#where(), err: error }, 'the handler of a message failed')
    }
  }

  async #onRequest(id: number, payload: Uint8Array): Promise<void> {
    const { peer, limits } = this.#options
    this.#used()
    const handler = this.#handlers.request
    if (handler === undefined) return this.#fail(id, 'no request of this kind is answered here')
    if (this.#running.size >= limits.requestsInFlightMax) return this.#fail(id, 'too many requests at once')
    const controller = new AbortController()
    this.#running.set(id, controller)
    try {
      const answer = await handler(peer, payload, controller.signal)
      if (controller.signal.aborted) return
      if (answer.length > limits.frameBytesMax) {
        this.#fail(id, `the answer has ${answer.length} bytes, the limit is ${limits.frameBytesMax}`)
      } else this.#answer(FRAME.response, id, answer)
    } catch (error) {
      if (controller.signal.aborted) return
      this.#log.debug({ ...this.#where(), err: error }, 'the handler of a request failed')
      this.#fail(id, error instanceof Error ? error.message : String(error))
    } finally {
      this.#used()
      this.#running.delete(id)
    }
  }

  #fail(id: number, text: string): void {
    this.#answer(FRAME.failure, id, Buffer.from(text.slice(0, ERROR_TEXT_MAX)))
  }

  #answer(kind: Frame['kind'], id: number, payload?: Uint8Array): void {
    if (this.#stream.status !== 'open') return
    if (this.#queue.push({ bytes: encodeFrame(kind, id, payload) })) this.#writer.schedule()
    else this.#metrics.dropped.inc({ reason: 'queue_full' })
  }

  #end(): void {
    for (const controller of this.#running.values()) controller.abort(new Error('the connection ended'))
    this.#queue.clear(undefined)
  }

  #where(): { channel: string; peer: PeerId } {
    return { channel: this.#options.channel, peer: this.#options.peer }
  }
}
