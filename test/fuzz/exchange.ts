import { connect } from 'node:net'

/**
 * How an exchange ended. `closed`: the server closed the connection. `gone`: so it did, but only after the client had said that it
 * sends no more. `parked`: it keeps the request waiting, as a blocking query does. `stream`: it began to send events, or the log. `hung`:
 * none of these within the bound.
 */
export interface Exchange {
  readonly end: 'closed' | 'gone' | 'parked' | 'stream' | 'hung'
  readonly received: Buffer
  readonly ms: number
}

/** What has brought no answer until then is taken for half a request. */
const HALF_MS = 50
/** A request that has no answer after this is either parked or late. */
const PARKED_MS = 60
/** Longer than the server waits for anything but the end of a blocking query: it gives an operator's order five seconds. */
const BOUND_MS = 8000
const EVENT_STREAM =
  /^(?:HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 200 [\s\S]*?\r\ncontent-type: (?:text\/event-stream|text\/plain; charset=utf-8(?=[\s\S]*?\r\ntransfer-encoding: chunked))[\s\S]*?\r\n\r\n/i

/**
 * Sends bytes on a connection of their own and reads until the other side closes it. `isParked` says whether the server keeps a
 * request waiting now; such a request, and a stream, are given up. `mayBeHalf`: what is sent may promise more than it
 * brings; the server is told that nothing will come if it does not answer.
 */
export function exchange(
  port: number,
  bytes: Buffer,
  { mayBeHalf, isParked }: { readonly mayBeHalf: boolean; readonly isParked: () => Promise<boolean> },
): Promise<Exchange> {
  const started = performance.now()
  const socket = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true })
  const chunks: Buffer[] = []
  return new Promise((resolve) => {
    const isStream = (): boolean => EVENT_STREAM.test(Buffer.concat(chunks).toString('latin1', 0, 2000))
    const finish = (end: Exchange['end']): void => {
      clearInterval(timer)
      clearTimeout(half)
      socket.destroy()
      resolve({ end, received: Buffer.concat(chunks), ms: performance.now() - started })
    }
    const timer = setInterval(async () => {
      if (isStream()) finish('stream')
      else if (performance.now() - started > BOUND_MS) finish('hung')
      else if (chunks.length === 0 && (await isParked())) finish('parked')
    }, PARKED_MS)
    let isHalf = false
    const half = setTimeout(() => {
      if (!mayBeHalf) return
      if (isStream()) return finish('stream')
      isHalf = chunks.length === 0
      socket.end()
    }, HALF_MS)
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('end', () => socket.end())
    // A reset is a way to say no as well, once everything that was said before it was read.
    socket.on('error', () => {})
    socket.on('close', () => finish(isStream() ? 'stream' : isHalf ? 'gone' : 'closed'))
    socket.write(bytes)
  })
}
