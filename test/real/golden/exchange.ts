import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { heldUpMs } from '../../held-up.ts'

/** A request as it goes out: the target is sent as it is written here. */
export interface Outgoing {
  readonly port: number
  readonly method: string
  readonly target: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string | null
}

/** An answer, and how long it took. Milliseconds. */
export interface Incoming {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly ms: number
  /** Of `ms`: when this process was held up. */
  readonly heldUpMs: number
}

/** Longest time for an answer: what waits in a transcript waits less. Milliseconds. */
const TIMEOUT_MS = 15_000

/** Sends a request on a connection of its own. @throws Error when no answer came in time. */
export function exchange({ port, method, target, headers, body }: Outgoing): Promise<Incoming> {
  const started = performance.now()
  const heldUpBefore = heldUpMs()
  const { promise, resolve, reject } = Promise.withResolvers<Incoming>()
  const outgoing = httpRequest(
    {
      host: '127.0.0.1',
      port,
      method,
      path: target,
      headers: Object.fromEntries(headers),
      agent: false,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    },
    (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('error', reject)
      incoming.on('end', () => {
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          text: Buffer.concat(chunks).toString('utf8'),
          ms: performance.now() - started,
          heldUpMs: heldUpMs() - heldUpBefore,
        })
      })
    },
  )
  outgoing.on('error', reject)
  outgoing.end(body ?? undefined)
  return promise
}
