import type { StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'

/** What this needs to know of a stream of yamux. The numbers are bytes: what may arrive in all, and what still may. */
interface WindowedStream {
  readonly state: number
  readonly recvWindow: number
  readonly recvWindowCapacity: number
  sendWindowUpdate(): void
}

interface StreamMaker {
  onCreateStream(...args: unknown[]): unknown
  onRemoteStream(stream: unknown): void
}

/** States of a yamux stream in which its next frame tells the other end that it is open: that one must be sent. */
const OPENING = [0, 2]

/**
 * A muxer whose streams tell the other end how much they have read only when half of the window is used up, as the
 * specification of yamux suggests. @libp2p/yamux does it after every frame of data: one more frame, encrypted and written, for
 * each small message.
 */
export function fewerWindowUpdates(make: () => StreamMuxerFactory): () => StreamMuxerFactory {
  return () => {
    const factory = make()
    const createStreamMuxer = factory.createStreamMuxer.bind(factory)
    factory.createStreamMuxer = (connection) => thin(createStreamMuxer(connection))
    return factory
  }
}

function thin(muxer: StreamMuxer): StreamMuxer {
  const maker: unknown = muxer
  if (!makesStreams(maker)) return muxer
  const create = maker.onCreateStream.bind(maker)
  maker.onCreateStream = (...args) => {
    const stream = create(...args)
    if (isWindowed(stream)) thinStream(stream)
    return stream
  }
  const announce = maker.onRemoteStream.bind(maker)
  maker.onRemoteStream = (stream) => {
    if (isWindowed(stream)) thinStream(stream)
    announce(stream)
  }
  return muxer
}

function thinStream(stream: WindowedStream): void {
  const send = stream.sendWindowUpdate.bind(stream)
  stream.sendWindowUpdate = () => {
    const isOpen = !OPENING.includes(stream.state)
    if (isOpen && stream.recvWindowCapacity > stream.recvWindow / 2) return
    send()
  }
}

function makesStreams(muxer: unknown): muxer is StreamMaker {
  const { onCreateStream, onRemoteStream } = (muxer ?? {}) as Partial<StreamMaker>
  return typeof onCreateStream === 'function' && typeof onRemoteStream === 'function'
}

function isWindowed(stream: unknown): stream is WindowedStream {
  const { state, recvWindow, recvWindowCapacity, sendWindowUpdate } = (stream ??
    {}) as Partial<WindowedStream>
  return (
    [state, recvWindow, recvWindowCapacity].every((value) => typeof value === 'number') &&
    typeof sendWindowUpdate === 'function'
  )
}
