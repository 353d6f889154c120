import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Catalog, CatalogInstance, CatalogSelector } from '../../discovery/catalog/types.ts'
import { instanceFilter, nodeMetaFilter } from './catalog-filters.ts'
import type { CatalogContext } from './collaborators.ts'
import { DATACENTER, nodeIdOf, nodeJson, nodeServiceJson, serviceNodeJson } from './consul-shapes.ts'
import { requestFilter } from './filter/request-filter.ts'
import { NODE, NODE_SERVICE, SERVICE_NODE } from './filter/shapes.ts'
import { instancesOf, nodeNamed } from './lookups.ts'
import { nearestFirst } from './near.ts'
import { hasParam } from './query.ts'
import { namedTail } from './raw-path.ts'
import { sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import {
  CATALOG_QUERY,
  ERRORS,
  FILTER_QUERY,
  NEAR_QUERY,
  NodeSchema,
  NodeServiceSchema,
  query,
  READ_QUERY,
  ServiceNodeSchema,
} from './schemas.ts'
import { sendCatalogRead } from './store-reads.ts'

/** A prefix of a node id finds the node from this length on. */
const NODE_ID_PREFIX_MIN = 2
const TAG_QUERY = { tag: 'Tag the instance must have; repeatable' }

/** Nodes and services of the cluster: /v1/catalog/* (Consul catalog API). Works without a leader. */
export function addCatalogRoutes(routes: RouteTable, context: CatalogContext): void {
  const { catalog } = context
  routes.add({
    method: 'GET',
    url: '/v1/catalog/datacenters',
    permission: 'node:read',
    tag: 'catalog',
    summary: 'Datacenters: always one.',
    responses: { 200: { description: 'Names', json: Type.Array(Type.String()) }, ...ERRORS },
    handler: (request, reply) => sendJson(request, reply, [DATACENTER]),
  })
  routes.add({
    method: 'GET',
    url: '/v1/catalog/nodes',
    permission: 'node:read',
    tag: 'catalog',
    summary: 'Every node. Blocks with ?index.',
    query: query({ ...CATALOG_QUERY, ...NEAR_QUERY }),
    responses: { 200: { description: 'Nodes', json: Type.Array(NodeSchema) }, ...ERRORS },
    handler: (request, reply) => {
      const matches = nodeMetaFilter(request.query)
      const wanted = requestFilter(request, NODE)
      const sorted = nearestFirst(context, request)
      const value = () =>
        sorted(
          catalog
            .nodes()
            .filter(matches)
            .map((node) => ({ node })),
        )
          .map(({ node }) => nodeJson(node))
          .filter(wanted)
      return sendCatalogRead(context, request, reply, { selector: { kind: 'nodes' }, value })
    },
  })
  routes.add({
    method: 'GET',
    url: '/v1/catalog/services',
    permission: 'service:read',
    tag: 'catalog',
    summary: 'Names of all services and the union of their tags. Blocks with ?index.',
    query: query(CATALOG_QUERY),
    responses: {
      200: { description: 'Tags by name', json: Type.Record(Type.String(), Type.Array(Type.String())) },
      ...ERRORS,
    },
    handler: (request, reply) => {
      const matches = nodeMetaFilter(request.query)
      const wanted = requestFilter(request, SERVICE_NODE)
      const isEverything = !hasParam(request.query, 'node-meta') && !hasParam(request.query, 'filter')
      const chosen = (instance: CatalogInstance) =>
        matches(instance.node) && wanted(serviceNodeJson(instance))
      const value = () => services(catalog, isEverything ? null : chosen)
      return sendCatalogRead(context, request, reply, { selector: { kind: 'services' }, value })
    },
  })
  addServiceRoute(routes, context)
  addNodeRoutes(routes, context)
}

function addServiceRoute(routes: RouteTable, context: CatalogContext): void {
  const { catalog } = context
  routes.add({
    method: 'GET',
    url: '/v1/catalog/service/*',
    wildcard: 'service',
    permission: 'service:read',
    tag: 'catalog',
    summary: 'Every instance of a service. Blocks with ?index.',
    query: query({ ...CATALOG_QUERY, ...NEAR_QUERY, ...TAG_QUERY }),
    responses: { 200: { description: 'Instances', json: Type.Array(ServiceNodeSchema) }, ...ERRORS },
    handler: (request, reply) => {
      const name = namedTail(request, 'service name')
      const matches = instanceFilter(request.query)
      const wanted = requestFilter(request, SERVICE_NODE)
      const sorted = nearestFirst(context, request)
      return sendCatalogRead(context, request, reply, {
        selector: { kind: 'service', name },
        value: () => sorted(instancesOf(catalog, name).filter(matches)).map(serviceNodeJson).filter(wanted),
      })
    },
  })
}

function addNodeRoutes(routes: RouteTable, context: CatalogContext): void {
  const { catalog } = context
  const read = (
    request: FastifyRequest,
    reply: FastifyReply,
    render: (services: ReturnType<typeof nodeServiceJson>[]) => unknown,
  ): Promise<FastifyReply> => {
    const wanted = namedTail(request, 'node name')
    const matches = requestFilter(request, NODE_SERVICE)
    return sendCatalogRead(context, request, reply, {
      selector: selectorOf(catalog, wanted),
      value: () => {
        const node = findNode(catalog, wanted)
        if (node === undefined) return null
        const services = catalog
          .instancesOn(node.record.name)
          .map((instance) => nodeServiceJson(instance.service, instance))
          .filter(matches)
        return { Node: nodeJson(node), Services: render(services) }
      },
    })
  }
  routes.add({
    method: 'GET',
    url: '/v1/catalog/node/*',
    wildcard: 'node',
    permission: 'node:read',
    tag: 'catalog',
    summary: 'A node and its services by id; null if unknown. Blocks with ?index.',
    query: query({ ...READ_QUERY, ...FILTER_QUERY }),
    responses: {
      200: {
        description: 'The node, or null',
        json: Type.Union([
          Type.Object({ Node: NodeSchema, Services: Type.Record(Type.String(), NodeServiceSchema) }),
          Type.Null(),
        ]),
      },
      ...ERRORS,
    },
    handler: (request, reply) =>
      read(request, reply, (services) =>
        Object.fromEntries(services.map((service) => [service.ID, service])),
      ),
  })
  routes.add({
    method: 'GET',
    url: '/v1/catalog/node-services/*',
    wildcard: 'node',
    permission: 'node:read',
    tag: 'catalog',
    summary: 'A node and the list of its services; null if unknown. Blocks with ?index.',
    query: query({ ...READ_QUERY, ...FILTER_QUERY }),
    responses: {
      200: {
        description: 'The node, or null',
        json: Type.Union([
          Type.Object({ Node: NodeSchema, Services: Type.Array(NodeServiceSchema) }),
          Type.Null(),
        ]),
      },
      ...ERRORS,
    },
    handler: (request, reply) => read(request, reply, (services) => services),
  })
}

/** Names and tags of the services that have an instance which matches; null: all of them. */
function services(
  catalog: Catalog,
  matches: ((instance: CatalogInstance) => boolean) | null,
): Record<string, readonly string[]> {
  if (matches === null) return Object.fromEntries(catalog.services())
  const found: [name: string, tags: readonly string[]][] = []
  for (const name of catalog.services().keys()) {
    const instances = catalog.instances(name).filter(matches)
    const tags = new Set(instances.flatMap(({ service }) => service.tags))
    if (instances.length > 0) found.push([name, [...tags].sort()])
  }
  return Object.fromEntries(found)
}

/** What a read of the node looks at; every node where it is not known under that name. */
function selectorOf(catalog: Catalog, wanted: string): CatalogSelector {
  const node = findNode(catalog, wanted)
  return node === undefined ? { kind: 'nodes' } : { kind: 'node', name: node.record.name }
}

/** By name, or by a prefix of the node id that fits exactly one. */
function findNode(catalog: Catalog, wanted: string) {
  const named = nodeNamed(catalog, wanted)
  if (named !== undefined || wanted.length < NODE_ID_PREFIX_MIN) return named
  const found = catalog.nodes().filter(({ record }) => nodeIdOf(record).startsWith(wanted.toLowerCase()))
  return found.length === 1 ? found[0] : undefined
}
