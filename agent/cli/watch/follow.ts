import { setTimeout as delay } from 'node:timers/promises'
import { type ApiClient, readAll } from '../api-client.ts'
import { CliError } from '../errors.ts'
import { EventStreamParser, type StreamEvent } from './event-stream.ts'

/** A stream that is silent for this long is dead: the agent sends a comment every 15 s. */
const SILENCE_MS_MAX = 45_000
const BACKOFF_FIRST_MS = 250
const BACKOFF_MAX_MS = 10_000
const ERROR_BYTES_MAX = 64 * 1024

/** Who wants the events. */
export interface FollowListener {
  /** A stream begins. @param resumed it goes on after the last event; otherwise everything is listed. */
  begin(resumed: boolean): void
  /** One chunk of the stream held these. */
  events(events: readonly StreamEvent[]): void
  /** Something an operator may want to know. */
  note(line: string): void
}

/**
 * Follows a stream of events until `signal` is aborted. A stream that ends or breaks is asked for again, with the id of the
 * last event and growing pauses; the first one has to come about.
 * @throws CliError when the agent refuses the stream, or does not answer the first time.
 */
export async function follow(
  api: ApiClient,
  path: string,
  listener: FollowListener,
  signal: AbortSignal,
): Promise<void> {
  let lastEventId = ''
  let pauseMs = BACKOFF_FIRST_MS
  let begun = false
  let outage = false
  while (!signal.aborted) {
    try {
      const parser = new EventStreamParser(lastEventId)
      for await (const chunk of chunksOf(api, path, lastEventId, listener, signal)) {
        begun = true
        if (outage) listener.note(`connected to ${api.address} again`)
        outage = false
        pauseMs = BACKOFF_FIRST_MS
        const events = parser.push(chunk)
        lastEventId = parser.lastEventId
        if (events.length > 0) listener.events(events)
      }
      if (parser.retryMs !== null) pauseMs = Math.min(Math.max(parser.retryMs, pauseMs), BACKOFF_MAX_MS)
      throw new CliError('CLI_FAILED', `the agent at ${api.address} ended the stream`)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof CliError) || error.code === 'CLI_STREAM_REFUSED' || !begun) throw error
      if (!outage) listener.note(`${error.message}; trying again`)
      outage = true
    }
    await delay(pauseMs * (0.75 + Math.random() / 4), undefined, { signal }).catch(() => {})
    pauseMs = Math.min(pauseMs * 2, BACKOFF_MAX_MS)
  }
}

async function* chunksOf(
  api: ApiClient,
  path: string,
  lastEventId: string,
  listener: FollowListener,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const silence = new AbortController()
  const ended = AbortSignal.any([silence.signal, signal])
  const headers = {
    accept: 'text/event-stream',
    ...(lastEventId === '' ? {} : { 'last-event-id': encodeHeader(lastEventId) }),
  }
  const { status, body } = await api.stream(path, { headers, signal: ended })
  if (status !== 200) {
    const refusal = api.refusal({ status, body: await readAll(body, ERROR_BYTES_MAX) })
    throw status < 500 ? new CliError('CLI_STREAM_REFUSED', refusal.message) : refusal
  }
  if (body.headers['content-type']?.startsWith('text/event-stream') !== true) {
    body.destroy()
    throw new CliError('CLI_STREAM_REFUSED', `what answers at ${api.address} sends no stream of events`)
  }
  listener.begin(lastEventId !== '')
  const timer = setTimeout(() => silence.abort(), SILENCE_MS_MAX)
  try {
    for await (const chunk of body) {
      timer.refresh()
      yield chunk as Buffer
    }
  } catch (error) {
    const why = silence.signal.aborted
      ? `the agent at ${api.address} was silent for ${SILENCE_MS_MAX / 1000} s`
      : `the stream of the agent at ${api.address} broke: ${(error as Error).message}`
    throw new CliError('CLI_FAILED', why, { cause: error })
  } finally {
    clearTimeout(timer)
    body.destroy()
  }
}

/** The UTF-8 of an id as a header field can carry it. */
function encodeHeader(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}
