import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { KvOperation, TransactionOutcome } from '../../consensus/client.ts'
import { declareOperations, retractOperations } from '../declared/declaration.ts'
import { parseDeclaredKey } from '../declared/keys.ts'
import { bodyJson } from './body.ts'
import type { HttpContext } from './collaborators.ts'
import { parseDeclaration, parseRetraction } from './declaration-definition.ts'
import { neededToDeclare, neededToRetract } from './declaration-permissions.ts'
import { refused } from './errors.ts'
import { Fields } from './fields.ts'
import { leaveIfFailed } from './force-leave.ts'
import { demand } from './permissions.ts'
import { sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { CatalogDeregistrationSchema, CatalogRegistrationSchema, ERRORS } from './schemas.ts'
import { leaderCall } from './store-reads.ts'

const DONE = { 200: { description: 'Done', json: Type.Boolean() }, ...ERRORS }

/**
 * Nodes, services and checks that no agent says: /v1/catalog/register and deregister (Consul catalog API). They are decisions,
 * so they need a leader; they are found without one.
 */
export function addDeclarationRoutes(routes: RouteTable, context: HttpContext): void {
  routes.add({
    method: 'PUT',
    url: '/v1/catalog/register',
    permission: 'service:write',
    permissionsByBody: ['node:write'],
    tag: 'catalog',
    summary: 'Declare a node without an agent, or a service or check on any node.',
    body: CatalogRegistrationSchema,
    responses: DONE,
    handler: (request, reply) => register(context, request, reply),
  })
  routes.add({
    method: 'PUT',
    url: '/v1/catalog/deregister',
    permission: 'service:write',
    permissionsByBody: ['node:write'],
    tag: 'catalog',
    summary:
      'Take back what was declared: a node with all on it, a service with its checks, or a check. A failed member is declared left.',
    body: CatalogDeregistrationSchema,
    responses: DONE,
    handler: (request, reply) => deregister(context, request, reply),
  })
}

async function register(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const declaration = parseDeclaration(new Fields(bodyJson(request), 'the body'))
  await demand(context.authorizer, request, neededToDeclare(declaration))
  const { node, host, checks } = declaration
  const known = context.catalog.node(node)
  if (host === null && known === undefined) throw refused(`Node ${JSON.stringify(node)} is not registered`)
  const operations = declareOperations(declaration, (id) => known?.record.services.has(id) === true)
  const { errors } = await carryOut(context, reply, operations)
  const [failure] = errors
  if (failure === undefined) return sendJson(request, reply, true)
  const operation = operations[failure.operation]
  const missing = operation?.verb === 'get' ? parseDeclaredKey(operation.key) : null
  if (missing?.kind !== 'service') throw refused(failure.what)
  const check = checks.find(({ serviceId }) => serviceId === missing.id)
  throw refused(`Unknown service ID '${missing.id}' for check ID '${check?.id ?? ''}'`)
}

async function deregister(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const retraction = parseRetraction(new Fields(bodyJson(request), 'the body'))
  // Which checks belong to the service is read before they are deleted, and has to be current.
  const { view } = await context.consensus.read('default', leaderCall(reply))
  const { node, serviceId, checkId } = retraction
  await demand(context.authorizer, request, neededToRetract(view, retraction))
  const { errors } = await carryOut(context, reply, retractOperations(view, retraction))
  if (errors[0] !== undefined) throw refused(errors[0].what)
  if (serviceId === '' && checkId === '') await leaveIfFailed(context, request, node)
  return sendJson(request, reply, true)
}

/** Waits until this node shows what was decided so far: who reads here after the answer finds it. */
export async function settle({ consensus, declared }: HttpContext, reply: FastifyReply): Promise<void> {
  await consensus.read('default', leaderCall(reply))
  await declared.settled()
}

async function carryOut(
  context: HttpContext,
  reply: FastifyReply,
  operations: readonly KvOperation[],
): Promise<TransactionOutcome> {
  const { consensus } = context
  if (operations.length === 0) return { results: [], errors: [] }
  const result = await consensus.propose({ type: 'kv.txn', operations }, leaderCall(reply))
  if (result.transaction === undefined) throw refused(result.error ?? 'the registration was refused')
  await settle(context, reply)
  return result.transaction
}
