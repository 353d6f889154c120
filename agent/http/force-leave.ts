import { MembershipError } from '../../discovery/membership/errors.ts'
import type { HttpContext } from './collaborators.ts'
import { badRequest, refused } from './errors.ts'
import { refuseBrowserGet } from './legacy-get.ts'
import { hasParam } from './query.ts'
import { namedTail } from './raw-path.ts'
import { sendEmpty } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS, query } from './schemas.ts'

/** A failed member is declared left: /v1/agent/force-leave (Consul agent API). */
export function addForceLeaveRoute(routes: RouteTable, { membership }: HttpContext): void {
  routes.add({
    method: ['GET', 'PUT'],
    url: '/v1/agent/force-leave/*',
    wildcard: 'node',
    permission: 'operator:write',
    tag: 'agent',
    summary: 'Declare a failed member left, for everybody. PUT; GET is answered for old clients.',
    query: query({ prune: 'Forget the member entirely; also one that left' }),
    responses: { 200: { description: 'Declared left' }, ...ERRORS },
    handler: (request, reply) => {
      refuseBrowserGet(request)
      const node = namedTail(request, 'node name')
      try {
        membership.forceLeave(node, { prune: hasParam(request.query, 'prune') })
      } catch (error) {
        if (!(error instanceof MembershipError)) throw error
        if (error.code === 'MBR_UNKNOWN_MEMBER') throw refused(`agent: No node found with name '${node}'`)
        throw badRequest(error.message)
      }
      return sendEmpty(reply)
    },
  })
}
