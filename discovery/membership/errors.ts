/** Stable codes of the errors of the membership. A code is never reused for another meaning. */
export type MembershipErrorCode =
  | 'MBR_META_TOO_LARGE'
  | 'MBR_BAD_NAME'
  | 'MBR_NOT_STARTED'
  | 'MBR_BAD_MESSAGE'
  | 'MBR_FILE_FAILED'
  | 'MBR_UNKNOWN_MEMBER'
  | 'MBR_MEMBER_LIVES'
  | 'MBR_SELF'

/** An expected failure of the membership; the message is a sentence for the operator. */
export class MembershipError extends Error {
  readonly code: MembershipErrorCode

  constructor(code: MembershipErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'MembershipError'
    this.code = code
  }
}
