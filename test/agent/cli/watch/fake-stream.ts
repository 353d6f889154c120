import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { FakeServer } from './fake-server.ts'

/** A stream that a client has open. */
export interface OpenStream {
  /** Path and query it was asked for. */
  readonly url: string
  readonly lastEventId: string | undefined
  send(text: string): void
  /** Breaks the connection. */
  cut(): void
  /** Ends it in order. */
  end(): void
}

/** What `GET /api/v1/kv/watch` sends for an entry. */
export function put(key: string, value: string, id?: string, more: object = {}): string {
  const entry = {
    LockIndex: 0,
    Key: key,
    Flags: 0,
    Value: Buffer.from(value).toString('base64'),
    ModifyIndex: 5,
    ...more,
  }
  return `event: put\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(entry)}\n\n`
}

/** An agent that answers every request with a stream, or with the status that `refuse` says. */
export class FakeStream extends FakeServer<OpenStream> {
  /** Status and body of every answer; null = a stream. */
  refuse: { readonly status: number; readonly body: string } | null = null
  contentType = 'text/event-stream'
  /** How often it was asked. */
  requests = 0

  static open(test: Test): Promise<FakeStream> {
    return new FakeStream().open(test)
  }

  /** The stream with this number, from 0, once it was asked for. */
  stream(number: number): Promise<OpenStream> {
    return this.asked(number)
  }

  protected override take(request: IncomingMessage, response: ServerResponse): OpenStream | null {
    this.requests++
    if (this.refuse !== null) {
      response.writeHead(this.refuse.status).end(this.refuse.body)
      return null
    }
    response.writeHead(200, { 'content-type': this.contentType })
    response.flushHeaders()
    const lastEventId = request.headers['last-event-id']
    return {
      url: request.url ?? '',
      lastEventId: typeof lastEventId === 'string' ? lastEventId : undefined,
      send: (text) => void response.write(text),
      cut: () => void request.socket.destroy(),
      end: () => void response.end(),
    }
  }
}
