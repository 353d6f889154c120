import { get as httpGet, type IncomingMessage } from 'node:http'
import type { Test } from 'tap'

/** One event as it arrived. */
export interface Received {
  readonly event: string
  readonly id: string | null
  readonly data: { readonly [name: string]: unknown }
}

/** A client of the stream that takes it apart by the rules, as strictly as our own command does. */
export class StreamReader {
  readonly events: Received[] = []
  comments = 0
  ended = false
  #text = ''
  readonly response: IncomingMessage

  constructor(response: IncomingMessage) {
    this.response = response
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => this.#take(chunk))
    response.on('close', () => {
      this.ended = true
    })
    response.on('error', () => {})
  }

  get lastId(): string {
    return this.events.findLast(({ id }) => id !== null)?.id ?? ''
  }

  #take(chunk: string): void {
    this.#text += chunk
    const blocks = this.#text.split('\n\n')
    this.#text = blocks.pop() ?? ''
    for (const block of blocks) {
      if (block.startsWith(':')) {
        this.comments++
        continue
      }
      const fields = new Map(block.split('\n').map((line) => line.split(/: (.*)/s, 2) as [string, string]))
      this.events.push({
        event: fields.get('event') ?? '',
        id: fields.get('id') ?? null,
        data: JSON.parse(fields.get('data') ?? ''),
      })
    }
  }
}

/** Opens a stream of a server on loopback; it is closed with the test. */
export async function openStream(
  t: Test,
  port: number,
  path: string,
  lastEventId?: string,
): Promise<IncomingMessage> {
  const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  httpGet({ host: '127.0.0.1', port, path, headers }, resolve).on('error', reject)
  const response = await promise
  t.teardown(() => response.destroy())
  return response
}
