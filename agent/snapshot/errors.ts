/** Why an archive of keys cannot be used. A code is never reused for another meaning. */
export type ArchiveErrorCode = 'SNP_DAMAGED' | 'SNP_FOREIGN' | 'SNP_TOO_LARGE'

/** An archive that is damaged, not ours or too large. The message completes "the snapshot …". Nothing was changed. */
export class ArchiveError extends Error {
  readonly code: ArchiveErrorCode

  constructor(code: ArchiveErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'ArchiveError'
    this.code = code
  }
}

/** The archive is not what was written. */
export function damaged(what: string, cause?: unknown): ArchiveError {
  return new ArchiveError('SNP_DAMAGED', `the snapshot is damaged: ${what}`, { cause })
}

/** The archive was made by another program, or by a newer version of this one. */
export function foreign(what: string, cause?: unknown): ArchiveError {
  return new ArchiveError('SNP_FOREIGN', `this is not a snapshot of Constellation: ${what}`, { cause })
}
