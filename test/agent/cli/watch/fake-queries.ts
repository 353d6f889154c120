import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { until } from '../../../real/until.ts'

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
export class FakeQueries {
  readonly #open: OpenQuery[] = []
  readonly #server = createServer((request, response) => this.#take(request, response))

  static async open(test: Test): Promise<FakeQueries> {
    const fake = new FakeQueries()
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

  /** The question with this number, from 0, once it was asked. */
  async query(number: number): Promise<OpenQuery> {
    await until(`question ${number} is asked`, () => this.#open.length > number)
    return this.#open[number] as OpenQuery
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    this.#open.push({
      url: request.url ?? '',
      answer(body, index, status = 200) {
        const text = typeof body === 'string' ? body : JSON.stringify(body)
        response.writeHead(status, index === undefined ? {} : { 'x-consul-index': String(index) }).end(text)
      },
      cut: () => void response.destroy(),
    })
  }
}
