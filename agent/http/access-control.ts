import { HttpError } from './errors.ts'
import type { RouteTable } from './routes.ts'

const RESPONSES = {
  200: { description: 'Never: there is no access control' },
  401: { description: 'There is no access control', media: 'text/plain' },
} as const

/** Tokens and policies: /v1/acl/* and agent/token/* say, as Consul does without them, that there is no access control. */
export function addAccessControlRoutes(routes: RouteTable): void {
  const refuse = (): never => {
    throw new HttpError('HTTP_ACL_DISABLED', 401, 'ACL support disabled')
  }
  routes.add({
    method: ['GET', 'PUT', 'POST', 'DELETE'],
    url: '/v1/acl/*',
    wildcard: 'path',
    permission: 'public',
    tag: 'acl',
    summary: 'Refused: there is no access control.',
    responses: RESPONSES,
    handler: refuse,
  })
  routes.add({
    method: 'PUT',
    url: '/v1/agent/token/*',
    wildcard: 'kind',
    permission: 'public',
    tag: 'acl',
    summary: 'Refused: there is no access control.',
    responses: RESPONSES,
    handler: refuse,
  })
}
