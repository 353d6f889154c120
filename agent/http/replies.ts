import type { FastifyReply, FastifyRequest } from 'fastify'
import { hasParam } from './query.ts'

/** JSON text of a value; indented by four spaces for `?pretty`. */
export function renderJson(request: FastifyRequest, value: unknown): string {
  return JSON.stringify(value, null, hasParam(request.query, 'pretty') ? 4 : undefined)
}

/** Sends JSON text. The type is exactly `application/json`: some clients compare it, so no charset is added. */
export function sendJsonText(reply: FastifyReply, text: string): FastifyReply {
  return sendJsonBytes(reply, Buffer.from(text))
}

/** Sends JSON that is bytes already, which others may send as well. */
export function sendJsonBytes(reply: FastifyReply, bytes: Buffer): FastifyReply {
  // As bytes, because the framework adds a charset to a string.
  return reply.header('content-type', 'application/json').send(bytes)
}

/** Sends a value as JSON. */
export function sendJson(request: FastifyRequest, reply: FastifyReply, value: unknown): FastifyReply {
  return sendJsonText(reply, renderJson(request, value))
}

/** Sends plain text. */
export function sendText(reply: FastifyReply, status: number, text: string): FastifyReply {
  return reply.code(status).header('content-type', 'text/plain; charset=utf-8').send(text)
}

/** 200 and nothing more: the answer of calls without a result. */
export function sendEmpty(reply: FastifyReply): FastifyReply {
  return reply.code(200).send()
}

/** Aborts when the client closes its connection before the answer is out. */
export function clientSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  // The body of a GET is read by nobody, and a socket that waits to be read does not tell that its other end has closed.
  reply.request.raw.resume()
  // The response's close, not the request's: the latter also comes when a body has been read to its end.
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort()
  })
  return controller.signal
}
