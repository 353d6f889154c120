import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { Type } from 'typebox'
import { isMaintenance } from '../../discovery/health/maintenance.ts'
import { bodyJson } from './body.ts'
import { initialCheck } from './check-definition.ts'
import type { HttpContext } from './collaborators.ts'
import { agentServiceJson } from './consul-shapes.ts'
import { badRequest, notFound } from './errors.ts'
import { Fields } from './fields.ts'
import { requestFilter } from './filter/request-filter.ts'
import { AGENT_SERVICE } from './filter/shapes.ts'
import { refuseBrowserGet } from './legacy-get.ts'
import { firstParam } from './query.ts'
import { textTail } from './raw-path.ts'
import { keepRegistrations } from './registrations.ts'
import { clientSignal, sendEmpty, sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { AgentServiceSchema, ERRORS, FILTER_QUERY, query, ServiceRegistrationSchema } from './schemas.ts'
import { parseService, type ServiceDefinition } from './service-definition.ts'
import { parseWait } from './store-reads.ts'

const REGISTRATION_BYTES_MAX = 512 * 1024

/** Services of this node: /v1/agent/services, service/* (Consul agent service API). */
export function addAgentServiceRoutes(routes: RouteTable, context: HttpContext): void {
  const { local } = context
  routes.add({
    method: 'GET',
    url: '/v1/agent/services',
    permission: 'service:read',
    tag: 'agent',
    summary: 'Services registered with this node, by id.',
    query: query(FILTER_QUERY),
    responses: {
      200: { description: 'Services', json: Type.Record(Type.String(), AgentServiceSchema) },
      ...ERRORS,
    },
    handler: (request, reply) => {
      const matches = requestFilter(request, AGENT_SERVICE)
      const services = [...local.record().services].map(
        ([id, service]) => [id, agentServiceJson(service)] as const,
      )
      return sendJson(request, reply, Object.fromEntries(services.filter(([, service]) => matches(service))))
    },
  })
  addServiceRead(routes, context)
  routes.add({
    method: 'PUT',
    url: '/v1/agent/service/register',
    permission: 'service:write',
    tag: 'agent',
    summary: 'Register a service with this node, or replace it.',
    query: query({ 'replace-existing-checks': 'Remove checks of the service that the body does not name' }),
    body: ServiceRegistrationSchema,
    responses: { 200: { description: 'Registered' }, ...ERRORS },
    bodyLimit: REGISTRATION_BYTES_MAX,
    handler: async (request, reply) => {
      const definition = parseService(new Fields(bodyJson(request), 'the body'), context.config.checks)
      const flag = firstParam(request.query, 'replace-existing-checks')
      register(context, definition, flag !== undefined && flag !== 'false' && flag !== '0')
      await keepRegistrations(context)
      return sendEmpty(reply)
    },
  })
  routes.add({
    method: ['GET', 'PUT'],
    url: '/v1/agent/service/deregister/*',
    wildcard: 'id',
    permission: 'service:write',
    tag: 'agent',
    summary: 'Remove a service and its checks. PUT; GET is answered for old clients.',
    responses: {
      200: { description: 'Removed' },
      404: { description: 'Unknown', media: 'text/plain' },
      ...ERRORS,
    },
    handler: async (request, reply) => {
      refuseBrowserGet(request)
      const id = textTail(request)
      if (id === '') throw badRequest('Missing service ID')
      deregister(context, id)
      await keepRegistrations(context)
      return sendEmpty(reply)
    },
  })
}

function addServiceRead(routes: RouteTable, context: HttpContext): void {
  const { catalog, local, parking } = context
  routes.add({
    method: 'GET',
    url: '/v1/agent/service/*',
    wildcard: 'id',
    permission: 'service:read',
    tag: 'agent',
    summary: 'One service of this node. Blocks with ?hash.',
    query: query({ hash: 'Block while this is the hash of the content', wait: 'How long to block' }),
    responses: {
      200: { description: 'The service', json: AgentServiceSchema },
      404: { description: 'Unknown', media: 'text/plain' },
      ...ERRORS,
    },
    handler: async (request, reply) => {
      const id = textTail(request)
      const known = firstParam(request.query, 'hash') ?? ''
      const waitMs = parseWait(firstParam(request.query, 'wait') ?? '')
      // A hash has no order, so the query counts its own looks: 2 is newer than 1, and 1 is what the client has.
      const body = await parking.answer(
        { index: known === '' ? 0 : 1, waitMs },
        {
          async read() {
            const service = local.record().services.get(id)
            if (service === undefined) throw notFound(`unknown service ID: ${id}`)
            const content = agentServiceJson(service)
            const hash = createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 16)
            return { index: hash === known ? 1 : 2, storeIndex: 2, answer: { ...content, ContentHash: hash } }
          },
          watch: (listener) => catalog.onChange({ kind: 'all' }, listener),
        },
        clientSignal(reply),
      )
      reply.header('x-consul-contenthash', body.ContentHash)
      return sendJson(request, reply, body)
    },
  })
}

/**
 * The catalogue takes a check only after its service, so both go in without a pause in between: no reader runs there, and
 * none sees the instance without its checks. What a check found before stays, and registering again changes nothing.
 */
function register(context: HttpContext, definition: ServiceDefinition, replaceChecks: boolean): void {
  const { local, health } = context
  const { service, checks } = definition
  const before = local.record()
  const previous = before.services.get(service.id)
  try {
    if (!isDeepStrictEqual(previous, service)) local.putService(service)
    for (const check of checks) {
      if (before.checks.get(check.id)?.serviceId !== service.id) local.putCheck(initialCheck(check))
    }
  } catch (error) {
    // Without all its checks the instance would count as passing.
    for (const { id } of checks) if (!before.checks.has(id)) local.removeCheck(id)
    if (previous === undefined) local.removeService(service.id)
    else local.putService(previous)
    throw error
  }
  if (replaceChecks) removeOtherChecks(context, definition)
  const running = new Map(health.definitions().map((check) => [check.id, check]))
  for (const check of checks) {
    if (!isDeepStrictEqual(running.get(check.id), check)) health.put(check)
  }
}

function removeOtherChecks({ local, health }: HttpContext, { service, checks }: ServiceDefinition): void {
  const kept = new Set(checks.map(({ id }) => id))
  for (const { id, serviceId } of [...local.record().checks.values()]) {
    // Maintenance is not a check of the registration: only who began it ends it.
    if (serviceId !== service.id || kept.has(id) || isMaintenance({ id })) continue
    health.remove(id)
    local.removeCheck(id)
  }
}

function deregister(context: HttpContext, id: string): void {
  const { local, health } = context
  if (!local.record().services.has(id)) {
    throw notFound(`Unknown service ID "${id}". Ensure that the service ID is passed, not the service name.`)
  }
  // The runner first: it must not write a result into a service that is gone.
  for (const check of health.definitions()) if (check.serviceId === id) health.remove(check.id)
  local.removeService(id)
}
