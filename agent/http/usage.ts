import { Type } from 'typebox'
import type { HttpContext } from './collaborators.ts'
import { DATACENTER } from './consul-shapes.ts'
import { sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS } from './schemas.ts'

/** Schema of operator/usage. */
export const UsageSchema = Type.Object({
  Usage: Type.Record(
    Type.String(),
    Type.Object({
      Nodes: Type.Integer(),
      Services: Type.Integer(),
      ServiceInstances: Type.Integer(),
      ConnectServiceInstances: Type.Object({}),
      BillableServiceInstances: Type.Integer(),
    }),
  ),
  Index: Type.Integer(),
  LastContact: Type.Integer({ description: 'Milliseconds' }),
  KnownLeader: Type.Boolean(),
})

/** How much there is: /v1/operator/usage (Consul operator API), as this node's catalogue has it. */
export function addUsageRoutes(routes: RouteTable, context: HttpContext): void {
  const { catalog, consensus } = context
  routes.add({
    method: 'GET',
    url: '/v1/operator/usage',
    permission: 'operator:read',
    tag: 'operator',
    summary: 'Numbers of nodes, services and instances.',
    responses: { 200: { description: 'Usage', json: UsageSchema }, ...ERRORS },
    handler: (request, reply) => {
      const { leader, lastContactMs } = consensus.status()
      const services = catalog.services()
      const instances = [...services.keys()].reduce((sum, name) => sum + catalog.instances(name).length, 0)
      return sendJson(request, reply, {
        Usage: {
          [DATACENTER]: {
            Nodes: catalog.nodes().length,
            Services: services.size,
            ServiceInstances: instances,
            ConnectServiceInstances: {},
            BillableServiceInstances: instances,
          },
        },
        Index: catalog.index,
        LastContact: Number.isFinite(lastContactMs) ? Math.max(0, Math.round(lastContactMs)) : 0,
        KnownLeader: leader !== null,
      })
    },
  })
}
