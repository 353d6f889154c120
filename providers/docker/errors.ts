/** Stable codes of the errors of the Docker source. A code is never reused for another meaning. */
export type DockerErrorCode =
  | 'DKR_UNREACHABLE'
  | 'DKR_DENIED'
  | 'DKR_TIMEOUT'
  | 'DKR_VERSION'
  | 'DKR_REFUSED'
  | 'DKR_STREAM_ENDED'
  | 'DKR_GARBLED'

/** An expected failure of talking to an engine; the message is a sentence for the operator. */
export class DockerError extends Error {
  readonly code: DockerErrorCode

  constructor(code: DockerErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'DockerError'
    this.code = code
  }
}
