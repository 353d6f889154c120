import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { NODE_CORDON } from '../../discovery/catalog/shapes.ts'
import type { HealthCheck, NodeRecord, ServiceInstance } from '../../discovery/catalog/types.ts'
import { isMaintenance } from '../../discovery/health/maintenance.ts'
import type { HttpContext } from './collaborators.ts'
import { agentServiceJson, checkJson } from './consul-shapes.ts'
import { nullable } from './nullable.ts'
import { ownRecord } from './own-record.ts'
import { firstParam } from './query.ts'
import { namedTail } from './raw-path.ts'
import { renderJson, sendJsonText, sendText } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { AgentServiceSchema, ERRORS, HealthCheckSchema, query } from './schemas.ts'

/** Consul's word for an instance as a whole. */
type Aggregated = 'passing' | 'warning' | 'critical' | 'maintenance'

/** The status of the answer says how well it is: for load balancers that look at nothing else. */
const STATUS_CODES: Readonly<Record<Aggregated, number>> = {
  passing: 200,
  warning: 429,
  critical: 503,
  maintenance: 503,
}
/** From well to ill; maintenance is said before all else. */
const ORDER: readonly Aggregated[] = ['passing', 'warning', 'critical', 'maintenance']
const NO_HISTORY = { createIndex: 0, modifyIndex: 0 }

const InfoSchema = Type.Object({
  AggregatedStatus: Type.String(),
  Service: nullable(AgentServiceSchema),
  Checks: nullable(Type.Array(HealthCheckSchema)),
})
const FORMAT = query({ format: 'text for the status alone; default json, unless Accept asks for text/plain' })

/** The health of this node's services: /v1/agent/health/service/id|name (Consul agent service API). */
export function addAgentHealthRoutes(routes: RouteTable, context: HttpContext): void {
  const { local, catalog } = context
  /** The decision that this node gets no new traffic, as every view shows it: it is no part of the node's own record. */
  const cordon = (): readonly HealthCheck[] => {
    const { id, name } = local.record()
    return catalog
      .checksOn(name)
      .filter(({ node, check }) => node.record.id === id && check.id === NODE_CORDON)
      .map(({ check }) => check)
  }
  routes.add({
    method: 'GET',
    url: '/v1/agent/health/service/id/*',
    wildcard: 'id',
    permission: 'service:read',
    tag: 'agent',
    summary:
      'How one service of this node is: 200 passing, 429 warning, 503 critical, in maintenance or on a cordoned node.',
    query: FORMAT,
    responses: { ...responses(InfoSchema), ...ERRORS },
    handler: (request, reply) => {
      const id = namedTail(request, 'serviceID')
      const record = ownRecord(context)
      const service = record.services.get(id)
      if (service === undefined) {
        const none = { AggregatedStatus: 'critical', Service: null, Checks: null }
        return answer(request, reply, { code: 404, reason: `ServiceId ${id} not found`, json: none })
      }
      const health = healthOf(record, service, cordon())
      const { status } = health
      return answer(request, reply, {
        code: STATUS_CODES[status],
        reason: status,
        json: infoJson(record, health),
      })
    },
  })
  routes.add({
    method: 'GET',
    url: '/v1/agent/health/service/name/*',
    wildcard: 'service',
    permission: 'service:read',
    tag: 'agent',
    summary: 'How the services of this name on this node are; the status is that of the worst.',
    query: FORMAT,
    responses: { ...responses(Type.Array(InfoSchema)), ...ERRORS },
    handler: (request, reply) => {
      const name = namedTail(request, 'service Name')
      const record = ownRecord(context)
      const cordoned = cordon()
      const all = [...record.services.values()]
        .filter((service) => service.name === name)
        .map((service) => healthOf(record, service, cordoned))
      if (all.length === 0) {
        return answer(request, reply, { code: 404, reason: `ServiceName ${name} Not Found`, json: [] })
      }
      const status = worst(all.map((health) => health.status))
      const json = all.map((health) => infoJson(record, health))
      return answer(request, reply, { code: STATUS_CODES[status], reason: status, json })
    },
  })
}

function responses(json: typeof InfoSchema | ReturnType<typeof Type.Array<typeof InfoSchema>>) {
  return {
    200: { description: 'Passing', json },
    429: { description: 'Warning', json },
    503: { description: 'Critical, in maintenance, or its node is cordoned', json },
    404: { description: 'Unknown', json },
  }
}

interface ServiceHealth {
  readonly status: Aggregated
  readonly service: ServiceInstance
  readonly checks: readonly HealthCheck[]
}

/** An instance with its checks, those of the node, and the cordon if there is one. */
function healthOf(
  record: NodeRecord,
  service: ServiceInstance,
  cordon: readonly HealthCheck[],
): ServiceHealth {
  const own = [...record.checks.values()].filter(
    ({ serviceId }) => serviceId === '' || serviceId === service.id,
  )
  const checks = [...cordon, ...own]
  return {
    service,
    checks,
    status: worst(checks.map((check) => (isMaintenance(check) ? 'maintenance' : check.status))),
  }
}

function worst(statuses: readonly Aggregated[]): Aggregated {
  return statuses.reduce((a, b) => (ORDER.indexOf(b) > ORDER.indexOf(a) ? b : a), 'passing')
}

function infoJson(record: NodeRecord, { status, service, checks }: ServiceHealth) {
  return {
    AggregatedStatus: status,
    Service: agentServiceJson(service),
    Checks: checks.map((check) => checkJson(record, check, NO_HISTORY)),
  }
}

function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  { code, reason, json }: { readonly code: number; readonly reason: string; readonly json: unknown },
): FastifyReply {
  // A name may hold what no header can carry.
  reply.header('x-consul-reason', reason.replace(/[^\x20-\x7e]/g, '?'))
  if (wantsText(request)) return sendText(reply, code, reason)
  return sendJsonText(reply.code(code), renderJson(request, json))
}

function wantsText(request: FastifyRequest): boolean {
  if (request.headers.accept?.startsWith('text/plain')) return true
  return (firstParam(request.query, 'format') ?? '').startsWith('text')
}
