import type { Connection, Stream } from '@libp2p/interface'
import type { FrameQueue } from './frame-queue.ts'
import { encodeFrame, FRAME, type Frame, FrameDecoder } from './frames.ts'
import { KeepAlive } from './keep-alive.ts'
import type { MeshLimits } from './limits.ts'
import type { MeshMetrics } from './metrics.ts'
import { StreamWriter } from './stream-writer.ts'

/** What a stream of a link works with. */
export interface LinkStreamCollaborators {
  readonly stream: Stream
  readonly connection: Connection
  /** Where the frames to write are taken from. */
  readonly queue: FrameQueue
  readonly metrics: MeshMetrics
  readonly now: () => number
  readonly onFrame: (frame: Frame) => void
  readonly onClose: () => void
}

const UNANSWERED_MAX = 3
const PINGS = 0xffff_ffff

/**
 * One stream of an outbound link, from its opening to its end. It can be told to take no more frames and to say when the
 * other end has handled those it was given: from then on nothing sent elsewhere can overtake them.
 */
export class LinkStream {
  readonly connection: Connection
  readonly #stream: Stream
  readonly #writer: StreamWriter
  readonly #keepAlive: KeepAlive
  readonly #metrics: MeshMetrics
  readonly #now: () => number
  #halted = false
  #lastPing = 0
  /** What waits for the answer to a question: the other end answers it after everything it was sent before. */
  #handled: { readonly ping: number; readonly onHandled: () => void } | undefined

  constructor(options: { readonly limits: MeshLimits }, collaborators: LinkStreamCollaborators) {
    const { stream, queue, metrics, now, onFrame, onClose } = collaborators
    const { keepAliveMs, frameBytesMax } = options.limits
    this.connection = collaborators.connection
    this.#stream = stream
    this.#metrics = metrics
    this.#now = now
    this.#writer = new StreamWriter({ stream, queue, metrics })
    this.#keepAlive = new KeepAlive({ intervalMs: keepAliveMs, unansweredMax: UNANSWERED_MAX }, now())
    const decoder = new FrameDecoder({ payloadBytesMax: frameBytesMax })
    stream.addEventListener('message', ({ data }) => {
      this.#keepAlive.heard(now())
      try {
        for (const chunk of data instanceof Uint8Array ? [data] : data) {
          for (const frame of decoder.push(chunk)) this.#receive(frame, onFrame)
        }
      } catch (error) {
        this.abort(error instanceof Error ? error : new Error(String(error)))
      }
    })
    stream.addEventListener('remoteCloseWrite', () => this.abort(new Error('the peer closed the channel')))
    stream.addEventListener('close', onClose)
  }

  /** No more frames are taken from the queue. */
  get halted(): boolean {
    return this.#halted
  }

  /** Writes what is queued, at the end of this turn. */
  schedule(): void {
    if (!this.#halted) this.#writer.schedule()
  }

  /** Writes a frame that does not wait in the queue. */
  write(bytes: Uint8Array): void {
    if (this.#stream.writeStatus !== 'writable') return
    this.#metrics.frames.inc({ direction: 'out' })
    try {
      this.#stream.send(bytes)
    } catch {
      // The stream is broken and says so with its `close` event.
    }
  }

  /** Takes no more frames, and calls back when the other end has handled those it was given. Not called if the stream ends before. */
  halt(onHandled: () => void): void {
    this.#halted = true
    this.#writer.stop()
    this.#ping()
    this.#handled = { ping: this.#lastPing, onHandled }
  }

  /** Asks a silent peer for a sign of life, or ends a connection that gives none. */
  tick(): void {
    const verdict = this.#keepAlive.check(this.#now())
    // An answer is lost if the other end has too much to say.
    if (verdict === 'ping' || this.#handled !== undefined) this.#ping()
    if (verdict === 'dead') this.connection.abort(new Error('the peer gives no sign of life'))
  }

  abort(cause: Error): void {
    this.#stream.abort(cause)
  }

  #ping(): void {
    this.#lastPing = (this.#lastPing + 1) % PINGS
    this.write(encodeFrame(FRAME.ping, this.#lastPing))
  }

  #receive(frame: Frame, onFrame: (frame: Frame) => void): void {
    this.#metrics.frames.inc({ direction: 'in' })
    if (frame.kind !== FRAME.pong) {
      onFrame(frame)
      return
    }
    const handled = this.#handled
    if (handled === undefined || frame.id < handled.ping) return
    this.#handled = undefined
    handled.onHandled()
  }
}
