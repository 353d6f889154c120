/** Stable codes of a refused configuration: the file cannot be read, is not YAML, or says something that cannot be. */
export type ConfigErrorCode = 'CFG_UNREADABLE' | 'CFG_SYNTAX' | 'CFG_INVALID'

/** One thing that is wrong with the configuration. */
export interface ConfigProblem {
  /** What the operator has to change: `FILE:LINE`, an environment variable, a flag, or null for a default. */
  readonly where: string | null
  /** Dotted path of the setting; null when the problem is not about one. */
  readonly key: string | null
  /** What is wrong, naming the value. */
  readonly what: string
  /** What would be accepted; null when there is nothing to list. */
  readonly allowed: string | null
}

/**
 * The configuration was refused. `message` has one line per problem, each
 * `WHERE: KEY: what is wrong with VALUE; allowed: …`; `problems` has the same lines apart.
 */
export class ConfigError extends Error {
  readonly code: ConfigErrorCode
  /** EX_CONFIG of sysexits(3). systemd's RestartPreventExitStatus=78 keeps a bad configuration from looping. */
  readonly exitCode = 78
  readonly problems: readonly string[]

  constructor(code: ConfigErrorCode, problems: readonly ConfigProblem[]) {
    const lines = problems.map(formatProblem)
    super(lines.join('\n'))
    this.name = 'ConfigError'
    this.code = code
    this.problems = lines
  }
}

/** The problem as one line of text. Control characters that came in with a value are escaped. */
export function formatProblem(problem: ConfigProblem): string {
  const parts = [problem.where, problem.key].filter((part) => part !== null)
  // `did you mean "x"?` already ends a sentence; a semicolon after it would read as a mistake.
  const separator = problem.what.endsWith('?') ? ' ' : '; '
  const allowed = problem.allowed === null ? '' : `${separator}allowed: ${problem.allowed}`
  const line = [...parts, `${problem.what}${allowed}`].join(': ')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not reach a terminal
  return line.replace(/[\u0000-\u001f\u007f]/g, (char) => JSON.stringify(char).slice(1, -1))
}

/** A value in quotes, shortened so that a message stays one readable line. */
export function quoteValue(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 80 ? `${text.slice(0, 76)}…"` : text
}

/** Why a file could not be read, in words. */
export function fileReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'no such file'
  if (code === 'EACCES') return 'permission denied'
  if (code === 'EISDIR') return 'it is a folder'
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'it is not UTF-8 text'
  return message
}
