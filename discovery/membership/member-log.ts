import type { Logger } from 'pino'
import type { PeerId } from '../mesh/types.ts'
import type { MemberEvent } from './core/flap-damper.ts'
import type { SwimAction } from './core/types.ts'
import type { Member } from './types.ts'

/** So many returns within a minute are worth a line of their own. */
const FLAPPING = 3

/** Says in the log what becomes of the members. */
export class MemberLog {
  readonly #selfId: PeerId
  readonly #log: Logger
  #refusal: string | null = null

  constructor(selfId: PeerId, log: Logger) {
    this.#selfId = selfId
    this.#log = log
  }

  /** Why another member did not admit this node, when that was said last; null if it never was. */
  get refusal(): string | null {
    return this.#refusal
  }

  /** Another member is seen with another status: all of it, for who looks closely. */
  changed(member: Member): void {
    this.#log.debug(fieldsOf(member), `member ${member.name} is ${member.status}`)
  }

  /** Coming and going, damped: one line, however often a member came and went meanwhile. */
  event({ type, member, coalesced, flaps }: MemberEvent): void {
    const { name } = member
    const many = coalesced === 0 ? '' : `, after ${coalesced} changes that were not told`
    const fields = { ...fieldsOf(member), coalesced, flaps }
    if (type === 'failed') this.#log.warn(fields, `member ${name} failed${many}`)
    else if (type === 'left') this.#log.info(fields, `member ${name} left${many}`)
    else this.#log.info(fields, `member ${name} is alive${many}`)
    if (flaps >= FLAPPING) {
      this.#log.warn(fields, `member ${name} comes and goes: ${flaps} times within a minute`)
    }
  }

  /** Each side, and everybody who sees both, is told which of them has to take another name. */
  conflict(action: Extract<SwimAction, { type: 'conflict' }>): void {
    const { name, holder, newcomer, by } = action
    if (newcomer.id === this.#selfId) {
      this.#refusal =
        `this node is not admitted by ${by}: its name "${name}" belongs to ${holder.id} at ${holder.address}. ` +
        `Give this node (${newcomer.id} at ${newcomer.address}) another name with node.name or --node and start it again`
      this.#log.error(action, this.#refusal)
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

function fieldsOf(member: Member) {
  return { member: member.name, peer: member.id, address: member.address }
}
