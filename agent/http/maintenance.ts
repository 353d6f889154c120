import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  isMaintenance,
  maintenanceCheck,
  NODE_MAINTENANCE,
  serviceMaintenanceId,
} from '../../discovery/health/maintenance.ts'
import type { HttpContext } from './collaborators.ts'
import { badRequest, notFound } from './errors.ts'
import { firstParam } from './query.ts'
import { namedTail } from './raw-path.ts'
import { keepRegistrations } from './registrations.ts'
import { sendEmpty } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS, query } from './schemas.ts'

const QUERY = query({ enable: 'true begins, false ends', reason: 'Shown in the notes of the check' })
const REASON_LENGTH_MAX = 4_096
/** What Go reads as a boolean. */
const TRUE = ['1', 't', 'T', 'true', 'TRUE', 'True']
const FALSE = ['0', 'f', 'F', 'false', 'FALSE', 'False']

/** Maintenance mode: /v1/agent/maintenance, /v1/agent/service/maintenance/{id} (Consul agent API). */
export function addMaintenanceRoutes(routes: RouteTable, context: HttpContext): void {
  const { local } = context
  routes.add({
    method: 'PUT',
    url: '/v1/agent/maintenance',
    permission: 'agent:write',
    tag: 'agent',
    summary: 'Take this node and all its services out, or back in. Survives a restart.',
    query: QUERY,
    responses: { 200: { description: 'Done' }, ...ERRORS },
    handler: (request, reply) => set(context, request, reply, ''),
  })
  routes.add({
    method: 'PUT',
    url: '/v1/agent/service/maintenance/*',
    wildcard: 'id',
    permission: 'service:write',
    tag: 'agent',
    summary: 'Take a service of this node out, or back in. Survives a restart.',
    query: QUERY,
    responses: {
      200: { description: 'Done' },
      404: { description: 'Unknown', media: 'text/plain' },
      ...ERRORS,
    },
    handler: async (request, reply) => {
      const id = namedTail(request, 'service ID')
      // Consul looks at the query first.
      wanted(request)
      if (!local.record().services.has(id)) {
        throw notFound(
          `Unknown service ID "${id}". Ensure that the service ID is passed, not the service name.`,
        )
      }
      return set(context, request, reply, id)
    },
  })
}

async function set(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  serviceId: string,
): Promise<FastifyReply> {
  const { local, log } = context
  const enable = wanted(request)
  const reason = firstParam(request.query, 'reason') ?? ''
  if (reason.length > REASON_LENGTH_MAX) {
    throw badRequest(`the reason has ${reason.length} characters, the limit is ${REASON_LENGTH_MAX}`)
  }
  const id = serviceId === '' ? NODE_MAINTENANCE : serviceMaintenanceId(serviceId)
  const known = local.record().checks.get(id)
  if (enable) local.putCheck(maintenanceCheck(serviceId, reason))
  else if (known !== undefined && isMaintenance(known)) local.removeCheck(id)
  if (enable !== (known !== undefined)) {
    log.info({ service: serviceId, reason }, enable ? 'maintenance mode begins' : 'maintenance mode ends')
  }
  await keepRegistrations(context)
  return sendEmpty(reply)
}

function wanted({ query }: FastifyRequest): boolean {
  const value = firstParam(query, 'enable') ?? ''
  if (value === '') throw badRequest('Missing value for enable')
  if (TRUE.includes(value)) return true
  if (FALSE.includes(value)) return false
  throw badRequest(`Invalid value for enable: ${JSON.stringify(value)}`)
}
