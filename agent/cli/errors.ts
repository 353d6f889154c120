/** Stable codes of the errors of the command line. */
export type CliErrorCode =
  | 'CLI_USAGE'
  | 'CLI_FAILED'
  | 'CLI_ABORTED'
  | 'CLI_BUSY'
  | 'CLI_NOT_A_LOCK'
  | 'CLI_SESSION_GONE'
  | 'CLI_STREAM_REFUSED'

const EXIT_CODES: Readonly<Record<CliErrorCode, number>> = {
  CLI_USAGE: 64,
  CLI_FAILED: 1,
  CLI_ABORTED: 1,
  // EX_TEMPFAIL of sysexits.h: nothing is wrong, it may work later.
  CLI_BUSY: 75,
  CLI_NOT_A_LOCK: 1,
  CLI_SESSION_GONE: 1,
  CLI_STREAM_REFUSED: 1,
}

/**
 * A command cannot go on; the message is one line for the operator. Ends the program with `exitCode`: 64 usage, 75 a lock that
 * is held by somebody else, 1 failed.
 */
export class CliError extends Error {
  readonly code: CliErrorCode
  readonly exitCode: number

  constructor(code: CliErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'CliError'
    this.code = code
    this.exitCode = EXIT_CODES[code]
  }
}
