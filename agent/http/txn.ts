import type { FastifyReply, FastifyRequest } from 'fastify'
import type { KvOperation, TransactionOutcome } from '../../consensus/client.ts'
import type { HttpContext } from './collaborators.ts'
import { refused } from './errors.ts'
import { kvJson } from './kv-reads.ts'
import { sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS, TransactionRequestSchema, TransactionSchema } from './schemas.ts'
import { leaderCall, readOptions, setContactHeaders } from './store-reads.ts'
import { isReadOnly, parseTransaction } from './txn-definition.ts'

/** What a body may always have: as much as Consul takes. */
const BODY_BYTES_MIN = 512 * 1024

/** Several operations on keys, all or nothing: /v1/txn (Consul transaction API). */
export function addTransactionRoutes(routes: RouteTable, context: HttpContext): void {
  routes.add({
    method: 'PUT',
    url: '/v1/txn',
    permission: 'key:write',
    tag: 'kv',
    summary: 'Carry out up to 128 operations on keys, in order, all of them or none.',
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
  const operations = parsed.filter((operation): operation is KvOperation => !('what' in operation))
  const outcome = isReadOnly(operations)
    ? await read(context, request, reply, operations)
    : await write(context, reply, operations)
  return send(request, reply, outcome)
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
): FastifyReply {
  if (errors.length === 0) {
    return sendJson(request, reply, {
      Results: results.map((entry) => ({ KV: kvJson(entry) })),
      Errors: null,
    })
  }
  const Errors = errors.map(({ operation, what }) => ({ OpIndex: operation, What: what }))
  return sendJson(request, reply.code(409), { Results: null, Errors })
}
