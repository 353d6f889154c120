import { InvariantError, type Message, type MessageType, type NodeId } from './types.ts'

/** A whole message out of the fields its type uses. */
export function composeMessage(
  type: MessageType,
  from: NodeId,
  to: NodeId,
  term: number,
  fields: Partial<Message>,
): Message {
  return {
    type,
    to,
    from,
    term,
    index: fields.index ?? 0,
    logTerm: fields.logTerm ?? 0,
    entries: fields.entries ?? [],
    commit: fields.commit ?? 0,
    reject: fields.reject ?? false,
    rejectHint: fields.rejectHint ?? 0,
    context: fields.context ?? 0,
    transfer: fields.transfer ?? false,
    lease: fields.lease ?? false,
    snapshot: fields.snapshot ?? null,
  }
}

/** The messages that wait for the next Ready: those that may leave at once, and those that must not before its write. */
export class Outgoing {
  readonly #from: NodeId
  readonly #term: () => number
  #messages: Message[] = []
  #afterPersist: Message[] = []

  /** `term`: of the node now, which a message carries unless it names another. */
  constructor(from: NodeId, term: () => number) {
    this.#from = from
    this.#term = term
  }

  #compose(type: MessageType, to: NodeId, fields: Partial<Message>): Message {
    if (type === 'vote' && fields.term === 0) throw new InvariantError('a vote is for a term')
    return composeMessage(type, this.#from, to, fields.term ?? this.#term(), fields)
  }

  send(type: MessageType, to: NodeId, fields: Partial<Message>): void {
    this.#messages.push(this.#compose(type, to, fields))
  }

  sendAfterPersist(type: MessageType, to: NodeId, fields: Partial<Message>): void {
    this.#afterPersist.push(this.#compose(type, to, fields))
  }

  isEmpty(): boolean {
    return this.#messages.length === 0 && this.#afterPersist.length === 0
  }

  take(): { readonly messages: readonly Message[]; readonly messagesAfterPersist: readonly Message[] } {
    const taken = { messages: this.#messages, messagesAfterPersist: this.#afterPersist }
    this.#messages = []
    this.#afterPersist = []
    return taken
  }
}
