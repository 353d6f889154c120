import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import type { TSchema } from 'typebox'
import { HttpError } from './errors.ts'
import type { Permission } from './permissions.ts'
import { originForm } from './raw-path.ts'

/** How a part of the interface speaks: `consul` = plain-text errors, `api` = JSON errors, `ops` = plain text for tools. */
export type Dialect = 'consul' | 'api' | 'ops'

/** An answer in the API description; a body is JSON unless it is said to be text or bytes. */
export type ResponseSpec =
  | { readonly description: string; readonly json: TSchema }
  | {
      readonly description: string
      readonly media: 'text/plain' | 'text/event-stream' | 'application/gzip' | 'application/octet-stream'
    }
  | { readonly description: string }

/** One route: what it does, what it needs, how it is described and what answers it. */
export interface RouteSpec {
  readonly method: 'GET' | 'PUT' | 'DELETE' | readonly ('GET' | 'PUT' | 'POST' | 'DELETE')[]
  /** May end in `*`, which then stands for the rest of the path, slashes included. */
  readonly url: string
  readonly permission: Permission
  /** What the body may call for instead; the handler demands it. */
  readonly permissionsByBody?: readonly Permission[]
  readonly tag: string
  readonly summary: string
  /** Name of what `*` stands for. */
  readonly wildcard?: string
  readonly query?: TSchema
  readonly body?: TSchema
  readonly responses: Readonly<Record<number, ResponseSpec>>
  /** Bytes. Default 64 KiB. */
  readonly bodyLimit?: number
  readonly handler: (request: FastifyRequest, reply: FastifyReply) => unknown
}

const METHODS = ['GET', 'PUT', 'DELETE', 'POST', 'PATCH', 'HEAD', 'OPTIONS'] as const
const DEFAULT_BODY_LIMIT_BYTES = 64 * 1024

/** The dialect of a request target or route. */
export function dialectOf(target: string): Dialect {
  const url = originForm(target)
  if (url === '/v1' || url.startsWith('/v1/') || url.startsWith('/v1?')) return 'consul'
  return url.startsWith('/api/') || url === '/api' ? 'api' : 'ops'
}

/**
 * Adds routes to the server and, by `close`, an answer for every other method of their paths: 405 with `Allow`.
 * In the Consul dialect HEAD is refused, as Consul does; elsewhere it answers as GET without a body.
 */
export class RouteTable {
  readonly #app: FastifyInstance
  readonly #methods = new Map<string, Set<string>>()

  constructor(app: FastifyInstance) {
    this.#app = app
  }

  /** @throws Error if the method of the path is taken or the permission is missing. */
  add(spec: RouteSpec): void {
    const methods = typeof spec.method === 'string' ? [spec.method] : [...spec.method]
    const consul = dialectOf(spec.url) === 'consul'
    const known = this.#methods.get(spec.url) ?? new Set()
    this.#methods.set(spec.url, known)
    for (const method of methods) known.add(method)
    if (!consul && known.has('GET')) known.add('HEAD')
    this.#app.route({
      method: methods,
      url: spec.url,
      config: {
        permission: spec.permission,
        ...(spec.permissionsByBody === undefined ? {} : { permissionsByBody: spec.permissionsByBody }),
        filters:
          spec.query !== undefined && 'filter' in ((spec.query as { properties?: object }).properties ?? {}),
        ...(spec.wildcard === undefined ? {} : { wildcard: spec.wildcard }),
      },
      exposeHeadRoute: !consul && methods.includes('GET'),
      bodyLimit: spec.bodyLimit ?? DEFAULT_BODY_LIMIT_BYTES,
      schema: {
        summary: spec.summary,
        tags: [spec.tag],
        ...(spec.query === undefined ? {} : { querystring: spec.query }),
        ...(spec.body === undefined ? {} : { body: spec.body }),
        response: describeResponses(spec.responses),
      },
      // Consul reads parameters and bodies leniently (names in any case, unknown fields ignored), so in its dialect the
      // schemas describe and the handlers decide.
      ...(consul ? { validatorCompiler: () => () => true } : {}),
      handler: spec.handler,
    })
  }

  /** Adds the answers for the methods that no route took. */
  close(): void {
    for (const [url, known] of this.#methods) {
      const allow = [
        'OPTIONS',
        ...METHODS.filter((method) => method !== 'OPTIONS' && known.has(method)),
      ].join()
      const missing: HTTPMethods[] = METHODS.filter((method) => !known.has(method))
      this.#app.route({
        method: missing,
        url,
        config: { permission: 'public' },
        schema: { hide: true },
        // Before the body is read: nobody wants it.
        onRequest: async (request, reply) => refuseMethod(request, reply, allow),
        handler: (request, reply) => refuseMethod(request, reply, allow),
      })
    }
  }
}

/** @throws HttpError 405 for all but OPTIONS. */
function refuseMethod(request: FastifyRequest, reply: FastifyReply, allow: string): FastifyReply {
  reply.header('allow', allow)
  if (request.method === 'OPTIONS') return reply.code(200).send()
  throw new HttpError('HTTP_METHOD_NOT_ALLOWED', 405, `method ${request.method} not allowed`)
}

function describeResponses(responses: RouteSpec['responses']): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(responses).map(([status, spec]) => {
      if ('json' in spec) {
        return [
          status,
          { description: spec.description, content: { 'application/json': { schema: spec.json } } },
        ]
      }
      if ('media' in spec) {
        const schema = {
          type: 'string',
          ...(spec.media.startsWith('text/') ? {} : { contentEncoding: 'binary' }),
        }
        return [status, { description: spec.description, content: { [spec.media]: { schema } } }]
      }
      return [status, { description: spec.description, type: 'null' }]
    }),
  )
}
