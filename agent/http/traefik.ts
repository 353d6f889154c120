import { Type } from 'typebox'
import { FAILURES, Failure } from './api-failures.ts'
import type { HttpContext, TraefikView } from './collaborators.ts'
import { HttpError, notFound } from './errors.ts'
import { sendJson, sendJsonText } from './replies.ts'
import type { RouteTable } from './routes.ts'

const RETRY_AFTER_SECONDS = 2
const NOT_CONFIGURED = { description: 'The provider is not configured', json: Failure }
const nullable = Type.Union([Type.String(), Type.Null()])

/** Part of the answer of /api/v1/status. */
export const TraefikStatusSchema = Type.Object({
  ready: Type.Boolean(),
  reason: Type.Union([Type.String({ description: 'Why polls are answered with 503' }), Type.Null()]),
  etag: Type.String({ description: 'Of the document without ?local' }),
  problems: Type.Integer({ description: 'How many /api/v1/traefik/explain lists' }),
  held: Type.Integer({
    description: 'Load balancers that keep servers they have lost, for too many lost theirs at once',
  }),
  polls: Type.Array(
    Type.Object({
      address: Type.String(),
      local: nullable,
      userAgent: Type.String(),
      time: Type.String(),
      status: Type.Integer(),
      bytes: Type.Integer(),
      etag: nullable,
      count: Type.Integer(),
    }),
    { description: 'The last poll of each Traefik at this agent, the latest first' },
  ),
})

/** Answer of /api/v1/traefik/explain. */
export const TraefikExplainSchema = Type.Object({
  ready: Type.Boolean(),
  reason: nullable,
  etag: Type.String(),
  counts: Type.Object({ routers: Type.Integer(), services: Type.Integer(), servers: Type.Integer() }),
  held: Type.Array(Type.String()),
  gone: Type.Array(Type.String({ description: 'Services without instances whose routers stay for a while' })),
  problems: Type.Array(Type.Unknown()),
  instances: Type.Optional(
    Type.Array(Type.Unknown(), { description: 'With ?service: every instance of it' }),
  ),
})

/** What /api/v1/status says of the document for Traefik; nothing if the provider is off. */
export function traefikStatus({ traefik }: HttpContext): { readonly traefik?: object } {
  if (traefik === null) return {}
  const { etag, problems, held } = traefik.explain()
  const reason = traefik.reason()
  return {
    traefik: {
      ready: reason === null,
      reason,
      etag,
      problems: problems.length,
      held: held.length,
      polls: traefik.polls.list(),
    },
  }
}

/** The document Traefik polls, and what is to be said about it. */
export function addTraefikRoutes(routes: RouteTable, context: HttpContext): void {
  const configured = (): TraefikView => {
    if (context.traefik === null) throw notFound('the traefik provider is not configured')
    return context.traefik
  }
  routes.add({
    method: 'GET',
    url: '/api/v1/traefik',
    permission: 'service:read',
    tag: 'api',
    summary: 'The dynamic configuration that Traefik polls (HTTP provider).',
    query: Type.Object({
      local: Type.Optional(
        Type.String({
          description: 'Node the poller runs on, for services with constellation.local-first; 1 = this one',
        }),
      ),
    }),
    responses: {
      200: { description: 'Dynamic configuration', json: Type.Object({}) },
      404: NOT_CONFIGURED,
      503: { description: 'The view is not trustworthy yet; Traefik keeps what it has', json: Failure },
      ...FAILURES,
    },
    handler: (request, reply) => {
      const traefik = configured()
      const { local: asked } = request.query as { local?: string }
      const local = asked === '1' ? context.config.node.name : asked
      const poll = {
        address: request.ip,
        local: local ?? null,
        userAgent: request.headers['user-agent'] ?? '',
      }
      const reason = traefik.reason()
      if (reason !== null) {
        if (request.method === 'GET') traefik.polls.note({ ...poll, status: 503, bytes: 0, etag: null })
        reply.header('retry-after', String(RETRY_AFTER_SECONDS))
        throw new HttpError('HTTP_UNAVAILABLE', 503, reason)
      }
      const { body, etag } = traefik.document(local)
      if (request.method === 'GET') {
        traefik.polls.note({ ...poll, status: 200, bytes: Buffer.byteLength(body), etag })
      }
      // Never 304: Traefik takes any other status than 200 for an error.
      return sendJsonText(reply.header('etag', etag), body)
    },
  })
  routes.add({
    method: 'GET',
    url: '/api/v1/traefik/explain',
    permission: 'service:read',
    tag: 'api',
    summary:
      'What could not be turned into routes, and why; of one service, what became of each instance and label.',
    query: Type.Object({ service: Type.Optional(Type.String()) }),
    responses: { 200: { description: 'OK', json: TraefikExplainSchema }, 404: NOT_CONFIGURED, ...FAILURES },
    handler: (request, reply) => {
      const traefik = configured()
      const { service } = request.query as { service?: string }
      const reason = traefik.reason()
      return sendJson(request, reply, { ready: reason === null, reason, ...traefik.explain(service) })
    },
  })
}
