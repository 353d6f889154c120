import type { FastifyReply, FastifyRequest } from 'fastify'
import type { KvEntry, KvOperation, TransactionOutcome } from '../../consensus/client.ts'
import { settle } from './catalog-declarations.ts'
import type { HttpContext } from './collaborators.ts'
import { neededForOperation } from './declaration-permissions.ts'
import { refused } from './errors.ts'
import { leaveIfFailed } from './force-leave.ts'
import { kvJson } from './kv-reads.ts'
import { demand } from './permissions.ts'
import { sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS, TransactionRequestSchema, TransactionSchema } from './schemas.ts'
import { leaderCall, readOptions, setContactHeaders } from './store-reads.ts'
import { type CatalogOperation, CatalogPlan, describeFailure } from './txn-catalog.ts'
import { isReadOnly, parseTransaction } from './txn-definition.ts'

type AskedOperation = KvOperation | CatalogOperation

/** What a body may always have: as much as Consul takes. */
const BODY_BYTES_MIN = 512 * 1024

/** Several operations on keys and declared things, all or nothing: /v1/txn (Consul transaction API). */
export function addTransactionRoutes(routes: RouteTable, context: HttpContext): void {
  routes.add({
    method: 'PUT',
    url: '/v1/txn',
    permission: 'key:write',
    permissionsByBody: ['node:write', 'service:write', 'node:read', 'service:read'],
    tag: 'kv',
    summary: 'Carry out up to 128 operations on keys and declared things, in order, all of them or none.',
    body: TransactionRequestSchema,
    bodyLimit: Math.max(context.config.kv.valueBytesMax, BODY_BYTES_MIN),
    responses: {
      200: { description: 'Carried out', json: TransactionSchema },
      409: { description: 'Not carried out: the operations that failed, and why', json: TransactionSchema },
      413: { description: 'Too many operations, or too large a body or value', media: 'text/plain' },
      ...ERRORS,
    },
    handler: (request, reply) => transact(context, request, reply),
  })
}

async function transact(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const parsed = parseTransaction(request, context.config.kv)
  const mistakes = parsed.flatMap((operation, at) =>
    'what' in operation ? [{ operation: at, what: operation.what }] : [],
  )
  if (mistakes.length > 0) return send(request, reply, { results: [], errors: mistakes })
  const asked = parsed.filter((operation): operation is AskedOperation => !('what' in operation))
  if (!asked.some(isCatalogOperation)) {
    const operations = asked.filter((operation): operation is KvOperation => !isCatalogOperation(operation))
    await demand(context.authorizer, request, ['key:write'])
    return send(request, reply, await carryOut(context, request, reply, operations))
  }
  return transactDeclared(context, request, reply, asked)
}

/** A transaction on declared things: they are keys, so it becomes one on keys, and its answer is told back. */
async function transactDeclared(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  asked: readonly AskedOperation[],
): Promise<FastifyReply> {
  const { view } = await context.consensus.read('default', leaderCall(reply))
  const needed = asked.flatMap((operation) => neededForOperation(view, operation))
  await demand(context.authorizer, request, needed)
  const plan = new CatalogPlan(view, context.catalog)
  const operations: KvOperation[] = []
  const origins: number[] = []
  const mistakes: { operation: number; what: string }[] = []
  for (const [at, operation] of asked.entries()) {
    const planned = isCatalogOperation(operation) ? plan.add(operation) : [operation]
    if (typeof planned === 'string') mistakes.push({ operation: at, what: planned })
    else for (const one of planned) origins[operations.push(one) - 1] = at
  }
  if (mistakes.length > 0) return send(request, reply, { results: [], errors: mistakes })
  const { results, errors } = await carryOut(context, request, reply, operations)
  if (errors.length === 0 && !isReadOnly(operations)) {
    await settle(context, reply)
    for (const node of deletedNodes(asked)) await leaveIfFailed(context, request, node)
  }
  const told = errors.map(({ operation, what }) => {
    const at = origins[operation] ?? 0
    const origin = asked[at]
    return {
      operation: at,
      what: origin && isCatalogOperation(origin) ? describeFailure(origin, what) : what,
    }
  })
  return send(request, reply, { results, errors: told }, (entry) => plan.render(entry))
}

function deletedNodes(asked: readonly AskedOperation[]): ReadonlySet<string> {
  return new Set(
    asked.flatMap((operation) => {
      if (!isCatalogOperation(operation) || operation.kind !== 'node') return []
      return operation.verb === 'delete' || operation.verb === 'delete-cas' ? [operation.node] : []
    }),
  )
}

function isCatalogOperation(operation: AskedOperation): operation is CatalogOperation {
  return 'kind' in operation
}

function carryOut(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  operations: readonly KvOperation[],
): Promise<TransactionOutcome> {
  return isReadOnly(operations)
    ? read(context, request, reply, operations)
    : write(context, reply, operations)
}

/** Nothing is written, so no log entry is needed: this node answers, as fresh as the request asks. */
async function read(
  { consensus }: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  operations: readonly KvOperation[],
): Promise<TransactionOutcome> {
  const { consistency } = readOptions(request)
  const options = leaderCall(reply)
  const { view, ...contact } = await consensus.read(consistency, options)
  setContactHeaders(reply, contact)
  return view.readTransaction(operations)
}

async function write(
  { consensus }: HttpContext,
  reply: FastifyReply,
  operations: readonly KvOperation[],
): Promise<TransactionOutcome> {
  const options = leaderCall(reply)
  const result = await consensus.propose({ type: 'kv.txn', operations }, options)
  if (result.transaction === undefined) throw refused(result.error ?? 'the transaction was refused')
  return result.transaction
}

function send(
  request: FastifyRequest,
  reply: FastifyReply,
  { results, errors }: TransactionOutcome,
  render: (entry: KvEntry) => object | null = () => null,
): FastifyReply {
  if (errors.length === 0) {
    return sendJson(request, reply, {
      Results: results.map((entry) => render(entry) ?? { KV: kvJson(entry) }),
      Errors: null,
    })
  }
  const Errors = errors.map(({ operation, what }) => ({ OpIndex: operation, What: what }))
  return sendJson(request, reply.code(409), { Results: null, Errors })
}
