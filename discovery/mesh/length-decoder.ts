import type { MessageStream } from '@libp2p/interface'

/** What the decoder of noise hands over: bytes in pieces. */
interface Bytes {
  readonly length: number
  get(index: number): number
}

interface Decoding {
  readonly decoder: { lengthDecoder: (bytes: Bytes) => number; readonly maxDataLength: number }
}

const LENGTH_BYTES = 2

/**
 * Lets the encrypted connection wait for more bytes without an exception. @libp2p/noise looks for a next packet behind every
 * packet, and finds out that there is none by an error that it throws, catches and drops: with its stack, a fifth of what an
 * idle agent spends. The length answered here instead is of a packet that cannot be there yet, which ends the search as well.
 */
export function decodeLengthsQuietly(connection: MessageStream): MessageStream {
  const stream: unknown = connection
  if (!isDecoding(stream)) return connection
  const { decoder } = stream
  decoder.lengthDecoder = (bytes) =>
    bytes.length < LENGTH_BYTES ? decoder.maxDataLength : bytes.get(0) * 256 + bytes.get(1)
  return connection
}

function isDecoding(stream: unknown): stream is Decoding {
  const { decoder } = (stream ?? {}) as Partial<Decoding>
  return typeof decoder?.lengthDecoder === 'function' && typeof decoder.maxDataLength === 'number'
}
