import { createHash } from 'node:crypto'
import { Type } from 'typebox'
import type { ServiceInstance } from '../../discovery/catalog/types.ts'
import { dropRegistration, putRegistration, sourceName } from '../../discovery/health/registration.ts'
import { bodyJson } from './body.ts'
import type { HttpContext } from './collaborators.ts'
import { agentServiceJson } from './consul-shapes.ts'
import { badRequest, notFound } from './errors.ts'
import { Fields } from './fields.ts'
import { requestFilter } from './filter/request-filter.ts'
import { AGENT_SERVICE } from './filter/shapes.ts'
import { refuseBrowserGet } from './legacy-get.ts'
import { firstParam } from './query.ts'
import { namedTail, textTail } from './raw-path.ts'
import { keepRegistrations } from './registrations.ts'
import { clientSignal, sendEmpty, sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { AgentServiceSchema, ERRORS, FILTER_QUERY, query, ServiceRegistrationSchema } from './schemas.ts'
import { parseService } from './service-definition.ts'
import { parseWait } from './store-reads.ts'

/** RFC 1035 §2.3.4. */
const LABEL_LENGTH_MAX = 63
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
      refuseForeign(context, definition.service.id)
      const replaceChecks = flag !== undefined && flag !== 'false' && flag !== '0'
      warnOfName(context, definition.service)
      putRegistration(context, definition, { replaceChecks })
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
      const id = namedTail(request, 'service ID')
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

/** A name that most resolvers do not ask for is taken, as by Consul, and said once. */
function warnOfName({ local, log }: HttpContext, { id, name }: ServiceInstance): void {
  if (/^[A-Za-z0-9_.-]+$/.test(name) && name.split('.').every((label) => label.length <= LABEL_LENGTH_MAX))
    return
  if (local.record().services.get(id)?.name === name) return
  log.warn(
    { service: name },
    'the name of this service cannot be found by DNS: it has other characters than letters, digits and dashes, or is too long',
  )
}

/** @throws HttpError 400 for an instance that something else registers: it would only come back. */
function refuseForeign({ local }: HttpContext, id: string): void {
  const known = local.record().services.get(id)
  const source = known === undefined ? null : sourceName(known)
  if (source !== null) throw badRequest(`Service ID "${id}" comes from ${source}: change it there`)
}

function deregister(context: HttpContext, id: string): void {
  refuseForeign(context, id)
  if (!dropRegistration(context, id)) {
    throw notFound(`Unknown service ID "${id}". Ensure that the service ID is passed, not the service name.`)
  }
}
