import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'

/** Silence after which a comment is sent, so that nobody between takes the connection for dead. */
export const KEEP_ALIVE_MS = 15_000

/** One server-sent event. `id`: what a client sends back as `Last-Event-ID` to go on behind it. */
export interface StreamEvent {
  readonly event: string
  readonly id?: string
  /** Anything JSON can hold. */
  readonly data: unknown
}

/** The text of an event (HTML standard, §9.2.6). JSON has no line breaks, so its data is one line. */
export function eventText({ event, id, data }: StreamEvent): string {
  return `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`
}

/** A comment, which clients ignore. */
export const KEEP_ALIVE_TEXT = ': keep-alive\n\n'

/** Sends texts as they come, at the pace of the client. Ends with the generator; a client that goes away ends the generator. */
export function sendEventStream(reply: FastifyReply, texts: AsyncIterable<string>): FastifyReply {
  return (
    reply
      .header('content-type', 'text/event-stream')
      .header('cache-control', 'no-store')
      .header('x-accel-buffering', 'no')
      // Idle afterwards, it would keep a server that stops waiting for its client.
      .header('connection', 'close')
      .send(Readable.from(texts, { objectMode: false }))
  )
}

/** Woken by whatever the waiting one watches; remembers one wake-up that came while nobody waited. */
export class WakeUp {
  #isDue = false
  #resolve: (() => void) | null = null

  readonly wake = (): void => {
    this.#isDue = true
    this.#resolve?.()
  }

  /** Resolves with the next wake-up, after `timeoutMs`, or when `signal` aborts. */
  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#isDue && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const finish = () => resolve()
      this.#resolve = finish
      const timer = setTimeout(finish, timeoutMs)
      signal.addEventListener('abort', finish, { once: true })
      await promise
      clearTimeout(timer)
      signal.removeEventListener('abort', finish)
      this.#resolve = null
    }
    this.#isDue = false
  }
}
