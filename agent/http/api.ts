import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { reasonOf } from '../cluster-events/event-source.ts'
import { FAILURES, Failure } from './api-failures.ts'
import { NodesSchema, nodesJson } from './api-nodes.ts'
import { RaftSchema, raftJson } from './api-raft.ts'
import { FeedSchema, feedJson } from './clients.ts'
import type { HttpContext } from './collaborators.ts'
import { addNodeOperations } from './node-operations.ts'
import { nullable } from './nullable.ts'
import { nodeName } from './peers.ts'
import { addRaftOperations } from './raft-operations.ts'
import { sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { catalogKnown } from './store-reads.ts'
import { addTraefikRoutes, TraefikExplainSchema, TraefikStatusSchema, traefikStatus } from './traefik.ts'

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
    traefik: Type.Optional(TraefikStatusSchema),
    serviceFiles: Type.Optional(
      Type.Object({
        directory: Type.String(),
        taken: Type.Integer(),
        refused: Type.Integer(),
        problems: Type.Array(Type.String({ description: 'What is wrong, in one line' })),
      }),
    ),
    failure: Type.Optional(
      Type.String({ description: 'Why storage failed; the node serves stale reads only' }),
    ),
  }),
  nodes: NodesSchema,
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
  raft: RaftSchema,
  explain: TraefikExplainSchema,
}

/** Our own interface: /api/v1/* with JSON errors. Always answers, leader or not. */
export function addApiRoutes(routes: RouteTable, context: HttpContext): void {
  const { catalog, config, consensus, leases, readiness, version } = context
  const get = (
    path: string,
    spec: { permission: 'agent:read' | 'node:read' | 'service:read' | 'operator:read'; summary: string },
    json: (typeof ApiSchemas)[keyof typeof ApiSchemas],
    value: (reply: FastifyReply) => unknown,
  ): void =>
    routes.add({
      method: 'GET',
      url: `/api/v1/${path}`,
      tag: 'api',
      ...spec,
      responses: { 200: { description: 'OK', json }, ...FAILURES },
      handler: async (request, reply) => sendJson(request, reply, await value(reply)),
    })

  get('status', { permission: 'agent:read', summary: 'This node at a glance.' }, ApiSchemas.status, () => {
    const status = consensus.status()
    const serviceFiles = context.files?.() ?? null
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
      ...traefikStatus(context),
      ...(serviceFiles === null ? {} : { serviceFiles }),
      ...(status.failure === null ? {} : { failure: status.failure }),
      ...(status.diskFull === null ? {} : { diskFull: status.diskFull }),
    }
  })
  get(
    'nodes',
    { permission: 'node:read', summary: 'Every node and its part in Raft.' },
    ApiSchemas.nodes,
    () => nodesJson(context),
  )
  get(
    'services',
    { permission: 'service:read', summary: 'Every service.' },
    ApiSchemas.services,
    async (reply) => {
      await catalogKnown(context, reply)
      return [...catalog.services()].map(([name, tags]) => ({
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
      }))
    },
  )
  get(
    'leases',
    { permission: 'operator:read', summary: 'Leases and who holds them.' },
    ApiSchemas.leases,
    () => leases.list(),
  )
  get('raft', { permission: 'operator:read', summary: 'State of Raft on this node.' }, ApiSchemas.raft, () =>
    raftJson(context),
  )
  addNodeOperations(routes, context)
  addRaftOperations(routes, context)
  addTraefikRoutes(routes, context)
}
