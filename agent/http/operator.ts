import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { ServerReport } from '../../consensus/client.ts'
import { isConsensusError } from '../../consensus/errors.ts'
import type { HttpContext } from './collaborators.ts'
import { nodeUuid } from './consul-shapes.ts'
import { badRequest, notFound, refused } from './errors.ts'
import { nodeName } from './peers.ts'
import { firstParam, hasParam } from './query.ts'
import { clientSignal, sendEmpty, sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS, query } from './schemas.ts'
import { leaderCall, readOptions } from './store-reads.ts'

/** Both operations end within an election or a commit; what takes longer has gone wrong. */
const OPERATION_MS = 5000
/** Version of the Raft protocol that Consul's servers speak. */
const RAFT_PROTOCOL = '3'
/** Consul's name for a server that its membership does not know. */
const UNKNOWN_NODE = '(unknown)'

/** Schema of the Raft configuration. */
export const RaftConfigurationSchema = Type.Object({
  Servers: Type.Array(
    Type.Object({
      ID: Type.String(),
      Node: Type.String(),
      Address: Type.String(),
      Leader: Type.Boolean(),
      ProtocolVersion: Type.String(),
      Voter: Type.Boolean(),
      LastIndex: Type.Integer({ description: '0 if this node cannot know' }),
    }),
  ),
  Index: Type.Integer({ description: 'Log index the answer is as new as' }),
})

/** The Raft group for Consul's operator tools: /v1/operator/raft/* (Consul operator API). */
export function addOperatorRoutes(routes: RouteTable, context: HttpContext): void {
  routes.add({
    method: 'GET',
    url: '/v1/operator/raft/configuration',
    permission: 'operator:read',
    tag: 'operator',
    summary: 'The servers of Raft, as the leader has them.',
    query: query({ stale: 'Answer with what this node has', pretty: 'Indent the JSON' }),
    responses: { 200: { description: 'Servers', json: RaftConfigurationSchema }, ...ERRORS },
    handler: async (request, reply) =>
      sendJson(
        request,
        reply,
        readOptions(request).consistency === 'stale'
          ? ownConfiguration(context)
          : await leaderConfiguration(context, reply),
      ),
  })
  routes.add({
    method: ['PUT', 'POST'],
    url: '/v1/operator/raft/transfer-leader',
    permission: 'operator:write',
    tag: 'operator',
    summary: 'Hand leadership over and wait until the other server leads.',
    query: query({ id: 'Id of a server; without it, the one whose log is furthest' }),
    responses: {
      200: { description: 'Done', json: Type.Object({ Success: Type.Boolean() }) },
      404: { description: 'It cannot take over; the text says why', media: 'text/plain' },
      ...ERRORS,
    },
    handler: (request, reply) => transferLeader(context, request, reply),
  })
  routes.add({
    method: 'DELETE',
    url: '/v1/operator/raft/peer',
    permission: 'operator:write',
    tag: 'operator',
    summary: 'Take a dead server out of Raft.',
    query: query({ id: 'Id of the server', address: 'host:port of its mesh listener, instead of the id' }),
    responses: { 200: { description: 'Done' }, ...ERRORS },
    handler: (request, reply) => removePeer(context, request, reply),
  })
}

async function leaderConfiguration(context: HttpContext, reply: FastifyReply) {
  const options = leaderCall(reply)
  const { servers, commitIndex } = await context.consensus.report(options)
  return { Servers: servers.map((server) => serverJson(context, server)), Index: commitIndex }
}

function ownConfiguration(context: HttpContext) {
  const { id: self, peers, commitIndex, lastLogIndex } = context.consensus.status()
  const Servers = peers.map(({ id, voter, leader, matchIndex }) => {
    const lastIndex = id === self ? lastLogIndex : (matchIndex ?? 0)
    return serverJson(context, { id, voter, leader, lastIndex })
  })
  return { Servers, Index: commitIndex }
}

function serverJson(
  context: HttpContext,
  { id, voter, leader, lastIndex }: Pick<ServerReport, 'id' | 'voter' | 'leader' | 'lastIndex'>,
) {
  return {
    ...serverIdentity(context, id),
    Leader: leader,
    ProtocolVersion: RAFT_PROTOCOL,
    Voter: voter,
    LastIndex: lastIndex,
  }
}

/** Id, name and address of a server: the id is the one that agent/self, members and the catalogue show of the node. */
export function serverIdentity({ membership }: Pick<HttpContext, 'membership'>, id: string) {
  const member = membership.get(id)
  return { ID: nodeUuid(id), Node: member?.name ?? UNKNOWN_NODE, Address: member?.address ?? '' }
}

async function transferLeader(context: HttpContext, request: FastifyRequest, reply: FastifyReply) {
  const { consensus } = context
  const wanted = firstParam(request.query, 'id') ?? ''
  const to = wanted === '' ? undefined : serverById(context, wanted)
  if (to === null) throw notFound(`Failed to transfer Leader: ${unknownServer('id', wanted)}`)
  try {
    await consensus.transferLeadership(to, { timeoutMs: OPERATION_MS, signal: clientSignal(reply) })
  } catch (error) {
    if (!isConsensusError(error, 'CST_REFUSED')) throw error
    throw notFound(`Failed to transfer Leader: ${named(context, to, error.message)}`)
  }
  return sendJson(request, reply, { Success: true })
}

async function removePeer(context: HttpContext, request: FastifyRequest, reply: FastifyReply) {
  const { query } = request
  if (hasParam(query, 'id') && hasParam(query, 'address')) {
    throw badRequest('Must specify only one of ?id or ?address')
  }
  const id = firstParam(query, 'id') ?? ''
  const address = firstParam(query, 'address') ?? ''
  if (id === '' && address === '') {
    throw badRequest(
      "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove",
    )
  }
  const peer = id === '' ? serverAt(context, address) : serverById(context, id)
  if (peer === null) throw refused(id === '' ? unknownServer('address', address) : unknownServer('id', id))
  try {
    await context.consensus.removePeer(peer, { timeoutMs: OPERATION_MS, signal: clientSignal(reply) })
  } catch (error) {
    if (!isConsensusError(error, 'CST_REFUSED')) throw error
    throw refused(named(context, peer, error.message))
  }
  return sendEmpty(reply)
}

/** The identity of a server by the id shown to Consul's clients or by the identity itself; null if there is none. */
function serverById({ consensus }: HttpContext, text: string): string | null {
  const ids = consensus.status().peers.map(({ id }) => id)
  return ids.find((id) => id === text || nodeUuid(id) === text.toLowerCase()) ?? null
}

/** A server is found by its address as long as the membership remembers it; of several there, the dead one is meant. */
function serverAt({ consensus, membership }: HttpContext, address: string): string | null {
  const found = consensus
    .status()
    .peers.map(({ id }) => membership.get(id))
    .filter((member) => member?.address === address)
  const dead = found.find((member) => member?.status === 'failed' || member?.status === 'left')
  return (dead ?? found[0])?.id ?? null
}

function unknownServer(what: 'id' | 'address', text: string): string {
  return `${what} ${JSON.stringify(text)} was not found in the Raft configuration`
}

/** A refusal speaks of the node by its name, as the operator does. */
function named(context: HttpContext, id: string | undefined, message: string): string {
  return id === undefined ? message : message.replaceAll(id, nodeName(context, id) ?? id)
}
