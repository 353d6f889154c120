import type { ConsensusStatus } from '../consensus/client.ts'
import type { Member, Membership } from '../discovery/membership/types.ts'

/** What decides about a node's claim to the leases. */
export interface StandingCollaborators {
  readonly membership: Pick<Membership, 'local' | 'members'>
  readonly status: () => Pick<ConsensusStatus, 'cordoned' | 'draining'>
}

/**
 * How many living members are preferred over this one as holders of leases: cordoned ones last, then by priority, then by name.
 * @param among only these (ids) count; by default all
 */
export function leaseRank(
  { membership, status }: StandingCollaborators,
  among?: ReadonlySet<string>,
): number {
  const own = membership.local()
  const cordoned = new Set(status().cordoned)
  return othersAlive(membership, among).filter((member) => {
    const byCordon = Number(cordoned.has(member.id)) - Number(cordoned.has(own.id))
    const difference = byCordon || priority(member) - priority(own)
    return difference < 0 || (difference === 0 && member.name < own.name)
  }).length
}

/**
 * Whether this node may hold leases: not while it is drained, and while it is cordoned only if every other living node is cordoned
 * too. A cordon is no reason for a job to stand still.
 * @param among only these (ids) count as others; by default all
 */
export function mayHoldLeases(standing: StandingCollaborators, among?: ReadonlySet<string>): boolean {
  const { cordoned, draining } = standing.status()
  const { id } = standing.membership.local()
  if (draining.includes(id)) return false
  return !cordoned.includes(id) || !canHoldInstead(standing, among)
}

/** Whether another living node is there that is not cordoned. @param among only these (ids) count; by default all */
export function canHoldInstead(
  { membership, status }: StandingCollaborators,
  among?: ReadonlySet<string>,
): boolean {
  const { cordoned } = status()
  return othersAlive(membership, among).some((member) => !cordoned.includes(member.id))
}

function othersAlive(
  membership: StandingCollaborators['membership'],
  among: ReadonlySet<string> | undefined,
): Member[] {
  const own = membership.local()
  return membership
    .members()
    .filter(({ id, status }) => id !== own.id && status === 'alive' && (among?.has(id) ?? true))
}

function priority(member: Member): number {
  return Number(member.meta.priority ?? '100')
}
