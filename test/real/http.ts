import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { heldUpMs } from '../held-up.ts'

/** An answer, and how long it took from the call on. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly ms: number
  /** Of `ms`: when this process was held up. */
  readonly heldUpMs: number
  /** The body as JSON. @throws SyntaxError when it is none. */
  json(): unknown
}

/** A request. Default GET without a body, at most 5 s. */
export interface Ask {
  readonly method?: 'GET' | 'PUT' | 'DELETE' | 'POST'
  readonly body?: string
  readonly timeoutMs?: number
  /** Default 127.0.0.1. */
  readonly host?: string
}

/**
 * One request on a connection of its own: a pooled one would outlive a killed agent and spoil the next answer.
 * @throws Error when no answer came in time.
 */
export function ask(port: number, path: string, options: Ask = {}): Promise<Answer> {
  const { method = 'GET', body, timeoutMs = 5000, host = '127.0.0.1' } = options
  const started = performance.now()
  const heldUpBefore = heldUpMs()
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      { host, port, path, method, agent: false, signal: AbortSignal.timeout(timeoutMs) },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8')
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            text,
            ms: performance.now() - started,
            heldUpMs: heldUpMs() - heldUpBefore,
            json: () => JSON.parse(text),
          })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

/** The JSON of a 200 answer as what the caller says it is. @throws Error on any other status. */
export async function askJson<T>(port: number, path: string, options: Ask = {}): Promise<T> {
  const answer = await ask(port, path, options)
  if (answer.status !== 200)
    throw new Error(`${path} answered ${answer.status}: ${answer.text.slice(0, 200)}`)
  return answer.json() as T
}
