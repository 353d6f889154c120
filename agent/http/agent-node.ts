import { Type } from 'typebox'
import type { HttpContext } from './collaborators.ts'
import { CONSUL_VERSION, DATACENTER, memberJson, nodeUuid } from './consul-shapes.ts'
import { refused } from './errors.ts'
import { requestFilter } from './filter/request-filter.ts'
import { MEMBER } from './filter/shapes.ts'
import { hasParam } from './query.ts'
import { sendEmpty, sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS, FILTER_QUERY, MemberSchema, query, SelfSchema } from './schemas.ts'

const NANOSECONDS_PER_MS = 1_000_000

/** The agent itself: /v1/agent/self, members, version, leave, reload (Consul agent API). */
export function addAgentNodeRoutes(routes: RouteTable, context: HttpContext): void {
  const { membership, operations, config, version } = context
  const memberOptions = { version, expect: config.cluster.bootstrapExpect }
  routes.add({
    method: 'GET',
    url: '/v1/agent/self',
    permission: 'agent:read',
    tag: 'agent',
    summary: 'Configuration and state of this node.',
    responses: { 200: { description: 'This node', json: SelfSchema }, ...ERRORS },
    handler: (request, reply) => {
      const member = membership.local()
      return sendJson(request, reply, {
        Config: {
          Datacenter: DATACENTER,
          PrimaryDatacenter: DATACENTER,
          NodeName: member.name,
          NodeID: nodeUuid(member.id),
          Revision: version,
          Server: true,
          Version: CONSUL_VERSION,
          BuildDate: '1970-01-01T00:00:00Z',
          // Patroni reads it after its own TTL was refused.
          SessionTTLMin: config.sessions.ttlMinMs * NANOSECONDS_PER_MS,
        },
        DebugConfig: {},
        Coord: coordinateJson(membership.coordinate(member.id)),
        Member: memberJson(member, memberOptions),
        Stats: stats(context),
        Meta: { 'consul-network-segment': '', ...config.node.meta },
        xDS: null,
      })
    },
  })
  routes.add({
    method: 'GET',
    url: '/v1/agent/members',
    permission: 'node:read',
    tag: 'agent',
    summary: 'Every member of the cluster.',
    query: query({ ...FILTER_QUERY, wan: 'Name them with the datacenter, as n1.dc1' }),
    responses: { 200: { description: 'Members', json: Type.Array(MemberSchema) }, ...ERRORS },
    handler: (request, reply) => {
      const matches = requestFilter(request, MEMBER)
      const wan = hasParam(request.query, 'wan')
      const members = membership.members().map((member) => {
        const json = memberJson(member, memberOptions)
        return wan ? { ...json, Name: `${json.Name}.${DATACENTER}` } : json
      })
      return sendJson(request, reply, members.filter(matches))
    },
  })
  routes.add({
    method: 'GET',
    url: '/v1/agent/version',
    permission: 'agent:read',
    tag: 'agent',
    summary: 'Version of the agent.',
    responses: {
      200: {
        description: 'Version',
        json: Type.Object({
          SHA: Type.String(),
          BuildDate: Type.String(),
          HumanVersion: Type.String(),
          FIPS: Type.String(),
        }),
      },
      ...ERRORS,
    },
    handler: (request, reply) =>
      sendJson(request, reply, {
        SHA: '',
        BuildDate: '1970-01-01T00:00:00Z',
        HumanVersion: `${CONSUL_VERSION}+constellation.${version}`,
        FIPS: '',
      }),
  })
  routes.add({
    method: 'PUT',
    url: '/v1/agent/leave',
    permission: 'agent:write',
    tag: 'agent',
    summary: 'Leave the cluster on purpose.',
    responses: { 200: { description: 'Left' }, ...ERRORS },
    handler: async (_request, reply) => {
      await operations.leave()
      return sendEmpty(reply)
    },
  })
  routes.add({
    method: 'PUT',
    url: '/v1/agent/reload',
    permission: 'agent:write',
    tag: 'agent',
    summary: 'Read the configuration again.',
    responses: { 200: { description: 'Reloaded' }, ...ERRORS },
    handler: async (_request, reply) => {
      try {
        await operations.reload()
      } catch (error) {
        throw refused(`the configuration was not reloaded: ${(error as Error).message}`)
      }
      return sendEmpty(reply)
    },
  })
}

/** Where this node is in the network, as Consul shows it; null before it has measured anything. */
function coordinateJson(place: ReturnType<HttpContext['membership']['coordinate']>) {
  if (place === null) return null
  const { vec, error, adjustment, height } = place
  return { Adjustment: adjustment, Error: error, Height: height, Vec: vec }
}

/** Two levels of strings: that is all `consul info` can print. */
function stats(context: HttpContext): Record<string, Record<string, string>> {
  const { consensus, membership, local, version } = context
  const status = consensus.status()
  const members = membership.members()
  const { services, checks } = local.record()
  const count = (wanted: string): string =>
    String(members.filter((member) => member.status === wanted).length)
  return {
    agent: { services: String(services.size), checks: String(checks.size) },
    build: { version: CONSUL_VERSION, revision: version, prerelease: '' },
    consul: {
      server: 'true',
      leader: String(status.role === 'leader'),
      leader_addr: status.leader === null ? '' : (membership.get(status.leader)?.address ?? ''),
      known_datacenters: '1',
      bootstrap: 'false',
    },
    raft: {
      state: status.role,
      term: String(status.term),
      commit_index: String(status.commitIndex),
      applied_index: String(status.appliedIndex),
      last_log_index: String(status.lastLogIndex),
      last_snapshot_index: String(status.snapshotIndex),
      num_peers: String(Math.max(0, status.peers.length - 1)),
      last_contact: Number.isFinite(status.lastContactMs) ? `${Math.round(status.lastContactMs)}ms` : 'never',
    },
    serf_lan: { members: String(members.length), failed: count('failed'), left: count('left') },
    runtime: { version: process.version, arch: process.arch, os: process.platform },
  }
}
