import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { answerFor, type ErrorAnswer } from './consul-errors.ts'
import { ClientGoneError } from './errors.ts'
import { sendText } from './replies.ts'
import { dialectOf } from './routes.ts'

const UNKNOWN_V1_PATH = 'Invalid URL path: not a recognized HTTP API endpoint'

/** Answers errors and unknown paths in the dialect of the path they happened on. */
export function installFailureReplies(app: FastifyInstance, log: Logger): void {
  app.setErrorHandler((error, request, reply) => {
    // Whatever went wrong, nobody is there to read about it.
    if (error instanceof ClientGoneError || reply.raw.destroyed) return reply.send()
    const answer = answerFor(error)
    if (answer.code === 'HTTP_INTERNAL') {
      log.error({ err: error, route: request.routeOptions.url, method: request.method }, 'request failed')
    }
    return sendFailure(request, reply, answer)
  })
  app.setNotFoundHandler((request, reply) => {
    const text = dialectOf(request.originalUrl) === 'consul' ? UNKNOWN_V1_PATH : 'no such path'
    return sendFailure(request, reply, { status: 404, text, code: 'HTTP_NOT_FOUND' })
  })
}

/** Answers a failure in the dialect of the request's path: plain text, or `{error:{code,message}}` below /api. */
export function sendFailure(request: FastifyRequest, reply: FastifyReply, answer: ErrorAnswer): FastifyReply {
  if (answer.status === 413) reply.header('connection', 'close')
  if (dialectOf(request.originalUrl) !== 'api') return sendText(reply, answer.status, answer.text)
  return reply
    .code(answer.status)
    .header('content-type', 'application/json')
    .send(Buffer.from(JSON.stringify({ error: { code: answer.code, message: answer.text } })))
}
