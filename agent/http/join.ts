import { formatHostPort, parseHostPort } from '../config/host-port.ts'
import type { HttpContext } from './collaborators.ts'
import { badRequest, refused } from './errors.ts'
import { refuseBrowserGet } from './legacy-get.ts'
import { hasParam } from './query.ts'
import { textTail } from './raw-path.ts'
import { sendEmpty } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS, query } from './schemas.ts'

/** The default of `mesh.listen`, for an address without a port. */
const MESH_PORT = 7946

/** Finding the cluster by one more address: /v1/agent/join (Consul agent API). */
export function addJoinRoute(routes: RouteTable, { operations }: HttpContext): void {
  routes.add({
    method: ['GET', 'PUT'],
    url: '/v1/agent/join/*',
    wildcard: 'address',
    permission: 'agent:write',
    tag: 'agent',
    summary: 'Connect to a member of the cluster, once. PUT; GET is answered for old clients.',
    query: query({ wan: 'Refused: there is one datacenter' }),
    responses: { 200: { description: 'It is a member, and reached' }, ...ERRORS },
    handler: async (request, reply) => {
      refuseBrowserGet(request)
      const address = meshAddress(textTail(request))
      if (hasParam(request.query, 'wan')) throw refused('there is no other datacenter to join')
      try {
        await operations.join(address)
      } catch (error) {
        throw refused(`cannot join through ${address}: ${(error as Error).message}`)
      }
      return sendEmpty(reply)
    },
  })
}

/** @throws HttpError 400 */
function meshAddress(text: string): string {
  if (text === '') throw badRequest('Missing address to join')
  try {
    return formatHostPort(parseHostPort(/\]$|^[^:]*$/.test(text) ? `${text}:${MESH_PORT}` : text))
  } catch (error) {
    throw badRequest(`Invalid address to join: ${JSON.stringify(text)} ${(error as Error).message}`)
  }
}
