import { Type } from 'typebox'
import { isConsensusError, refused } from '../../consensus/errors.ts'
import { FAILURES, Failure } from './api-failures.ts'
import type { HttpContext } from './collaborators.ts'
import { nodeId, nodeName, peerId } from './peers.ts'
import { firstParam } from './query.ts'
import { textTail } from './raw-path.ts'
import { clientSignal, sendJson } from './replies.ts'
import type { ResponseSpec, RouteTable } from './routes.ts'
import { query } from './schemas.ts'

/** Both end within an election or a commit; what takes longer has gone wrong. */
const OPERATION_MS = 5000

const REFUSALS: Readonly<Record<number, ResponseSpec>> = {
  404: { description: 'No such peer', json: Failure },
  409: { description: 'Refused, with the reason', json: Failure },
  ...FAILURES,
}

/** Schema of the answers: the node concerned. */
export const RaftNodeSchema = Type.Object({ name: Type.String(), id: Type.String() })

/** Schema of the answer to a new voter. */
export const NewVoterSchema = Type.Object({
  name: Type.String(),
  id: Type.String(),
  role: Type.String({ description: 'voter; learner while it is still catching up' }),
})

/** What an operator can do to the Raft group. Any node may be asked. */
export function addRaftOperations(routes: RouteTable, context: HttpContext): void {
  const { consensus } = context
  routes.add({
    method: 'PUT',
    url: '/api/v1/raft/transfer',
    permission: 'operator:write',
    tag: 'api',
    summary: 'Hand leadership over and wait until the other node leads.',
    query: query({ to: 'Name or id of a voter; without it, the one whose log is furthest' }),
    responses: { 200: { description: 'Who leads now', json: RaftNodeSchema }, ...REFUSALS },
    handler: async (request, reply) => {
      const to = firstParam(request.query, 'to')
      const wanted = to === undefined ? undefined : peerId(context, to)
      const options = { timeoutMs: OPERATION_MS, signal: clientSignal(reply) }
      const id = await withName(context, wanted ?? '', consensus.transferLeadership(wanted, options))
      return sendJson(request, reply, { name: nodeName(context, id), id })
    },
  })
  routes.add({
    method: 'PUT',
    url: '/api/v1/raft/peers/*',
    wildcard: 'node',
    permission: 'operator:write',
    tag: 'api',
    summary: 'Make a living node a voter now.',
    responses: { 200: { description: 'What it is now', json: NewVoterSchema }, ...REFUSALS },
    handler: async (request, reply) => {
      const id = nodeId(context, textTail(request))
      const options = { timeoutMs: OPERATION_MS, signal: clientSignal(reply) }
      const role = await withName(context, id, consensus.addVoter(id, options))
      return sendJson(request, reply, { name: nodeName(context, id), id, role })
    },
  })
  routes.add({
    method: 'DELETE',
    url: '/api/v1/raft/peers/*',
    wildcard: 'node',
    permission: 'operator:write',
    tag: 'api',
    summary: 'Take a dead node out of the Raft group.',
    responses: { 200: { description: 'Who was removed', json: RaftNodeSchema }, ...REFUSALS },
    handler: async (request, reply) => {
      const id = peerId(context, textTail(request))
      const name = nodeName(context, id)
      const options = { timeoutMs: OPERATION_MS, signal: clientSignal(reply) }
      await withName(context, id, consensus.removePeer(id, options))
      return sendJson(request, reply, { name, id })
    },
  })
}

/** The outcome of `order`; a refusal speaks of node `id` by its name, as the operator does. */
async function withName<T>(context: HttpContext, id: string, order: Promise<T>): Promise<T> {
  try {
    return await order
  } catch (error) {
    if (id === '' || !isConsensusError(error, 'CST_REFUSED')) throw error
    throw refused(error.message.replaceAll(id, nodeName(context, id) ?? id))
  }
}
