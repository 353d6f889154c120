/** Bounds of the mesh. Everything that can grow has one. */
export interface MeshLimits {
  /** Largest payload of one message, request or answer, in bytes. */
  readonly frameBytesMax: number
  /** Frames waiting per peer and channel; the newest is dropped when it is full. */
  readonly queueFramesMax: number
  /** Bytes waiting per peer and channel. */
  readonly queueBytesMax: number
  /** Requests without an answer per peer and channel, in each direction. */
  readonly requestsInFlightMax: number
  /** Largest payload of one gossip message, in bytes. */
  readonly gossipBytesMax: number
  /** Time until a peer that is dialled has said its first word: name resolution and TCP included. */
  readonly dialTimeoutMs: number
  /** Time from there on, on both sides, for encryption and the proof of membership; an inbound connection has one second more in all. */
  readonly handshakeTimeoutMs: number
  /** Silence on a stream before its other end is asked for a sign of life; three unanswered questions end the connection. */
  readonly keepAliveMs: number
  /** Connections that are kept: with more members than this the mesh is a partial one. */
  readonly connectionsMax: number
  /** Connections beside those that are kept, made for a message or by the other end. Together the two bound all of them. */
  readonly onDemandMax: number
  /** A connection that is not to be kept is closed after this long without a message. */
  readonly idleMs: number
}

/** The bounds used when none are given. */
export const DEFAULT_LIMITS: MeshLimits = Object.freeze({
  frameBytesMax: 8 * 1024 * 1024,
  queueFramesMax: 4_096,
  queueBytesMax: 32 * 1024 * 1024,
  requestsInFlightMax: 1_024,
  gossipBytesMax: 1024 * 1024,
  dialTimeoutMs: 5_000,
  handshakeTimeoutMs: 10_000,
  keepAliveMs: 15_000,
  connectionsMax: 128,
  onDemandMax: 512,
  idleMs: 30_000,
})
