import { Type } from 'typebox'
import { FAILURES, Failure } from './api-failures.ts'
import type { HttpContext } from './collaborators.ts'
import { nodeId, nodeName } from './peers.ts'
import { clientSignal, sendJson } from './replies.ts'
import type { ResponseSpec, RouteTable } from './routes.ts'

const OPERATION_MS = 5000

/** Schema of the answers. `role`: its part in Raft when it was asked, which a cordon changes only later. */
export const CordonSchema = Type.Object({
  name: Type.String(),
  id: Type.String(),
  cordoned: Type.Boolean(),
  draining: Type.Boolean(),
  leases: Type.Array(Type.String(), { description: 'What it holds, now' }),
  role: Type.String({ description: 'leader, voter, learner or none, now' }),
})

const SUMMARIES = {
  cordon:
    'Decide that a node gets no new traffic and is not to vote or lead; another takes its place if there is one.',
  drain: 'Cordon a node that is to give up its leases as well, so that it can be stopped.',
  uncordon: 'Lift the cordon of a node, and end its drain.',
}

const REFUSALS: Readonly<Record<number, ResponseSpec>> = {
  400: { description: 'Several nodes have the name', json: Failure },
  404: { description: 'No such node', json: Failure },
  ...FAILURES,
}

/** What an operator can decide about a node. Any node may be asked. */
export function addNodeOperations(routes: RouteTable, context: HttpContext): void {
  const { consensus } = context
  for (const action of ['cordon', 'drain', 'uncordon'] as const) {
    routes.add({
      method: 'PUT',
      url: `/api/v1/nodes/:node/${action}`,
      permission: 'operator:write',
      tag: 'api',
      summary: SUMMARIES[action],
      responses: { 200: { description: 'The node', json: CordonSchema }, ...REFUSALS },
      handler: async (request, reply) => {
        const id = nodeId(context, (request.params as { node: string }).node)
        const name = nodeName(context, id) ?? id
        const options = { timeoutMs: OPERATION_MS, signal: clientSignal(reply) }
        if (action === 'uncordon') await consensus.uncordon(id, options)
        else await consensus[action](id, name, options)
        const peer = consensus.status().peers.find((peer) => peer.id === id)
        const role = peer === undefined ? 'none' : peer.leader ? 'leader' : peer.voter ? 'voter' : 'learner'
        return sendJson(request, reply, {
          name,
          id,
          cordoned: action !== 'uncordon',
          draining: action === 'drain',
          leases: leasesOf(context, name),
          role,
        })
      },
    })
  }
}

/** Names of the leases that a node holds. */
export function leasesOf({ leases }: Pick<HttpContext, 'leases'>, name: string): string[] {
  return leases.list().flatMap((lease) => (lease.holder === name ? [lease.name] : []))
}
