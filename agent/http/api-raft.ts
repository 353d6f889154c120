import { Type } from 'typebox'
import { peerRole } from './api-nodes.ts'
import { ClientsSchema, FeedSchema, feedJson, followersJson } from './clients.ts'
import type { HttpContext } from './collaborators.ts'
import { nullable } from './nullable.ts'
import { nodeName } from './peers.ts'
import { raftProblem } from './raft-problem.ts'

/** Schema of /api/v1/raft. */
export const RaftSchema = Type.Object({
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
  lastContactMs: nullable(Type.Number()),
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
      lastHeardMs: nullable(Type.Number()),
      flaps: nullable(Type.Integer()),
      flapping: nullable(Type.Boolean()),
    }),
  ),
})

/** The Raft group as this node has it, with names for ids. */
export function raftJson(context: HttpContext) {
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
