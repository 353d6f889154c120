import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { FakeServer } from './fake-server.ts'

/** A question that waits for its answer. */
export interface OpenQuery {
  /** Path and query it was asked with. */
  readonly url: string
  /** Answers; without an index there is no such header. */
  answer(body: unknown, index?: number | string, status?: number): void
  /** Breaks the connection. */
  cut(): void
}

/** An agent whose answers the test gives, one by one. */
export class FakeQueries extends FakeServer<OpenQuery> {
  static open(test: Test): Promise<FakeQueries> {
    return new FakeQueries().open(test)
  }

  /** The question with this number, from 0, once it was asked. */
  query(number: number): Promise<OpenQuery> {
    return this.asked(number)
  }

  protected override take(request: IncomingMessage, response: ServerResponse): OpenQuery {
    return {
      url: request.url ?? '',
      answer(body, index, status = 200) {
        const text = typeof body === 'string' ? body : JSON.stringify(body)
        response.writeHead(status, index === undefined ? {} : { 'x-consul-index': String(index) }).end(text)
      },
      cut: () => void response.destroy(),
    }
  }
}
