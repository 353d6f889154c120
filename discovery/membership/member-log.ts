import type { Logger } from 'pino'
import type { PeerId } from '../mesh/types.ts'
import type { SwimAction } from './core/types.ts'
import type { Member } from './types.ts'

/** Says in the log what becomes of the members. */
export class MemberLog {
  readonly #selfId: PeerId
  readonly #log: Logger

  constructor(selfId: PeerId, log: Logger) {
    this.#selfId = selfId
    this.#log = log
  }

  /** Another member is seen with another status. */
  changed(member: Member, previous: Member | undefined): void {
    const fields = { member: member.name, peer: member.id, address: member.address }
    if (member.status === 'failed') this.#log.warn(fields, `member ${member.name} failed`)
    else if (member.status === 'left') this.#log.info(fields, `member ${member.name} left`)
    else if (previous?.status === 'suspect' || member.status === 'suspect') {
      this.#log.debug(fields, `member ${member.name} is ${member.status}`)
    } else this.#log.info(fields, `member ${member.name} is alive`)
  }

  /** Each side, and everybody who sees both, is told which of them has to take another name. */
  conflict(action: Extract<SwimAction, { type: 'conflict' }>): void {
    const { name, holder, newcomer, by } = action
    if (newcomer.id === this.#selfId) {
      this.#log.error(
        action,
        `this node is not admitted by ${by}: its name "${name}" belongs to ${holder.id} at ${holder.address}. ` +
          `Give this node (${newcomer.id} at ${newcomer.address}) another name with node.name or --node and start it again`,
      )
      return
    }
    this.#log.error(
      action,
      `two nodes claim the name "${name}": ${holder.id} at ${holder.address} holds it, ` +
        `${newcomer.id} at ${newcomer.address} is not admitted and has to take another name (node.name, --node)`,
    )
  }

  full({ name, id }: Extract<SwimAction, { type: 'full' }>, membersMax: number): void {
    this.#log.error(
      { member: name, peer: id },
      `${name} is not admitted: this cluster has ${membersMax} members, which is the limit`,
    )
  }
}
