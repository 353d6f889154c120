import { Type } from 'typebox'
import type { Catalog, CheckStatus, NodeCheck } from '../../discovery/catalog/types.ts'
import { instanceFilter, nodeMetaFilter } from './catalog-filters.ts'
import type { CatalogContext } from './collaborators.ts'
import { nodeCheckJson, serviceEntryJson } from './consul-shapes.ts'
import { badRequest } from './errors.ts'
import { requestFilter } from './filter/request-filter.ts'
import { CHECK, SERVICE_ENTRY } from './filter/shapes.ts'
import { instancesOf, nodeNamed } from './lookups.ts'
import { nearestFirst } from './near.ts'
import { firstParam, hasParam } from './query.ts'
import { namedTail } from './raw-path.ts'
import type { RouteTable } from './routes.ts'
import {
  CATALOG_QUERY,
  ERRORS,
  FILTER_QUERY,
  HealthCheckSchema,
  NEAR_QUERY,
  query,
  READ_QUERY,
  ServiceEntrySchema,
} from './schemas.ts'
import { sendCatalogRead } from './store-reads.ts'

const CHECKS = { 200: { description: 'Checks', json: Type.Array(HealthCheckSchema) }, ...ERRORS }
const TRUE: ReadonlySet<string> = new Set(['', '1', 't', 'T', 'true', 'TRUE', 'True'])
const FALSE: ReadonlySet<string> = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False'])

/** Health of nodes and services: /v1/health/* (Consul health API). Works without a leader. */
export function addHealthRoutes(routes: RouteTable, context: CatalogContext): void {
  const { catalog } = context
  routes.add({
    method: 'GET',
    url: '/v1/health/node/*',
    wildcard: 'node',
    permission: 'node:read',
    tag: 'health',
    summary: 'Every check of a node. Blocks with ?index.',
    query: query({ ...READ_QUERY, ...FILTER_QUERY }),
    responses: CHECKS,
    handler: (request, reply) => {
      const name = namedTail(request, 'node name')
      const wanted = requestFilter(request, CHECK)
      return sendCatalogRead(context, request, reply, {
        selector: { kind: 'node', name },
        value: () =>
          catalog
            .checksOn(nodeNamed(catalog, name)?.record.name ?? name)
            .map(({ node, check }) => nodeCheckJson(node, check))
            .filter(wanted),
      })
    },
  })
  routes.add({
    method: 'GET',
    url: '/v1/health/checks/*',
    wildcard: 'service',
    permission: 'service:read',
    tag: 'health',
    summary: 'Every check of the instances of a service. Blocks with ?index.',
    query: query({ ...CATALOG_QUERY, ...NEAR_QUERY }),
    responses: CHECKS,
    handler: (request, reply) => {
      const name = namedTail(request, 'service name')
      const matches = nodeMetaFilter(request.query)
      const wanted = requestFilter(request, CHECK)
      const sorted = nearestFirst(context, request)
      return sendCatalogRead(context, request, reply, {
        selector: { kind: 'service', name },
        value: () =>
          sorted(instancesOf(catalog, name).filter((instance) => matches(instance.node)))
            .flatMap((instance) =>
              instance.checks
                .filter((check) => check.serviceId !== '')
                .map((check) => nodeCheckJson(instance.node, check)),
            )
            .filter(wanted),
      })
    },
  })
  addServiceRoute(routes, context)
  routes.add({
    method: 'GET',
    url: '/v1/health/state/*',
    wildcard: 'state',
    permission: 'node:read',
    tag: 'health',
    summary: 'Every check in a state: any, passing, warning or critical. Blocks with ?index.',
    query: query({ ...CATALOG_QUERY, ...NEAR_QUERY }),
    responses: CHECKS,
    handler: (request, reply) => {
      const state = namedTail(request, 'check state')
      const matches = nodeMetaFilter(request.query)
      const wanted = requestFilter(request, CHECK)
      const sorted = nearestFirst(context, request)
      return sendCatalogRead(context, request, reply, {
        selector: { kind: 'checks' },
        value: () =>
          sorted(checksInState(catalog, state).filter(({ node }) => matches(node)))
            .map(({ node, check }) => nodeCheckJson(node, check))
            .filter(wanted),
      })
    },
  })
}

function addServiceRoute(routes: RouteTable, context: CatalogContext): void {
  const { catalog } = context
  routes.add({
    method: 'GET',
    url: '/v1/health/service/*',
    wildcard: 'service',
    permission: 'service:read',
    tag: 'health',
    summary: 'Every instance of a service with its node and checks. Blocks with ?index.',
    query: query({
      ...CATALOG_QUERY,
      ...NEAR_QUERY,
      tag: 'Tag the instance must have; repeatable',
      passing: 'Only instances whose checks all pass',
    }),
    responses: { 200: { description: 'Instances', json: Type.Array(ServiceEntrySchema) }, ...ERRORS },
    handler: (request, reply) => {
      const name = namedTail(request, 'service name')
      const passing = passingOnly(request.query)
      const matches = instanceFilter(request.query)
      const wanted = requestFilter(request, SERVICE_ENTRY)
      const sorted = nearestFirst(context, request)
      return sendCatalogRead(context, request, reply, {
        selector: { kind: 'service', name },
        value: () =>
          sorted(
            instancesOf(catalog, name).filter(
              (instance) => matches(instance) && (!passing || instance.status === 'passing'),
            ),
          )
            .map(serviceEntryJson)
            .filter(wanted),
      })
    },
  })
}

function checksInState(catalog: Catalog, state: string): readonly NodeCheck[] {
  if (state === 'any') return catalog.checks()
  return isCheckStatus(state) ? catalog.checksIn(state) : []
}

function isCheckStatus(text: string): text is CheckStatus {
  return text === 'passing' || text === 'warning' || text === 'critical'
}

/** `?passing` is the one parameter whose value counts. */
function passingOnly(query: unknown): boolean {
  if (!hasParam(query, 'passing')) return false
  const value = firstParam(query, 'passing') ?? ''
  if (TRUE.has(value)) return true
  if (FALSE.has(value)) return false
  throw badRequest('Invalid value for ?passing')
}
