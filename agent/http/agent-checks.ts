import { isDeepStrictEqual } from 'node:util'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { CheckStatus } from '../../discovery/catalog/types.ts'
import { bodyJson } from './body.ts'
import { initialCheck, parseCheck, parseStatus } from './check-definition.ts'
import type { HttpContext } from './collaborators.ts'
import { checkJson } from './consul-shapes.ts'
import { badRequest, notFound, refused } from './errors.ts'
import { Fields } from './fields.ts'
import { requestFilter } from './filter/request-filter.ts'
import { CHECK } from './filter/shapes.ts'
import { refuseBrowserGet } from './legacy-get.ts'
import { ownRecord } from './own-record.ts'
import { firstParam } from './query.ts'
import { namedTail } from './raw-path.ts'
import { keepRegistrations } from './registrations.ts'
import { sendEmpty, sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import {
  CheckRegistrationSchema,
  CheckUpdateSchema,
  ERRORS,
  FILTER_QUERY,
  HealthCheckSchema,
  query,
} from './schemas.ts'

const OUTPUT_LENGTH_MAX = 4_096
const NOT_FOUND = { 404: { description: 'Unknown', media: 'text/plain' } } as const
/** The verbs of a ttl check and what they report. */
const VERBS: readonly (readonly [verb: string, status: CheckStatus])[] = [
  ['pass', 'passing'],
  ['warn', 'warning'],
  ['fail', 'critical'],
]
/** The agent's own checks have no history: their indexes are always those of a new object. */
const NO_HISTORY = { createIndex: 0, modifyIndex: 0 }

/** Checks of this node: /v1/agent/checks, check/* (Consul agent check API). */
export function addAgentCheckRoutes(routes: RouteTable, context: HttpContext): void {
  const { local } = context
  routes.add({
    method: 'GET',
    url: '/v1/agent/checks',
    permission: 'service:read',
    tag: 'agent',
    summary: 'Checks registered with this node, by id.',
    query: query(FILTER_QUERY),
    responses: {
      200: { description: 'Checks', json: Type.Record(Type.String(), HealthCheckSchema) },
      ...ERRORS,
    },
    handler: (request, reply) => {
      const matches = requestFilter(request, CHECK)
      const record = ownRecord(context)
      const checks = [...record.checks].map(
        ([id, check]) => [id, checkJson(record, check, NO_HISTORY)] as const,
      )
      return sendJson(request, reply, Object.fromEntries(checks.filter(([, check]) => matches(check))))
    },
  })
  routes.add({
    method: 'PUT',
    url: '/v1/agent/check/register',
    permission: 'service:write',
    tag: 'agent',
    summary: 'Register a check of this node or of one of its services.',
    body: CheckRegistrationSchema,
    responses: { 200: { description: 'Registered' }, ...NOT_FOUND, ...ERRORS },
    handler: async (request, reply) => {
      register(context, new Fields(bodyJson(request), 'the body'))
      await keepRegistrations(context)
      return sendEmpty(reply)
    },
  })
  routes.add({
    method: ['GET', 'PUT'],
    url: '/v1/agent/check/deregister/*',
    wildcard: 'id',
    permission: 'service:write',
    tag: 'agent',
    summary: 'Remove a check. PUT; GET is answered for old clients.',
    responses: { 200: { description: 'Removed' }, ...NOT_FOUND, ...ERRORS },
    handler: async (request, reply) => {
      refuseBrowserGet(request)
      const id = checkId(request)
      const ran = context.health.remove(id)
      const known = local.removeCheck(id)
      if (!ran && !known) throw unknownCheck(id)
      await keepRegistrations(context)
      return sendEmpty(reply)
    },
  })
  for (const [verb, status] of VERBS) {
    routes.add({
      method: ['GET', 'PUT'],
      url: `/v1/agent/check/${verb}/*`,
      wildcard: 'id',
      permission: 'service:write',
      tag: 'agent',
      summary: `Report a ttl check as ${status}. PUT; GET is answered for old clients.`,
      query: query({ note: 'Becomes the output of the check' }),
      responses: { 200: { description: 'Reported' }, ...NOT_FOUND, ...ERRORS },
      handler: (request, reply) => {
        refuseBrowserGet(request)
        return report(context, reply, checkId(request), status, firstParam(request.query, 'note') ?? '')
      },
    })
  }
  routes.add({
    method: 'PUT',
    url: '/v1/agent/check/update/*',
    wildcard: 'id',
    permission: 'service:write',
    tag: 'agent',
    summary: 'Report status and output of a ttl check.',
    body: CheckUpdateSchema,
    responses: { 200: { description: 'Reported' }, ...NOT_FOUND, ...ERRORS },
    handler: (request, reply) => {
      const fields = new Fields(bodyJson(request), 'the body')
      const text = fields.string('Status')
      const status = parseStatus(text)
      if (status === null) throw badRequest(`Invalid check status: '${text}'`)
      return report(context, reply, checkId(request), status, fields.prose('Output'))
    },
  })
}

function register(context: HttpContext, fields: Fields): void {
  const { local, health } = context
  const name = fields.string('Name')
  if (name === '') throw badRequest('Missing check name')
  const serviceId = fields.string('ServiceID')
  const definition = parseCheck(
    fields,
    { id: name, name, serviceId, badStatus: 'Bad check status' },
    context.config.checks,
  )
  const record = local.record()
  if (serviceId !== '' && !record.services.has(serviceId)) {
    throw notFound(`ServiceID "${serviceId}" does not exist`)
  }
  if (record.checks.get(definition.id)?.serviceId !== serviceId) local.putCheck(initialCheck(definition))
  const running = health.definitions().find(({ id }) => id === definition.id)
  if (!isDeepStrictEqual(running, definition)) health.put(definition)
}

function report(
  context: HttpContext,
  reply: FastifyReply,
  id: string,
  status: CheckStatus,
  output: string,
): FastifyReply {
  const outcome = context.health.report(id, status, output.slice(0, OUTPUT_LENGTH_MAX))
  if (outcome === 'unknown') throw unknownCheck(id)
  if (outcome === 'not-ttl') throw refused(`CheckID "${id}" does not have associated TTL`)
  return sendEmpty(reply)
}

function checkId(request: FastifyRequest): string {
  const id = namedTail(request, 'check ID')
  return id
}

function unknownCheck(id: string): Error {
  return notFound(`Unknown check ID "${id}". Ensure that the check ID is passed, not the check name.`)
}
