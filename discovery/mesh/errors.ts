/** Stable codes of the errors of the mesh. A code is never reused for another meaning. */
export type MeshErrorCode =
  | 'MSH_UNREACHABLE'
  /** The address that was dialled is that of this node. */
  | 'MSH_SELF'
  | 'MSH_TIMEOUT'
  | 'MSH_CLOSED'
  | 'MSH_REMOTE'
  | 'MSH_WRONG_KEY'
  | 'MSH_WRONG_CLUSTER'
  /** One of the two ends has as many connections as it may have. */
  | 'MSH_FULL'
  | 'MSH_PROTOCOL'
  | 'MSH_TOO_LARGE'
  | 'MSH_STOPPED'
  | 'MSH_NO_KEY'
  | 'MSH_KEY_FILE'
  | 'MSH_IDENTITY'
  | 'MSH_LISTEN'
  /** Two processes have one identity, and the other one was there first. */
  | 'MSH_IDENTITY_IN_USE'

/** An expected failure of the mesh; the message is a sentence for the operator. */
export class MeshError extends Error {
  readonly code: MeshErrorCode

  constructor(code: MeshErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'MeshError'
    this.code = code
  }
}

/** The machine answered that nobody listens at this address: the one thing about a failed dial that proves something. */
export class NobodyListensError extends MeshError {
  constructor(address: string, options: { cause?: unknown } = {}) {
    super('MSH_UNREACHABLE', `${address}: nobody listens there (connection refused)`, options)
    this.name = 'NobodyListensError'
  }
}
