import type { Logger } from 'pino'
import type { SwimAction } from './core/types.ts'
import type { Member } from './types.ts'

/** Says in the log what becomes of the members. */
export class MemberLog {
  readonly #log: Logger

  constructor(log: Logger) {
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

  conflict(action: Extract<SwimAction, { type: 'conflict' }>): void {
    const { name, holder, newcomer } = action
    this.#log.error(
      action,
      `two nodes claim the name "${name}": ${holder.id} at ${holder.address} holds it, ` +
        `${newcomer.id} at ${newcomer.address} is not admitted. Give one of them another name`,
    )
  }

  full({ name, id }: Extract<SwimAction, { type: 'full' }>, membersMax: number): void {
    this.#log.error(
      { member: name, peer: id },
      `${name} is not admitted: this cluster has ${membersMax} members, which is the limit`,
    )
  }
}
