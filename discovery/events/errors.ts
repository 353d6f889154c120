/** Stable codes of the errors of user events. A code is never reused for another meaning. */
export type EventErrorCode =
  /** The event is out of bounds or one of its filters is no regular expression. */
  | 'EVT_INVALID'
  /** What came over the mesh is no event. */
  | 'EVT_BAD_MESSAGE'

/** A user event that cannot be. */
export class EventError extends Error {
  readonly code: EventErrorCode

  constructor(code: EventErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'EventError'
    this.code = code
  }
}
