/** What is wrong with the labels of one instance; the message says what is allowed. Never leaves this folder. */
export class LabelError extends Error {
  readonly code = 'TRK_BAD_LABEL'
  /** The label at fault. */
  readonly label: string

  constructor(label: string, message: string) {
    super(message)
    this.name = 'LabelError'
    this.label = label
  }
}
