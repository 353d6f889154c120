import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'
import { badRequest } from './errors.ts'

/** Statuses of the connection errors that deserve another answer than 400. */
const CONNECTION_ERRORS: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
}

interface Pending {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/** What happens on connections outside of requests that have a route: errors, and what Node would answer without a text. */
export class Connections {
  /** The request each connection is busy with. */
  readonly #pending = new WeakMap<Socket, Pending>()
  readonly #ending = new WeakSet<Socket>()

  /** Follows the requests of a server. To be called once, before it listens. */
  follow(server: Server): void {
    server.on('request', (request, response) => this.#pending.set(request.socket, { request, response }))
    // RFC 9110 §10.1.1: an expectation other than 100-continue may be ignored; Node's own 417 has no text.
    server.on('checkExpectation', (request, response) => server.emit('request', request, response))
    // Nobody asks an origin server for a tunnel; Node would close without a word.
    server.on('connect', (_request, socket) => this.failed(new Error('CONNECT'), socket as Socket))
  }

  /**
   * Answers what is not a request, or not in time, and closes the connection. A request that came whole before it is
   * answered first: what follows must not be taken for its answer.
   */
  failed(error: Error & { code?: string }, socket: Socket): void {
    if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
      socket.destroy()
      return
    }
    if (this.#ending.has(socket)) return
    const pending = this.#pending.get(socket)
    if (pending?.request.complete === true && !pending.response.writableEnded) {
      this.#ending.add(socket)
      pending.response.once('finish', () => socket.destroySoon())
      return
    }
    // The answer is under way; an error in the middle of it would be read as a part of it.
    if (pending?.response.headersSent === true && !pending.response.writableEnded) {
      socket.destroy()
      return
    }
    const status = CONNECTION_ERRORS[error.code ?? ''] ?? '400 Bad Request'
    const body = `${status.slice(4)}\n`
    socket.end(
      `HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    )
  }
}

/** Refuses a request of HTTP/1.1 that names no host (RFC 9112 §3.2) and ends its connection. @throws HttpError 400. */
export function requireHost({ headers, httpVersion }: IncomingMessage, reply: FastifyReply): void {
  if (headers.host !== undefined || httpVersion === '1.0') return
  reply.header('connection', 'close')
  throw badRequest('missing required Host header')
}
