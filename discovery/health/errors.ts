/** Stable codes of the errors of discovery/health. A code is never reused for another meaning. */
export type HealthErrorCode = 'HLT_FILE_DAMAGED' | 'HLT_FILE_FAILED'

/** An expected failure of the check runner; the message is a sentence for the operator. */
export class HealthError extends Error {
  readonly code: HealthErrorCode

  constructor(code: HealthErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'HealthError'
    this.code = code
  }
}
