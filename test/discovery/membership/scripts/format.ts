import type {
  MemberRecord,
  SwimAction,
  SwimMessage,
  Update,
} from '../../../../discovery/membership/core/types.ts'

/** `suspect b 1 by a`, `alive b 2 name=x zone=1`. */
export function describeUpdate(update: Update): string {
  const { status, id, incarnation } = update
  if (update.status === 'alive') return `alive ${id} ${incarnation}${describeData(update)}`
  if (update.status === 'left') return `left ${id} ${incarnation}${update.prune ? ' prune' : ''}`
  return `${status} ${id} ${incarnation} by ${update.from}`
}

/** `ping (suspect b 1 by a)`. */
export function describeMessage(message: SwimMessage): string {
  const target = message.type === 'ping-req' ? ` ${message.target}` : ''
  const updates = message.updates.map(describeUpdate).join(', ')
  return `${message.type}${target}${updates === '' ? '' : ` (${updates})`}`
}

/** What a core tells its driver, as far as it is news for a reader; '' otherwise. */
export function describeChange(action: SwimAction): string {
  switch (action.type) {
    case 'change': {
      const { member, previous } = action
      const before = previous ? `${previous.status} ${previous.incarnation} → ` : ''
      return `${member.id} ${before}${describeMember(member)}`
    }
    case 'remove':
      return `${action.member.id} forgotten`
    case 'conflict':
      return `conflict over ${action.name}: ${action.holder.id} holds it, not ${action.newcomer.id}`
    case 'full':
      return `no room for ${action.id}`
    case 'leave-acked':
      return `${action.by} knows that it leaves`
    default:
      return ''
  }
}

/** `alive 2 zone=1`. */
export function describeMember(member: MemberRecord): string {
  return `${member.status} ${member.incarnation}${describeData(member)}`
}

function describeData(data: Pick<MemberRecord, 'id' | 'name' | 'address' | 'meta'>): string {
  const words = Object.entries(data.meta).map(([key, value]) => `${key}=${value}`)
  if (data.name !== data.id) words.unshift(`name=${data.name}`)
  if (data.address !== `${data.id}:1`) words.unshift(`address=${data.address}`)
  return words.map((word) => ` ${word}`).join('')
}
