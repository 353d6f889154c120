import type { MeshMetrics } from './metrics.ts'

/** A frame on its way to a stream. */
export interface QueuedFrame {
  readonly bytes: Uint8Array
  /** Set when nobody wants it any more; it is skipped. */
  cancelled?: boolean
  /** Called when the stream has taken it: from here on the peer may receive it. */
  readonly onSent?: () => void
  /** Called when it will never be sent. */
  readonly onDropped?: (cause: unknown) => void
}

/** Bounds of a {@link FrameQueue}. */
export interface FrameQueueOptions {
  readonly framesMax: number
  readonly bytesMax: number
}

/** Frames waiting for a stream, first in first out, bounded in number and bytes. A full queue refuses the newest. */
export class FrameQueue {
  readonly #options: FrameQueueOptions
  readonly #metrics: MeshMetrics
  #frames: QueuedFrame[] = []
  #head = 0
  #bytes = 0

  constructor(options: FrameQueueOptions, collaborators: { readonly metrics: MeshMetrics }) {
    this.#options = options
    this.#metrics = collaborators.metrics
  }

  get size(): number {
    return this.#frames.length - this.#head
  }

  /** False when the queue is full. An empty queue takes a frame of any size. */
  push(frame: QueuedFrame): boolean {
    const full =
      this.size >= this.#options.framesMax || this.#bytes + frame.bytes.length > this.#options.bytesMax
    if (full && this.size > 0) return false
    this.#frames.push(frame)
    this.#count(1, frame.bytes.length)
    return true
  }

  /** Takes frames from the front until they make `bytesMax` bytes; at least one, unless there is none. */
  take(bytesMax: number): readonly QueuedFrame[] {
    const taken: QueuedFrame[] = []
    let bytes = 0
    while (this.#head < this.#frames.length) {
      const frame = this.#frames[this.#head]
      if (frame === undefined || (taken.length > 0 && bytes + frame.bytes.length > bytesMax)) break
      this.#head += 1
      this.#count(-1, -frame.bytes.length)
      if (frame.cancelled === true) continue
      taken.push(frame)
      bytes += frame.bytes.length
    }
    if (this.#head === this.#frames.length) {
      this.#frames = []
      this.#head = 0
    } else if (this.#head > 1_024 && this.#head * 2 > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#head)
      this.#head = 0
    }
    return taken
  }

  /** Drops everything and tells those who wait. Answers how many frames that were. */
  clear(cause: unknown): number {
    const frames = this.take(Number.POSITIVE_INFINITY)
    for (const frame of frames) frame.onDropped?.(cause)
    return frames.length
  }

  #count(frames: number, bytes: number): void {
    this.#bytes += bytes
    this.#metrics.queuedFrames.inc(frames)
    this.#metrics.queuedBytes.inc(bytes)
  }
}
