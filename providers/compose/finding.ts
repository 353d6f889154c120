/** `error`: something that was asked for will not be. `warning`: probably not what was meant. `note`: good to know. */
export type Severity = 'error' | 'warning' | 'note'

/** Something about a Compose file its author should know. */
export interface Finding {
  readonly severity: Severity
  /** `file:line`. */
  readonly where: string
  /** "" = the project. */
  readonly service: string
  /** A sentence that says what to do, where there is something. */
  readonly message: string
}
