import { MeshError } from './errors.ts'

/**
 * One unit on a channel stream: a 4-byte big-endian length of what follows, one byte of kind, a 4-byte id, the payload.
 * The opener of a stream sends messages, requests, cancels and pings; the other side answers with responses, failures
 * and pongs on the same stream, so that an answer can never outlive the stream its question came on.
 */
export interface Frame {
  readonly kind: FrameKind
  /** Joins a response, failure or cancel to its request and a pong to its ping; 0 for a message. */
  readonly id: number
  readonly payload: Uint8Array
}

/** What a frame is. The numbers are on the wire and never change their meaning. */
export const FRAME = {
  ping: 0,
  pong: 1,
  message: 2,
  request: 3,
  response: 4,
  failure: 5,
  cancel: 6,
} as const

/** One of the numbers of {@link FRAME}. */
export type FrameKind = (typeof FRAME)[keyof typeof FRAME]

/** Bytes of a frame that are not payload. */
export const FRAME_HEADER_BYTES = 9

const LENGTH_BYTES = 4
const EMPTY = new Uint8Array(0)

/** The bytes of a frame. The payload is copied: the caller may reuse its buffer. */
export function encodeFrame(kind: FrameKind, id: number, payload: Uint8Array = EMPTY): Uint8Array {
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length)
  bytes.writeUInt32BE(FRAME_HEADER_BYTES - LENGTH_BYTES + payload.length, 0)
  bytes.writeUInt8(kind, LENGTH_BYTES)
  bytes.writeUInt32BE(id, LENGTH_BYTES + 1)
  bytes.set(payload, FRAME_HEADER_BYTES)
  return bytes
}

/** Cuts the bytes of a stream into frames. Holds at most one unfinished frame. */
export class FrameDecoder {
  readonly #payloadBytesMax: number
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES)
  #headerBytes = 0
  #payload = EMPTY
  #payloadBytes = 0

  constructor(options: { readonly payloadBytesMax: number }) {
    this.#payloadBytesMax = options.payloadBytesMax
  }

  /**
   * Takes the next bytes of the stream and answers the frames they complete, in order.
   * @throws MeshError `MSH_TOO_LARGE` or `MSH_PROTOCOL`; the stream is useless afterwards.
   */
  push(chunk: Uint8Array): readonly Frame[] {
    const frames: Frame[] = []
    let offset = 0
    while (offset < chunk.length) {
      offset +=
        this.#headerBytes < FRAME_HEADER_BYTES
          ? this.#fillHeader(chunk, offset)
          : this.#fillPayload(chunk, offset)
      if (this.#headerBytes < FRAME_HEADER_BYTES || this.#payloadBytes < this.#payload.length) continue
      frames.push({
        kind: this.#header.readUInt8(LENGTH_BYTES) as FrameKind,
        id: this.#header.readUInt32BE(LENGTH_BYTES + 1),
        payload: this.#payload,
      })
      this.#headerBytes = 0
      this.#payload = EMPTY
      this.#payloadBytes = 0
    }
    return frames
  }

  #fillHeader(chunk: Uint8Array, offset: number): number {
    const taken = Math.min(FRAME_HEADER_BYTES - this.#headerBytes, chunk.length - offset)
    this.#header.set(chunk.subarray(offset, offset + taken), this.#headerBytes)
    this.#headerBytes += taken
    if (this.#headerBytes < FRAME_HEADER_BYTES) return taken
    const length = this.#header.readUInt32BE(0) - (FRAME_HEADER_BYTES - LENGTH_BYTES)
    if (length < 0 || this.#header.readUInt8(LENGTH_BYTES) > FRAME.cancel) {
      throw new MeshError('MSH_PROTOCOL', 'the peer sent bytes that are not a frame')
    }
    if (length > this.#payloadBytesMax) {
      throw new MeshError(
        'MSH_TOO_LARGE',
        `the peer sent a frame of ${length} bytes, the limit is ${this.#payloadBytesMax}`,
      )
    }
    this.#payload = length === 0 ? EMPTY : new Uint8Array(length)
    return taken
  }

  #fillPayload(chunk: Uint8Array, offset: number): number {
    const taken = Math.min(this.#payload.length - this.#payloadBytes, chunk.length - offset)
    this.#payload.set(chunk.subarray(offset, offset + taken), this.#payloadBytes)
    this.#payloadBytes += taken
    return taken
  }
}
