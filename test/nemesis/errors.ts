/** Codes of what ends a run before its time. */
export type NemesisErrorCode = 'NEM_USAGE' | 'NEM_STUCK' | 'NEM_STOPPED'

/** A run that cannot go on: wrongly asked for, stuck, or told to stop. */
export class NemesisError extends Error {
  readonly code: NemesisErrorCode

  constructor(code: NemesisErrorCode, message: string) {
    super(message)
    this.name = 'NemesisError'
    this.code = code
  }
}
