import { Type } from 'typebox'
import type { RaftPeer } from '../../consensus/client.ts'
import { reasonOf } from '../cluster-events/event-source.ts'
import { FAILURES, Failure } from './api-failures.ts'
import { ClientsSchema, FeedSchema, feedJson, followersJson, memberRole } from './clients.ts'
import type { HttpContext } from './collaborators.ts'
import { HttpError, notFound } from './errors.ts'
import { addNodeOperations, leasesOf } from './node-operations.ts'
import { nodeName } from './peers.ts'
import { addRaftOperations } from './raft-operations.ts'
import { raftProblem } from './raft-problem.ts'
import { sendJson, sendJsonText } from './replies.ts'
import type { RouteTable } from './routes.ts'

const RETRY_AFTER_SECONDS = 2
const nullable = (schema: ReturnType<typeof Type.String> | ReturnType<typeof Type.Integer>) =>
  Type.Union([schema, Type.Null()])

const nullableNumber = Type.Union([Type.Number(), Type.Null()])

/** Schemas of the answers below /api/v1. */
export const ApiSchemas = {
  failure: Failure,
  status: Type.Object({
    node: Type.String(),
    cluster: Type.String(),
    clusterId: nullable(Type.String()),
    leader: nullable(Type.String({ description: 'Node name' })),
    term: Type.Integer(),
    role: Type.String(),
    ready: Type.Boolean(),
    version: Type.String(),
    catalog: Type.Object(
      { digest: Type.String(), records: Type.Integer() },
      { description: 'Equal on all nodes that hold the same records of the same nodes' },
    ),
    diskFull: Type.Optional(
      Type.String({ description: 'Set while the disk is full: no writes are taken here' }),
    ),
    feed: Type.Optional(FeedSchema),
    failure: Type.Optional(
      Type.String({ description: 'Why storage failed; the node serves stale reads only' }),
    ),
  }),
  nodes: Type.Array(
    Type.Object({
      name: Type.String(),
      status: Type.String({ description: 'alive, suspect, failed, left, or unknown to the membership' }),
      address: Type.String(),
      role: Type.String({ description: 'leader, voter, learner, client or none' }),
      fedBy: Type.Optional(Type.String({ description: 'Of a client: the name of the node that feeds it' })),
      cordoned: Type.Boolean({ description: 'An operator has decided: no new traffic, no vote' }),
      draining: Type.Boolean({ description: 'It gives up its leases as well' }),
      leases: Type.Array(Type.String({ description: 'Leases it holds' })),
      id: Type.String(),
      incarnation: Type.Integer(),
      rttMs: nullableNumber,
      meta: Type.Record(Type.String(), Type.String()),
      http: Type.Optional(Type.String()),
      version: Type.Optional(Type.String()),
    }),
  ),
  services: Type.Array(
    Type.Object({
      name: Type.String(),
      tags: Type.Array(Type.String()),
      instances: Type.Array(
        Type.Object({
          id: Type.String(),
          node: Type.String(),
          address: Type.String(),
          port: Type.Integer(),
          status: Type.String(),
          problem: nullable(Type.String({ description: 'What is wrong with it, in one line' })),
          tags: Type.Array(Type.String()),
          meta: Type.Record(Type.String(), Type.String()),
        }),
      ),
    }),
  ),
  leases: Type.Array(
    Type.Object({
      name: Type.String(),
      holder: nullable(Type.String()),
      fencingToken: nullable(Type.Integer()),
      session: nullable(Type.String()),
      heldBySelf: Type.Boolean(),
    }),
  ),
  raft: Type.Object({
    id: Type.String(),
    name: Type.String(),
    clusterId: nullable(Type.String()),
    role: Type.String(),
    term: Type.Integer(),
    leader: nullable(Type.String({ description: 'Node name' })),
    leaderId: nullable(Type.String()),
    commitIndex: Type.Integer(),
    appliedIndex: Type.Integer(),
    lastLogIndex: Type.Integer(),
    firstLogIndex: Type.Integer(),
    snapshotIndex: Type.Integer(),
    logEntries: Type.Integer(),
    logBytes: Type.Integer(),
    lastContactMs: nullableNumber,
    failure: nullable(Type.String()),
    diskFull: nullable(Type.String()),
    feed: Type.Optional(FeedSchema),
    followers: Type.Optional(ClientsSchema),
    supersededBy: nullable(Type.String({ description: 'The recovered cluster that replaced this one' })),
    problem: nullable(Type.String({ description: 'What is wrong, in one line' })),
    joint: Type.Union([
      Type.Object({ incoming: Type.Array(Type.String()), outgoing: Type.Array(Type.String()) }),
      Type.Null(),
    ]),
    cordoned: Type.Array(Type.String({ description: 'Node name' })),
    draining: Type.Array(Type.String({ description: 'Node name' })),
    peers: Type.Array(
      Type.Object({
        id: Type.String(),
        name: Type.String(),
        address: Type.String(),
        role: Type.String({ description: 'leader, voter or learner' }),
        leader: Type.Boolean(),
        voter: Type.Boolean(),
        cordoned: Type.Boolean(),
        connected: Type.Boolean({ description: 'A connection from this node is open' }),
        matchIndex: nullable(Type.Integer()),
        lag: nullable(Type.Integer()),
        state: nullable(Type.String({ description: 'probe, replicate or snapshot' })),
        lastHeardMs: nullableNumber,
        flaps: nullable(Type.Integer()),
        flapping: Type.Union([Type.Boolean(), Type.Null()]),
      }),
    ),
  }),
  explain: Type.Object({ ready: Type.Boolean(), etag: Type.String(), problems: Type.Array(Type.Unknown()) }),
}

/** Our own interface: /api/v1/* with JSON errors. Always answers, leader or not. */
export function addApiRoutes(routes: RouteTable, context: HttpContext): void {
  const { catalog, config, consensus, leases, readiness, version } = context
  const get = (
    path: string,
    spec: { permission: 'agent:read' | 'node:read' | 'service:read' | 'operator:read'; summary: string },
    json: (typeof ApiSchemas)[keyof typeof ApiSchemas],
    value: () => unknown,
  ): void =>
    routes.add({
      method: 'GET',
      url: `/api/v1/${path}`,
      tag: 'api',
      ...spec,
      responses: { 200: { description: 'OK', json }, ...FAILURES },
      handler: (request, reply) => sendJson(request, reply, value()),
    })

  get('status', { permission: 'agent:read', summary: 'This node at a glance.' }, ApiSchemas.status, () => {
    const status = consensus.status()
    return {
      node: config.node.name,
      cluster: config.cluster.name,
      clusterId: status.clusterId,
      leader: nodeName(context, status.leader),
      term: status.term,
      role: status.role,
      ready: readiness.ready(),
      version,
      catalog: context.catalog.digest(),
      ...feedJson(context, status),
      ...(status.failure === null ? {} : { failure: status.failure }),
      ...(status.diskFull === null ? {} : { diskFull: status.diskFull }),
    }
  })
  get(
    'nodes',
    { permission: 'node:read', summary: 'Every node and its part in Raft.' },
    ApiSchemas.nodes,
    () => nodes(context),
  )
  get('services', { permission: 'service:read', summary: 'Every service.' }, ApiSchemas.services, () =>
    [...catalog.services()].map(([name, tags]) => ({
      name,
      tags,
      instances: catalog.instances(name).map(({ node, service, status, checks }) => ({
        id: service.id,
        node: node.record.name,
        address: service.address === '' ? node.record.address : service.address,
        port: service.port,
        status,
        problem: reasonOf({ checks }),
        tags: service.tags,
        meta: service.meta,
      })),
    })),
  )
  get(
    'leases',
    { permission: 'operator:read', summary: 'Leases and who holds them.' },
    ApiSchemas.leases,
    () => leases.list(),
  )
  get('raft', { permission: 'operator:read', summary: 'State of Raft on this node.' }, ApiSchemas.raft, () =>
    raft(context),
  )
  addNodeOperations(routes, context)
  addRaftOperations(routes, context)
  addTraefikRoutes(routes, context)
}

function addTraefikRoutes(routes: RouteTable, context: HttpContext): void {
  const { config } = context
  const configured = () => {
    if (context.traefik === null) throw notFound('the traefik provider is not configured')
    return context.traefik
  }
  routes.add({
    method: 'GET',
    url: '/api/v1/traefik',
    permission: 'service:read',
    tag: 'api',
    summary: 'The dynamic configuration that Traefik polls (HTTP provider).',
    query: Type.Object({
      local: Type.Optional(
        Type.String({
          description: 'Node the poller runs on, for services with constellation.local-first; 1 = this one',
        }),
      ),
    }),
    responses: {
      200: { description: 'Dynamic configuration', json: Type.Object({}) },
      404: { description: 'The provider is not configured', json: Failure },
      503: { description: 'The catalogue is not complete yet; Traefik keeps what it has', json: Failure },
      ...FAILURES,
    },
    handler: (request, reply) => {
      const traefik = configured()
      const { local } = request.query as { local?: string }
      if (!traefik.ready()) {
        reply.header('retry-after', String(RETRY_AFTER_SECONDS))
        throw new HttpError('HTTP_UNAVAILABLE', 503, 'the catalogue is not complete yet')
      }
      const { body, etag } = traefik.document(local === '1' ? config.node.name : local)
      // Never 304: Traefik takes any other status than 200 for an error.
      return sendJsonText(reply.header('etag', etag), body)
    },
  })
  routes.add({
    method: 'GET',
    url: '/api/v1/traefik/explain',
    permission: 'service:read',
    tag: 'api',
    summary: 'What could not be turned into routes, and why.',
    responses: {
      200: { description: 'OK', json: ApiSchemas.explain },
      404: { description: 'The provider is not configured', json: Failure },
      ...FAILURES,
    },
    handler: (request, reply) => {
      const traefik = configured()
      const { etag, problems = [] } = traefik.document()
      return sendJson(request, reply, { ready: traefik.ready(), etag, problems })
    },
  })
}

/** One row for each member, one for each Raft peer and each cordoned node the membership does not know. */
function nodes(context: HttpContext) {
  const { consensus, membership } = context
  const status = consensus.status()
  const peers = new Map(status.peers.map((peer) => [peer.id, peer]))
  const cordoned = new Set(status.cordoned)
  const draining = new Set(status.draining)
  const rows = membership.members().map((member) => ({
    name: member.name,
    status: member.status as string,
    address: member.address,
    ...memberRole(context, member, peerRole(peers.get(member.id))),
    cordoned: cordoned.has(member.id),
    draining: draining.has(member.id),
    leases: leasesOf(context, member.name),
    id: member.id,
    incarnation: member.incarnation,
    rttMs: membership.rttMs(membership.local().id, member.id),
    meta: member.meta,
    ...(member.meta.http === undefined ? {} : { http: member.meta.http }),
    ...(member.meta.version === undefined ? {} : { version: member.meta.version }),
  }))
  const known = new Set(rows.map(({ id }) => id))
  const strangers = [...new Set([...peers.keys(), ...cordoned])]
    .filter((id) => !known.has(id))
    .map((id) => ({
      name: id,
      status: 'unknown',
      address: '',
      role: peerRole(peers.get(id)),
      cordoned: cordoned.has(id),
      draining: draining.has(id),
      leases: [],
      id,
      incarnation: 0,
      rttMs: null,
      meta: {},
    }))
  return [...rows, ...strangers].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

function raft(context: HttpContext) {
  const status = context.consensus.status()
  const { leader, peers, lastContactMs, joint, cordoned, draining, feed, followers, ...rest } = status
  const nameOf = (id: string) => nodeName(context, id) ?? id
  const isFailed = (id: string) => ['failed', 'left'].includes(context.membership.get(id)?.status ?? '')
  const connected = new Set(peers.filter((peer) => peer.connected).map(({ id }) => id))
  const answers = (id: string) => connected.has(id) && (id === status.id || !isFailed(id))
  return {
    ...rest,
    ...feedJson(context, { feed }),
    ...followersJson(context, { followers }),
    name: context.config.node.name,
    leader: nodeName(context, leader),
    leaderId: leader,
    lastContactMs: Number.isFinite(lastContactMs) ? lastContactMs : null,
    problem: raftProblem(status, nameOf, answers),
    joint:
      joint === null ? null : { incoming: joint.incoming.map(nameOf), outgoing: joint.outgoing.map(nameOf) },
    cordoned: cordoned.map(nameOf),
    draining: draining.map(nameOf),
    peers: peers.map((peer) => ({
      ...peer,
      name: nameOf(peer.id),
      address: context.membership.get(peer.id)?.address ?? '',
      role: peerRole(peer),
    })),
  }
}

function peerRole(peer: RaftPeer | undefined): string {
  if (peer === undefined) return 'none'
  return peer.leader ? 'leader' : peer.voter ? 'voter' : 'learner'
}
