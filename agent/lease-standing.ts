import type { ConsensusStatus } from '../consensus/client.ts'
import type { Member, Membership } from '../discovery/membership/types.ts'

/** What decides about a node's claim to the leases. */
export interface StandingCollaborators {
  readonly membership: Pick<Membership, 'local' | 'members'>
  readonly status: () => Pick<ConsensusStatus, 'cordoned' | 'draining'>
}

/** How many living members are preferred over this one as holders of leases: cordoned ones last, then by priority, then by name. */
export function leaseRank({ membership, status }: StandingCollaborators): number {
  const own = membership.local()
  const cordoned = new Set(status().cordoned)
  return othersAlive(membership).filter((member) => {
    const byCordon = Number(cordoned.has(member.id)) - Number(cordoned.has(own.id))
    const difference = byCordon || priority(member) - priority(own)
    return difference < 0 || (difference === 0 && member.name < own.name)
  }).length
}

/**
 * Whether this node may hold leases: not while it is drained, and while it is cordoned only if every other living node is cordoned
 * too. A cordon is no reason for a job to stand still.
 */
export function mayHoldLeases({ membership, status }: StandingCollaborators): boolean {
  const { cordoned, draining } = status()
  const { id } = membership.local()
  if (draining.includes(id)) return false
  return !cordoned.includes(id) || othersAlive(membership).every((member) => cordoned.includes(member.id))
}

function othersAlive(membership: StandingCollaborators['membership']): Member[] {
  const own = membership.local()
  return membership.members().filter(({ id, status }) => id !== own.id && status === 'alive')
}

function priority(member: Member): number {
  return Number(member.meta.priority ?? '100')
}
