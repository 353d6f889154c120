import type { FastifyInstance } from 'fastify'
import { formatHostPort } from './config/host-port.ts'
import type { HostPort } from './config/types.ts'

/** A listener that could not be opened; the message names the address and the setting. */
export class ListenError extends Error {
  readonly code = 'CST_LISTEN'

  constructor(what: string, setting: string, cause: NodeJS.ErrnoException) {
    const why = cause.code === 'EADDRINUSE' ? 'the port is in use' : cause.message
    super(`cannot listen on ${what}: ${why}; choose another with ${setting}`, { cause })
    this.name = 'ListenError'
  }
}

/** Opens the HTTP interface. Answers where it listens, with the port it got in place of 0. @throws ListenError */
export async function listenHttp(http: FastifyInstance, listen: HostPort): Promise<string> {
  try {
    await http.listen({ host: listen.host, port: listen.port })
  } catch (error) {
    throw new ListenError(formatHostPort(listen), '--http or http.listen', error as NodeJS.ErrnoException)
  }
  const [address] = http.addresses()
  const port = typeof address === 'object' ? address.port : listen.port
  return formatHostPort({ host: listen.host, port })
}
