import { Type } from 'typebox'
import type { CatalogContext } from './collaborators.ts'
import { badRequest } from './errors.ts'
import { requestFilter } from './filter/request-filter.ts'
import { SERVICE_ENTRY, SERVICE_NODE } from './filter/shapes.ts'
import { textTail } from './raw-path.ts'
import type { RouteTable } from './routes.ts'
import { CATALOG_QUERY, ERRORS, query, ServiceEntrySchema, ServiceNodeSchema } from './schemas.ts'
import { sendCatalogRead } from './store-reads.ts'

/** Proxies of a service mesh: there are none, so their lists are empty (Consul catalog and health APIs). */
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
        const name = textTail(request)
        if (name === '') throw badRequest('Missing service name')
        requestFilter(request, shape)
        return sendCatalogRead(context, request, reply, {
          selector: { kind: 'service', name },
          value: () => [],
        })
      },
    })
  }
}
