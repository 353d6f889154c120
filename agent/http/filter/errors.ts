/** Stable codes of what is wrong with a filter. A code is never reused for another meaning. */
export type FilterErrorCode =
  | 'FLT_SYNTAX'
  | 'FLT_SELECTOR'
  | 'FLT_OPERATOR'
  | 'FLT_VALUE'
  | 'FLT_REGEX'
  | 'FLT_TOO_LARGE'
  | 'FLT_WORK'

/** A filter expression that cannot be used. The message begins as Consul's does, which is what its clients show. */
export class FilterError extends Error {
  readonly code: FilterErrorCode

  constructor(code: FilterErrorCode, reason: string) {
    super(`Failed to create boolean expression evaluator: ${reason}`)
    this.name = 'FilterError'
    this.code = code
  }
}
