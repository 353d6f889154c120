import { Type } from 'typebox'
import type { HttpContext } from './collaborators.ts'
import { sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS } from './schemas.ts'

/** Who leads: /v1/status/* (Consul status API). Always answers. */
export function addStatusRoutes(routes: RouteTable, context: HttpContext): void {
  const { consensus, membership } = context
  const addressOf = (id: string): string => membership.get(id)?.address ?? ''
  routes.add({
    method: 'GET',
    url: '/v1/status/leader',
    permission: 'public',
    tag: 'status',
    summary: 'Mesh address of the leader; "" without one.',
    responses: { 200: { description: 'host:port', json: Type.String() }, ...ERRORS },
    handler: (request, reply) => {
      const { leader } = consensus.status()
      return sendJson(request, reply, leader === null ? '' : addressOf(leader))
    },
  })
  routes.add({
    method: 'GET',
    url: '/v1/status/peers',
    permission: 'public',
    tag: 'status',
    summary: 'Mesh addresses of the Raft peers.',
    responses: { 200: { description: 'host:port of each', json: Type.Array(Type.String()) }, ...ERRORS },
    handler: (request, reply) =>
      sendJson(
        request,
        reply,
        consensus
          .status()
          .peers.map(({ id }) => addressOf(id))
          .filter((address) => address !== ''),
      ),
  })
}
