/** Stable codes of the errors of the command line. */
export type CliErrorCode = 'CLI_USAGE' | 'CLI_FAILED'

/** A command cannot go on; the message is one line for the operator. Ends the program with `exitCode` (64 usage, 1 failed). */
export class CliError extends Error {
  readonly code: CliErrorCode
  readonly exitCode: number

  constructor(code: CliErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'CliError'
    this.code = code
    this.exitCode = code === 'CLI_USAGE' ? 64 : 1
  }
}
