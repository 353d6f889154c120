import { Type } from 'typebox'
import type { RaftPeer } from '../../consensus/client.ts'
import { memberRole } from './clients.ts'
import type { HttpContext } from './collaborators.ts'
import { leasesOf } from './node-operations.ts'
import { nullable } from './nullable.ts'

/** Schema of /api/v1/nodes. */
export const NodesSchema = Type.Array(
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
    rttMs: nullable(Type.Number()),
    meta: Type.Record(Type.String(), Type.String()),
    http: Type.Optional(Type.String()),
    version: Type.Optional(Type.String()),
  }),
)

/** One row for each member, one for each Raft peer and each cordoned node the membership does not know. */
export function nodesJson(context: HttpContext) {
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

/** What a node is in Raft: leader, voter, learner or none. */
export function peerRole(peer: RaftPeer | undefined): string {
  if (peer === undefined) return 'none'
  return peer.leader ? 'leader' : peer.voter ? 'voter' : 'learner'
}
