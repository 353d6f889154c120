import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { until } from '../../../real/until.ts'

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
export class FakeStream {
  readonly #streams: OpenStream[] = []
  readonly #server = createServer((request, response) => this.#answer(request, response))
  /** Status and body of every answer; null = a stream. */
  refuse: { readonly status: number; readonly body: string } | null = null
  contentType = 'text/event-stream'
  /** How often it was asked. */
  asked = 0

  static async open(test: Test): Promise<FakeStream> {
    const fake = new FakeStream()
    await fake.listen(0)
    test.teardown(() => fake.close())
    return fake
  }

  listen(port: number): Promise<void> {
    return new Promise((resolve) => this.#server.listen(port, '127.0.0.1', resolve))
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  /** The stream with this number, from 0, once it was asked for. */
  stream(number: number): Promise<OpenStream> {
    return until(`stream ${number} is asked for`, () => this.#streams[number])
  }

  /** Stops listening and breaks what is open. */
  close(): Promise<void> {
    this.#server.closeAllConnections()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.asked++
    if (this.refuse !== null) {
      response.writeHead(this.refuse.status).end(this.refuse.body)
      return
    }
    response.writeHead(200, { 'content-type': this.contentType })
    response.flushHeaders()
    const lastEventId = request.headers['last-event-id']
    this.#streams.push({
      url: request.url ?? '',
      lastEventId: typeof lastEventId === 'string' ? lastEventId : undefined,
      send: (text) => void response.write(text),
      cut: () => void request.socket.destroy(),
      end: () => void response.end(),
    })
  }
}
