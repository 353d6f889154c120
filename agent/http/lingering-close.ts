import type { Socket } from 'node:net'

/** How long a connection is kept to throw away what its client still sends. */
const LINGER_MS = 1000
/** How much of it is read; then the client has to wait, and may read. */
const LINGER_BYTES_MAX = 16 * 1024 * 1024

/**
 * Lets the client of this connection read the answer it is about to get although it is still sending. Closing with bytes
 * unread makes TCP reset the connection, and a client that meets the reset while it writes reports that instead of the
 * answer. So the connection is closed in one direction first, and for a second what comes is thrown away (RFC 9112 §9.6).
 */
export function closeLingering(socket: Socket): void {
  socket.destroySoon = () => {
    // From here on nothing on this connection is a request any more.
    socket.removeAllListeners('data')
    let bytes = 0
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > LINGER_BYTES_MAX) socket.pause()
    })
    socket.end()
    const timer = setTimeout(() => socket.destroy(), LINGER_MS)
    socket.once('close', () => clearTimeout(timer))
  }
}
