import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import type { LeaderReport, ServerReport } from '../../consensus/client.ts'
import { formatGoDuration } from '../../discovery/health/duration.ts'
import type { Member } from '../../discovery/membership/types.ts'
import { autopilotJson, parseAutopilot } from './autopilot-definition.ts'
import { bodyJson } from './body.ts'
import type { HttpContext } from './collaborators.ts'
import { CONSUL_VERSION, nodeUuid } from './consul-shapes.ts'
import { Fields } from './fields.ts'
import { parseCas } from './kv.ts'
import { serverIdentity } from './operator.ts'
import { renderJson, sendJson, sendJsonText } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { DONE, ERRORS, query } from './schemas.ts'
import { leaderCall, readOptions } from './store-reads.ts'

/** Schema of the configuration of autopilot. */
export const AutopilotSchema = Type.Object({
  CleanupDeadServers: Type.Boolean(),
  LastContactThreshold: Type.String(),
  MaxTrailingLogs: Type.Integer(),
  MinQuorum: Type.Integer(),
  ServerStabilizationTime: Type.String(),
  RedundancyZoneTag: Type.String(),
  DisableUpgradeMigration: Type.Boolean(),
  UpgradeVersionTag: Type.String(),
  CreateIndex: Type.Integer(),
  ModifyIndex: Type.Integer(),
})

const health = {
  ID: Type.String(),
  Name: Type.String(),
  Address: Type.String(),
  Version: Type.String(),
  LastContact: Type.String(),
  LastTerm: Type.Integer(),
  LastIndex: Type.Integer(),
  Healthy: Type.Boolean(),
  StableSince: Type.String(),
}

/** Schema of the health of all servers. */
export const AutopilotHealthSchema = Type.Object({
  Healthy: Type.Boolean(),
  FailureTolerance: Type.Integer(),
  Servers: Type.Array(
    Type.Object({ ...health, SerfStatus: Type.String(), Leader: Type.Boolean(), Voter: Type.Boolean() }),
  ),
})

/** Schema of the state of autopilot. */
export const AutopilotStateSchema = Type.Object({
  Healthy: Type.Boolean(),
  FailureTolerance: Type.Integer(),
  OptimisticFailureTolerance: Type.Integer(),
  Servers: Type.Record(
    Type.String(),
    Type.Object({
      ...health,
      NodeStatus: Type.String(),
      ReadReplica: Type.Boolean(),
      Status: Type.String({ description: 'leader, voter or non-voter' }),
      Meta: Type.Record(Type.String(), Type.String()),
      NodeType: Type.String(),
    }),
  ),
  Leader: Type.String(),
  Voters: Type.Array(Type.String()),
})

/** How the servers are and how the leader looks after them: /v1/operator/autopilot/* (Consul operator API). */
export function addAutopilotRoutes(routes: RouteTable, context: HttpContext): void {
  const { consensus } = context
  routes.add({
    method: 'GET',
    url: '/v1/operator/autopilot/configuration',
    permission: 'operator:read',
    tag: 'operator',
    summary: 'How the leader looks after the servers.',
    query: query({ stale: 'Answer with what this node has', pretty: 'Indent the JSON' }),
    responses: { 200: { description: 'Configuration', json: AutopilotSchema }, ...ERRORS },
    handler: async (request, reply) => {
      const { consistency } = readOptions(request)
      return sendJson(request, reply, autopilotJson(await consensus.autopilot(consistency, options(reply))))
    },
  })
  routes.add({
    method: 'PUT',
    url: '/v1/operator/autopilot/configuration',
    permission: 'operator:write',
    tag: 'operator',
    summary: 'Decide how the leader looks after the servers. What the body does not name gets its default.',
    query: query({ cas: 'Only if ModifyIndex is this; 0 = only if it was never set' }),
    responses: { 200: DONE, ...ERRORS },
    handler: async (request, reply) => {
      const config = parseAutopilot(new Fields(bodyJson(request), 'the body'))
      return sendJson(request, reply, await consensus.setAutopilot(config, parseCas(request), options(reply)))
    },
  })
  routes.add({
    method: 'GET',
    url: '/v1/operator/autopilot/health',
    permission: 'operator:read',
    tag: 'operator',
    summary: 'Whether every server answers and is close behind, as the leader sees it.',
    responses: {
      200: { description: 'All are healthy', json: AutopilotHealthSchema },
      429: { description: 'One is not', json: AutopilotHealthSchema },
      ...ERRORS,
    },
    handler: async (request, reply) => {
      const state = healthJson(context, await consensus.report(options(reply)))
      return sendJsonText(reply.code(state.Healthy ? 200 : 429), renderJson(request, state))
    },
  })
  routes.add({
    method: 'GET',
    url: '/v1/operator/autopilot/state',
    permission: 'operator:read',
    tag: 'operator',
    summary: 'The same as a map by id, with what each server is.',
    responses: { 200: { description: 'State', json: AutopilotStateSchema }, ...ERRORS },
    handler: async (request, reply) =>
      sendJson(request, reply, stateJson(context, await consensus.report(options(reply)))),
  })
}

function options(reply: FastifyReply) {
  return leaderCall(reply)
}

function healthJson(context: HttpContext, { servers }: LeaderReport) {
  return {
    Healthy: servers.every(({ healthy }) => healthy),
    FailureTolerance: failureTolerance(servers),
    Servers: servers.map((server) => {
      const { ID, Node, Address } = serverIdentity(context, server.id)
      return {
        ID,
        Name: Node,
        Address,
        SerfStatus: gossipStatus(context.membership.get(server.id)),
        Version: CONSUL_VERSION,
        Leader: server.leader,
        ...contactJson(server),
        Voter: server.voter,
      }
    }),
  }
}

function stateJson(context: HttpContext, { servers }: LeaderReport) {
  const tolerance = failureTolerance(servers)
  const entries = servers.map((server) => {
    const { ID, Node, Address } = serverIdentity(context, server.id)
    const state = {
      ID,
      Name: Node,
      Address,
      NodeStatus: gossipStatus(context.membership.get(server.id)),
      Version: CONSUL_VERSION,
      ...contactJson(server),
      ReadReplica: false,
      Status: server.leader ? 'leader' : server.voter ? 'voter' : 'non-voter',
      Meta: context.catalog.node(Node)?.record.meta ?? {},
      NodeType: 'voter',
    }
    return [ID, state] as const
  })
  const leader = servers.find((server) => server.leader)
  return {
    Healthy: servers.every(({ healthy }) => healthy),
    FailureTolerance: tolerance,
    OptimisticFailureTolerance: tolerance,
    Servers: Object.fromEntries(entries),
    Leader: leader === undefined ? '' : nodeUuid(leader.id),
    Voters: servers.filter(({ voter }) => voter).map(({ id }) => nodeUuid(id)),
  }
}

function contactJson(server: ServerReport) {
  return {
    LastContact: formatGoDuration(Math.round(server.lastContactMs)),
    LastTerm: server.lastTerm,
    LastIndex: server.lastIndex,
    Healthy: server.healthy,
    StableSince: new Date(server.stableSince).toISOString(),
  }
}

/** How many more healthy voters can be lost before nothing can be written. */
function failureTolerance(servers: readonly ServerReport[]): number {
  const voters = servers.filter(({ voter }) => voter)
  const quorum = Math.floor(voters.length / 2) + 1
  return Math.max(0, voters.filter(({ healthy }) => healthy).length - quorum)
}

function gossipStatus(member: Member | undefined): string {
  if (member === undefined) return 'none'
  return member.status === 'suspect' ? 'alive' : member.status
}
