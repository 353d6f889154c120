import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { until } from '../../../real/until.ts'

/** An agent of which a test gives the answers: what it is asked is kept, and numbered from 0. */
export abstract class FakeServer<Asked> {
  readonly #asked: Asked[] = []
  readonly #server = createServer((request, response) => {
    const asked = this.take(request, response)
    if (asked !== null) this.#asked.push(asked)
  })

  /** Listens until the end of the test. */
  async open(test: Test): Promise<this> {
    await this.listen(0)
    test.teardown(() => this.close())
    return this
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

  /** Stops listening and breaks what is open. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  /** What was asked as this number, once it was. */
  protected asked(number: number): Promise<Asked> {
    return until(`request ${number} is there`, () => this.#asked[number])
  }

  /** Takes a request; null if it is answered already. */
  protected abstract take(request: IncomingMessage, response: ServerResponse): Asked | null
}
