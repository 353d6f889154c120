/** Stable codes of the errors of service files. */
export type ServiceFileErrorCode =
  | 'FIL_SYNTAX'
  | 'FIL_INVALID'
  | 'FIL_TOO_LARGE'
  | 'FIL_UNREADABLE'
  | 'FIL_TAKEN'

/** A service file that cannot be taken; the message is a sentence about what is wrong, without the name of the file. */
export class ServiceFileError extends Error {
  readonly code: ServiceFileErrorCode

  constructor(code: ServiceFileErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options)
    this.name = 'ServiceFileError'
    this.code = code
  }
}
