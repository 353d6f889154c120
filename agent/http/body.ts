import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { badRequest, HttpError } from './errors.ts'

/**
 * How much of a body that is too large is read and thrown away before the refusal. A client that is still sending when
 * the connection closes often reports a reset instead of the answer; one that only slightly overshot gets to read it.
 */
const DISCARDED_BYTES_MAX = 4 * 1024 * 1024

/** Digits a double may not hold exactly. */
const LONG_NUMBER = /\d{16}/

/**
 * Makes every body a Buffer, whatever its Content-Type says: Consul's clients send JSON as a form, as text or as nothing.
 * The route's `bodyLimit` is counted in bytes received, so a chunked upload is cut at the limit as well.
 */
export function installBodyReader(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', async (request: FastifyRequest, payload: IncomingMessage) =>
    readBody(payload, declaredLength(request), request.routeOptions.bodyLimit ?? 0),
  )
  app.addHook('onRequest', async (request) => {
    // A Content-Type that does not parse would be refused before any parser is asked.
    if (request.headers['content-type'] !== undefined) {
      request.headers['content-type'] = 'application/octet-stream'
    }
  })
}

/** The bytes of a body; empty if there was none. */
export function bodyBytes(request: FastifyRequest): Buffer {
  return Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
}

/**
 * The JSON value of a body. Keys that would reach a prototype are refused.
 * @throws HttpError 400 `Request decode failed: …`.
 */
export function bodyJson(request: FastifyRequest): unknown {
  const text = bodyBytes(request).toString('utf8')
  if (text.trim() === '') throw badRequest('Request decode failed: the body is empty')
  let decoded: unknown
  let failure: Error | null = null
  request.server.getDefaultJsonParser('error', 'error')(request, text, (error, value) => {
    failure = error
    decoded = value
  })
  if (failure !== null) throw badRequest('Request decode failed: the body is not valid JSON')
  return decoded
}

/**
 * As `bodyJson`, with whole numbers that do not fit a double exactly as bigint.
 * @throws HttpError 400 `Request decode failed: …`.
 */
export function bodyJsonExact(request: FastifyRequest): unknown {
  const decoded = bodyJson(request)
  const text = bodyBytes(request).toString('utf8')
  if (!LONG_NUMBER.test(text)) return decoded
  try {
    return JSON.parse(text, exactNumber)
  } catch {
    throw badRequest('Request decode failed: the body is not valid JSON')
  }
}

function exactNumber(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  const source = context?.source
  const isLong = typeof value === 'number' && !Number.isSafeInteger(value)
  return isLong && source !== undefined && /^-?\d+$/.test(source) ? BigInt(source) : value
}

/** True if the request announces a body. */
export function hasBody(request: FastifyRequest): boolean {
  return request.headers['transfer-encoding'] !== undefined || (declaredLength(request) ?? 0) > 0
}

function declaredLength(request: FastifyRequest): number | null {
  const header = request.headers['content-length']
  return header === undefined ? null : Number(header)
}

async function readBody(stream: IncomingMessage, declared: number | null, limit: number): Promise<Buffer> {
  const giveUpAt = limit + DISCARDED_BYTES_MAX
  if (declared !== null && declared > giveUpAt) throw tooLarge(declared, limit)
  const chunks: Buffer[] = []
  let received = 0
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const onData = (chunk: Buffer): void => {
    received += chunk.length
    if (received <= limit) chunks.push(chunk)
    else chunks.length = 0
    if (received > giveUpAt) finish(tooLarge(declared ?? received, limit))
  }
  const onEnd = (): void => finish(received > limit ? tooLarge(declared ?? received, limit) : null)
  const onError = (): void => finish(badRequest('the body ended early'))
  const finish = (error: HttpError | null): void => {
    stream.off('data', onData).off('end', onEnd).off('error', onError).off('aborted', onError)
    if (error === null) {
      resolve(Buffer.concat(chunks))
    } else {
      stream.pause()
      reject(error)
    }
  }
  stream.on('data', onData).on('end', onEnd).on('error', onError).on('aborted', onError)
  return await promise
}

function tooLarge(bytes: number, limit: number): HttpError {
  return new HttpError(
    'HTTP_TOO_LARGE',
    413,
    `Request body(${bytes} bytes) too large, max size: ${limit} bytes. See /openapi.json for the limits.`,
  )
}
