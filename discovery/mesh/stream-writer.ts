import type { Stream } from '@libp2p/interface'
import type { FrameQueue } from './frame-queue.ts'
import type { MeshMetrics } from './metrics.ts'

// Frames of one turn of the event loop share a write, and with it one encryption and one packet.
const WRITE_BYTES_MAX = 64 * 1024

/** Moves frames from a queue into a stream, as fast as the stream takes them and no faster. */
export class StreamWriter {
  readonly #stream: Stream
  readonly #queue: FrameQueue
  readonly #metrics: MeshMetrics
  #scheduled = false
  #blocked = false
  #stopped = false

  constructor(collaborators: {
    readonly stream: Stream
    readonly queue: FrameQueue
    readonly metrics: MeshMetrics
  }) {
    this.#stream = collaborators.stream
    this.#queue = collaborators.queue
    this.#metrics = collaborators.metrics
    const ready = () => {
      this.#blocked = false
      this.schedule()
    }
    // A stream that was full says `drain` before it has written what it still holds and `idle` after it has.
    this.#stream.addEventListener('drain', ready)
    this.#stream.addEventListener('idle', ready)
  }

  /** Writes what is queued at the end of this turn. */
  schedule(): void {
    if (this.#stopped || this.#scheduled || this.#blocked || this.#queue.size === 0) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#write()
    })
  }

  /** Takes nothing more from the queue. */
  stop(): void {
    this.#stopped = true
  }

  #write(): void {
    while (!this.#stopped && this.#stream.writeStatus === 'writable') {
      if (this.#stream.writableNeedsDrain) {
        this.#blocked = true
        return
      }
      const frames = this.#queue.take(WRITE_BYTES_MAX)
      const first = frames[0]
      if (first === undefined) return
      for (const frame of frames) frame.onSent?.()
      this.#metrics.frames.inc({ direction: 'out' }, frames.length)
      try {
        this.#stream.send(
          frames.length === 1 ? first.bytes : Buffer.concat(frames.map((frame) => frame.bytes)),
        )
      } catch {
        // The stream is broken and says so with its `close` event; whoever owns it decides what follows.
        return
      }
    }
  }
}
