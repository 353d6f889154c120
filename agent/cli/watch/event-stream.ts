/** One event of a stream of server-sent events. */
export interface StreamEvent {
  /** "message" unless the stream named it. */
  readonly type: string
  readonly data: string
  /** What a client that reconnects sends as Last-Event-ID after this event; "" if there is nothing to resume from. */
  readonly lastEventId: string
}

/** What a line or an event of a stream may hold before it is refused. */
const LINE_CHARS_MAX = 16 * 1024 * 1024
const LINE_OVERHEAD_CHARS = 16

/** A stream that cannot be read. */
export class EventStreamError extends Error {
  readonly code = 'CLI_BAD_EVENT_STREAM'

  constructor(message: string) {
    super(message)
    this.name = 'EventStreamError'
  }
}

/**
 * Parses server-sent events (HTML standard, §9.2.6 "Interpreting an event stream") out of chunks that may end anywhere,
 * also inside a character or between CR and LF.
 */
export class EventStreamParser {
  /** Strips a byte order mark at the beginning and shows what is not UTF-8 as U+FFFD, as the standard says. */
  readonly #decoder = new TextDecoder('utf-8')
  #line = ''
  #afterCarriageReturn = false
  #type = ''
  #data: string[] = []
  #dataChars = 0
  #lastEventId: string
  /** As of the last empty line: an event that was cut off behind its id was not seen. */
  #resumeFrom: string
  #retryMs: number | null = null

  /** @param lastEventId with which the stream was asked for: events without an id of their own carry it on. */
  constructor(lastEventId = '') {
    this.#lastEventId = lastEventId
    this.#resumeFrom = lastEventId
  }

  /** What a client that reconnects sends as Last-Event-ID; an id may come without an event. */
  get lastEventId(): string {
    return this.#resumeFrom
  }

  /** The reconnection time the stream asked for in milliseconds; null if it did not. */
  get retryMs(): number | null {
    return this.#retryMs
  }

  /** The events that are complete with this chunk. @throws EventStreamError when a line or an event is too long. */
  push(chunk: Uint8Array): readonly StreamEvent[] {
    const text = this.#decoder.decode(chunk, { stream: true })
    const events: StreamEvent[] = []
    let start = 0
    // The second half of a CR LF that the chunks split.
    if (this.#afterCarriageReturn && text.startsWith('\n')) start = 1
    if (text !== '') this.#afterCarriageReturn = text.endsWith('\r')
    const lineEnd = /\r\n|\r|\n/g
    lineEnd.lastIndex = start
    for (let found = lineEnd.exec(text); found !== null; found = lineEnd.exec(text)) {
      const event = this.#takeLine(this.#line + text.slice(start, found.index))
      if (event !== null) events.push(event)
      this.#line = ''
      start = lineEnd.lastIndex
    }
    this.#line += text.slice(start)
    if (this.#line.length > LINE_CHARS_MAX) throw tooLong()
    return events
  }

  #takeLine(line: string): StreamEvent | null {
    if (line === '') return this.#dispatch()
    const colon = line.indexOf(':')
    if (colon === 0) return null
    const field = colon < 0 ? line : line.slice(0, colon)
    const rest = colon < 0 ? '' : line.slice(colon + 1)
    const value = rest.startsWith(' ') ? rest.slice(1) : rest
    if (field === 'event') this.#type = value
    else if (field === 'data') this.#addData(value)
    else if (field === 'id' && !value.includes('\0')) this.#lastEventId = value
    else if (field === 'retry' && /^\d+$/.test(value)) this.#retryMs = Number(value)
    return null
  }

  #addData(value: string): void {
    this.#data.push(value)
    // Also a line of nothing takes room.
    this.#dataChars += value.length + LINE_OVERHEAD_CHARS
    if (this.#dataChars > LINE_CHARS_MAX) throw tooLong()
  }

  #dispatch(): StreamEvent | null {
    this.#resumeFrom = this.#lastEventId
    const [type, data] = [this.#type, this.#data]
    this.#type = ''
    this.#data = []
    this.#dataChars = 0
    if (data.length === 0) return null
    return { type: type === '' ? 'message' : type, data: data.join('\n'), lastEventId: this.#lastEventId }
  }
}

function tooLong(): EventStreamError {
  return new EventStreamError(`an event of the stream exceeds ${LINE_CHARS_MAX} characters`)
}
