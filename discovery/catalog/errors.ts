/** Stable codes of the errors of the catalogue. A code is never reused for another meaning. */
export type CatalogErrorCode =
  | 'CAT_INVALID'
  | 'CAT_TOO_LARGE'
  | 'CAT_UNKNOWN_SERVICE'
  | 'CAT_NOT_STARTED'
  | 'CAT_BAD_MESSAGE'
  | 'CAT_FILE_DAMAGED'
  | 'CAT_FILE_FAILED'

/** An expected failure of the catalogue; the message is a sentence for the operator. */
export class CatalogError extends Error {
  readonly code: CatalogErrorCode

  constructor(code: CatalogErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'CatalogError'
    this.code = code
  }
}
