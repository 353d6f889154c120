import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { KeyringResult } from '../../discovery/keyring/types.ts'
import { keyFingerprint, parseClusterKey } from '../../discovery/mesh/cluster-key.ts'
import { FAILURES, Failure } from './api-failures.ts'
import { bodyJson } from './body.ts'
import type { HttpContext } from './collaborators.ts'
import { DATACENTER } from './consul-shapes.ts'
import { badRequest, HttpError, refused } from './errors.ts'
import { nullable } from './nullable.ts'
import { sendEmpty, sendJson } from './replies.ts'
import type { ResponseSpec, RouteTable } from './routes.ts'
import { ERRORS, query } from './schemas.ts'

const FINGERPRINT = /^[0-9a-f]{8,16}$/
const BODY_BYTES_MAX = 4096

/** Schema of the list of cluster keys. */
export const KeyringSchema = Type.Object({
  primary: nullable(Type.String({ description: 'Fingerprint' })),
  keys: Type.Array(
    Type.Object({ fingerprint: Type.String(), nodes: Type.Integer(), primaryOn: Type.Integer() }),
  ),
  nodes: Type.Array(
    Type.Object({
      id: Type.String(),
      name: Type.String(),
      status: Type.String(),
      source: Type.String({ description: 'answered, announced (before it went silent) or unknown' }),
      keys: Type.Array(Type.String({ description: 'Fingerprint; its first 8 digits if announced' })),
      problem: nullable(Type.String()),
    }),
  ),
})

/** Schema of the outcome of a change. */
export const KeyringResultSchema = Type.Object({
  fingerprint: Type.String(),
  done: Type.Array(Type.String({ description: 'Node that has it on disk' })),
  missing: Type.Array(Type.Object({ name: Type.String(), reason: Type.String() })),
})

const REFUSALS: Readonly<Record<number, ResponseSpec>> = {
  400: { description: 'No such order', json: Failure },
  404: { description: 'No installed key has this fingerprint', json: Failure },
  409: { description: 'Refused, with the nodes that stand in the way', json: Failure },
  ...FAILURES,
}

/** The cluster keys: /api/v1/keyring, and Consul's /v1/operator/keyring. No answer holds a key. */
export function addKeyringRoutes(routes: RouteTable, context: HttpContext): void {
  const { keyring } = context
  routes.add({
    method: 'GET',
    url: '/api/v1/keyring',
    permission: 'operator:read',
    tag: 'api',
    summary: 'Fingerprints of the cluster keys, and which node has which.',
    responses: { 200: { description: 'Keys', json: KeyringSchema }, ...FAILURES },
    handler: async (request, reply) => sendJson(request, reply, await keyring.list()),
  })
  const changes = {
    install: 'Give every node one more cluster key. The body holds it: `{"key"}`, base64.',
    use: 'Make a key the primary one. The body names it: `{"fingerprint"}`.',
    remove: 'Take a key away from every node. The body names it: `{"fingerprint"}`.',
  } as const
  for (const [action, summary] of Object.entries(changes)) {
    routes.add({
      method: 'PUT',
      url: `/api/v1/keyring/${action}`,
      permission: 'operator:write',
      tag: 'api',
      summary,
      query: query({ force: 'Also if a node is left out by it' }),
      responses: {
        200: { description: 'Who has done it and who has not', json: KeyringResultSchema },
        ...REFUSALS,
      },
      bodyLimit: BODY_BYTES_MAX,
      handler: async (request, reply) => {
        const force = isForced(request)
        const { key, fingerprint } = fields(request)
        if (action === 'install')
          return sendJson(request, reply, await keyring.install(keyOf(key), { force }))
        const which = nameOf(fingerprint ?? key)
        const result = action === 'use' ? keyring.use(which, { force }) : keyring.remove(which, { force })
        return sendJson(request, reply, await result)
      },
    })
  }
  addConsulRoutes(routes, context)
}

const ConsulKeyringSchema = Type.Array(
  Type.Object({
    WAN: Type.Boolean(),
    Datacenter: Type.String(),
    Segment: Type.String(),
    Keys: Type.Record(Type.String({ description: 'Fingerprint, where Consul has the key' }), Type.Integer()),
    PrimaryKeys: Type.Record(Type.String(), Type.Integer()),
    NumNodes: Type.Integer(),
  }),
)

function addConsulRoutes(routes: RouteTable, { keyring }: HttpContext): void {
  const url = '/v1/operator/keyring'
  const write = { url, permission: 'operator:write', tag: 'operator', bodyLimit: BODY_BYTES_MAX } as const
  const responses = { 200: { description: 'Done on every node' }, ...ERRORS }
  routes.add({
    method: 'GET',
    url,
    permission: 'operator:read',
    tag: 'operator',
    summary: 'The cluster keys by their fingerprints, and how many nodes have each.',
    responses: { 200: { description: 'One entry', json: ConsulKeyringSchema }, ...ERRORS },
    handler: async (request, reply) => {
      const { keys, nodes } = await keyring.list()
      const primary = keys.filter(({ primaryOn }) => primaryOn > 0)
      const entry = {
        WAN: false,
        Datacenter: DATACENTER,
        Segment: '',
        Keys: Object.fromEntries(keys.map(({ fingerprint, nodes }) => [fingerprint, nodes])),
        PrimaryKeys: Object.fromEntries(
          primary.map(({ fingerprint, primaryOn }) => [fingerprint, primaryOn]),
        ),
        NumNodes: nodes.length,
      }
      return sendJson(request, reply, [entry])
    },
  })
  routes.add({
    method: ['POST'],
    ...write,
    summary: 'Give every node one more cluster key.',
    responses,
    handler: (request, reply) => concluded(reply, keyring.install(keyOf(consulKey(request)))),
  })
  routes.add({
    method: ['PUT'],
    ...write,
    summary: 'Make a key the primary one; `Key` is the key or its fingerprint.',
    responses,
    handler: (request, reply) => concluded(reply, keyring.use(nameOf(consulKey(request)))),
  })
  routes.add({
    method: 'DELETE',
    ...write,
    summary: 'Take a key away from every node; `Key` is the key or its fingerprint.',
    responses,
    handler: (request, reply) => concluded(reply, keyring.remove(nameOf(consulKey(request)))),
  })
}

/** Consul's dialect has no room for "done by some": that is an error which names the others. */
async function concluded(reply: FastifyReply, change: Promise<KeyringResult>): Promise<FastifyReply> {
  let result: KeyringResult
  try {
    result = await change
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('KRG_'))
      throw refused(error.message)
    throw error
  }
  const { done, missing } = result
  if (missing.length === 0) return sendEmpty(reply)
  const names = missing.map(({ name, reason }) => `${name} (${reason})`).join(', ')
  throw refused(`${missing.length}/${done.length + missing.length} nodes have not done it: ${names}`)
}

function isForced(request: FastifyRequest): boolean {
  const { force } = request.query as { force?: string }
  if (force === undefined) return false
  if (force === '' || force === 'true') return true
  throw badRequest('force is given without a value, or as true')
}

function fields(request: FastifyRequest): { readonly key?: unknown; readonly fingerprint?: unknown } {
  const body = bodyJson(request)
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body
  throw badRequest('the body is not an object')
}

function consulKey(request: FastifyRequest): unknown {
  const entry = Object.entries(fields(request)).find(([name]) => name.toLowerCase() === 'key')
  return entry?.[1]
}

/** A key out of a body. Nothing of it is repeated in the refusal. */
function keyOf(value: unknown): Uint8Array {
  try {
    if (typeof value === 'string') return parseClusterKey(value)
  } catch {
    // Said below, in the words of this interface.
  }
  throw new HttpError('HTTP_BAD_REQUEST', 400, 'a cluster key is 32 bytes in base64 (44 characters)')
}

/** The fingerprint that is given, or that of the key that is given. */
function nameOf(value: unknown): string {
  if (typeof value === 'string' && FINGERPRINT.test(value)) return value
  return keyFingerprint(keyOf(value))
}
