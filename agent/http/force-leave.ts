import type { FastifyRequest } from 'fastify'
import { MembershipError } from '../../discovery/membership/errors.ts'
import type { HttpContext } from './collaborators.ts'
import { badRequest, refused } from './errors.ts'
import { refuseBrowserGet } from './legacy-get.ts'
import { isAllowed } from './permissions.ts'
import { hasParam } from './query.ts'
import { namedTail } from './raw-path.ts'
import { sendEmpty } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS, query } from './schemas.ts'

/** What makes a member leave, whichever way it is asked for. */
const PERMISSION = 'operator:write'

/** A failed member is declared left: /v1/agent/force-leave (Consul agent API). */
export function addForceLeaveRoute(routes: RouteTable, { membership }: HttpContext): void {
  routes.add({
    method: ['GET', 'PUT'],
    url: '/v1/agent/force-leave/*',
    wildcard: 'node',
    permission: PERMISSION,
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

/**
 * Declares a failed member left whose node somebody deregisters, as tools clear the catalogue of dead nodes so. A living one
 * says again what it is, and stays; so does a failed one if the request may not force it to leave.
 */
export async function leaveIfFailed(
  { membership, authorizer }: Pick<HttpContext, 'membership' | 'authorizer'>,
  request: FastifyRequest,
  node: string,
): Promise<void> {
  for (const { id, name, status } of membership.members()) {
    if (name !== node || status !== 'failed') continue
    if (!(await isAllowed(authorizer, request, PERMISSION))) return
    try {
      membership.forceLeave(id)
    } catch (error) {
      // It has come back meanwhile.
      if (!(error instanceof MembershipError)) throw error
    }
  }
}
