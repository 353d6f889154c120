/** What keeps a Compose file from being read; the message names file and line. */
export class ComposeError extends Error {
  readonly code = 'CMP_UNREADABLE'

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ComposeError'
  }
}
