import type { PeerDirectory, PeerInfo } from '../consensus/formation.ts'
import { KEYS_META } from '../discovery/keyring/announcement.ts'
import type { Member, MemberMeta, Membership } from '../discovery/membership/types.ts'

/** What an agent tells the others about itself along with its membership. */
export interface AgentFacts {
  readonly version: string
  /** Where its HTTP interface listens, host:port. */
  readonly http: string
  readonly priority: number
  /** With how many it wants to make the first cluster; 0 = it only joins. */
  readonly bootstrapExpect: number
  /** Id of the cluster it belongs to; null before. */
  readonly clusterId: string | null
  /** Id of the member that feeds it, '' while it looks for one; null unless it is a client. */
  readonly fedBy: string | null
  /** What it says of its cluster keys; null while nothing was ever changed. */
  readonly keys: string | null
}

/** Packs the facts into the few bytes that gossip carries. */
export function packFacts(facts: AgentFacts): MemberMeta {
  return {
    version: facts.version,
    http: facts.http,
    priority: String(facts.priority),
    expect: String(facts.bootstrapExpect),
    cluster: facts.clusterId ?? '',
    ...(facts.fedBy === null ? {} : { fed: facts.fedBy }),
    ...(facts.keys === null ? {} : { [KEYS_META]: facts.keys }),
  }
}

function peerInfo(member: Member): PeerInfo {
  const expect = Number(member.meta.expect ?? '0')
  return {
    id: member.id,
    alive: member.status === 'alive' || member.status === 'suspect',
    clusterId: member.meta.cluster || null,
    bootstrapExpect: Number.isInteger(expect) && expect > 0 ? expect : 0,
  }
}

/** The membership as the formation of a cluster needs it. */
export function peerDirectory(membership: Membership): PeerDirectory {
  return {
    peers: () => {
      const own = membership.local().id
      return membership
        .members()
        .filter((member) => member.id !== own)
        .map(peerInfo)
    },
    seeds: () => membership.seeds(),
  }
}
