import { Type } from 'typebox'
import type { CatalogContext } from './collaborators.ts'
import { refused } from './errors.ts'
import { requestFilter } from './filter/request-filter.ts'
import { SERVICE_ENTRY, SERVICE_NODE } from './filter/shapes.ts'
import { namedTail } from './raw-path.ts'
import type { RouteTable } from './routes.ts'
import { CATALOG_QUERY, ERRORS, query, ServiceEntrySchema, ServiceNodeSchema } from './schemas.ts'
import { sendCatalogRead } from './store-reads.ts'

/**
 * What belongs to a service mesh. There is none: lists of proxies are empty, and its certificates are refused as by an agent of Consul's
 * where Connect is off (Consul catalog, health and Connect APIs).
 */
export function addServiceMeshRoutes(routes: RouteTable, context: CatalogContext): void {
  const lists = [
    ['/v1/catalog/connect/*', ServiceNodeSchema, SERVICE_NODE],
    ['/v1/health/connect/*', ServiceEntrySchema, SERVICE_ENTRY],
    ['/v1/health/ingress/*', ServiceEntrySchema, SERVICE_ENTRY],
  ] as const
  for (const [url, schema, shape] of lists) {
    routes.add({
      method: 'GET',
      url,
      wildcard: 'service',
      permission: 'service:read',
      tag: url.startsWith('/v1/health/') ? 'health' : 'catalog',
      summary: 'An empty list: there is no service mesh. Blocks with ?index.',
      query: query(CATALOG_QUERY),
      responses: { 200: { description: 'None', json: Type.Array(schema) }, ...ERRORS },
      handler: (request, reply) => {
        const name = namedTail(request, 'service name')
        requestFilter(request, shape)
        return sendCatalogRead(context, request, reply, {
          selector: { kind: 'service', name },
          value: () => [],
        })
      },
    })
  }
  const disabled = (): never => {
    throw refused('Connect must be enabled in order to use this endpoint')
  }
  for (const [url, methods] of [
    ['/v1/agent/connect/*', ['GET', 'POST']],
    ['/v1/connect/ca/*', ['GET', 'PUT']],
  ] as const) {
    routes.add({
      method: methods,
      url,
      wildcard: 'path',
      permission: 'public',
      tag: 'catalog',
      summary: 'Refused: there is no service mesh.',
      responses: {
        200: { description: 'Never: there is no service mesh' },
        500: { description: 'There is no service mesh', media: 'text/plain' },
      },
      handler: disabled,
    })
  }
}
