import type { FastifyInstance, FastifyRequest } from 'fastify'
import { HttpError } from './errors.ts'
import { firstParam } from './query.ts'

/** Everything a route can ask for. `public` needs nothing. */
export const PERMISSIONS = [
  'public',
  'key:read',
  'key:write',
  'session:read',
  'session:write',
  'agent:read',
  'agent:write',
  'node:read',
  'node:write',
  'service:read',
  'service:write',
  'event:read',
  'event:write',
  'operator:read',
  'operator:write',
] as const

/** What a client must be allowed to do to use a route. */
export type Permission = (typeof PERMISSIONS)[number]

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Enforced before the body is read. Every route has one. */
    permission?: Permission
    /** What the body may call for instead: any of them, or `permission`, lets a request in, and the handler demands what it is. */
    permissionsByBody?: readonly Permission[]
    /** Name of the part of the path that `*` stands for, in the API description. */
    wildcard?: string
    /** Whether `?filter=` means something to it. */
    filters?: boolean
  }
}

/** One request, as the policy sees it. */
export interface AccessRequest {
  readonly permission: Permission
  /** The secret the client presented, or null. Never log it. */
  readonly token: string | null
  readonly method: string
  /** Path as sent, without the query. */
  readonly path: string
}

/** The policy: may this request go on? */
export interface Authorizer {
  authorize(request: AccessRequest): boolean | Promise<boolean>
}

/** The policy of a cluster without access control. */
export const allowAll: Authorizer = { authorize: () => true }

/**
 * Installs the one place where permissions are enforced. Must run before the first route is added.
 * @throws Error from `app.route` for a route that names no permission.
 */
export function enforcePermissions(app: FastifyInstance, authorizer: Authorizer): void {
  app.addHook('onRoute', (route) => {
    const permission = route.config?.permission
    if (permission === undefined || !PERMISSIONS.includes(permission)) {
      throw new Error(`route ${String(route.method)} ${route.url} declares no permission`)
    }
  })
  app.addHook('onRequest', async (request) => {
    const { permission, permissionsByBody = [] } = request.routeOptions.config
    // Only the answer "no such path" has no route and so no permission.
    if (permission === undefined || permission === 'public') return
    for (const one of [permission, ...permissionsByBody]) {
      if (await isAllowed(authorizer, request, one)) return
    }
    throw denied()
  })
}

/** What the body of a request calls for, on a route with `permissionsByBody`. @throws HttpError 403 unless all is allowed */
export async function demand(
  authorizer: Authorizer | undefined,
  request: FastifyRequest,
  permissions: Iterable<Permission>,
): Promise<void> {
  for (const permission of new Set(permissions)) {
    if (!(await isAllowed(authorizer, request, permission))) throw denied()
  }
}

/** Whether the policy lets a request do what needs this permission; no policy lets it. */
export async function isAllowed(
  authorizer: Authorizer | undefined,
  request: FastifyRequest,
  permission: Permission,
): Promise<boolean> {
  if (authorizer === undefined) return true
  const path = request.originalUrl.split('?', 1)[0] ?? ''
  return authorizer.authorize({ permission, token: tokenOf(request), method: request.method, path })
}

function denied(): HttpError {
  return new HttpError('HTTP_FORBIDDEN', 403, 'Permission denied')
}

/** The token of a request: `?token=`, then `X-Consul-Token`, then `Authorization: Bearer`; null for none. */
export function tokenOf(request: FastifyRequest): string | null {
  const header = request.headers['x-consul-token']
  const bearer = /^bearer\s+(\S+)\s*$/i.exec(request.headers.authorization ?? '')?.[1]
  const candidates = [firstParam(request.query, 'token'), Array.isArray(header) ? header[0] : header, bearer]
  return candidates.find((candidate) => candidate !== undefined && candidate !== '') ?? null
}
