import type net from 'node:net'

/** A client that asks and does not read is cut off here. */
const UNREAD_BYTES_MAX = 1024 * 1024
/** Questions of one client that wait for others; it is not read further until some are answered. */
const WAITING_MAX = 64

/** Answers one query, now or later; null ends the connection. */
export type Respond = (query: Buffer) => Buffer | null | Promise<Buffer | null>

/**
 * Serves queries on a connection, each behind two bytes of length, until the peer hangs up or falls silent (RFC 7766). Answers may be
 * in another order than the queries.
 */
export function serveConnection(socket: net.Socket, idleTimeoutMs: number, respond: Respond): void {
  // At most one query and its length wait here: complete ones are answered at once.
  let received: Buffer = Buffer.alloc(0)
  let waiting = 0
  let ended = false
  const send = (response: Buffer | null): boolean => {
    if (socket.destroyed) return false
    if (response === null || socket.writableLength > UNREAD_BYTES_MAX) {
      socket.destroy()
      return false
    }
    const length = Buffer.alloc(2)
    length.writeUInt16BE(response.length)
    socket.write(Buffer.concat([length, response]))
    return true
  }
  const settle = (response: Buffer | null): void => {
    waiting--
    send(response)
    if (waiting < WAITING_MAX) serve()
    if (ended && waiting === 0) socket.end()
  }
  const serve = (): void => {
    while (received.length >= 2 && waiting < WAITING_MAX) {
      const end = 2 + received.readUInt16BE(0)
      if (received.length < end) break
      const query = received.subarray(2, end)
      received = received.subarray(end)
      const response = respond(query)
      if (response instanceof Promise) {
        waiting++
        response.then(settle, () => settle(null))
      } else if (!send(response)) return
    }
    if (waiting >= WAITING_MAX) socket.pause()
    else socket.resume()
  }
  socket.on('error', () => socket.destroy())
  socket.setTimeout(idleTimeoutMs, () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
    serve()
  })
  // Half closed: what was asked is still answered.
  socket.on('end', () => {
    ended = true
    if (waiting === 0) socket.end()
  })
}
