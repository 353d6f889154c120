import type { Raft } from '../../../consensus/raft/raft.ts'
import { invariant, type Message, type Ready } from '../../../consensus/raft/types.ts'
import {
  describeConfiguration,
  describeEntries,
  describeEntry,
  describeHardState,
  describeMessage,
  describeRole,
  describeSnapshot,
  nameMessage,
} from './format.ts'
import type { Member } from './member.ts'
import { Network } from './network.ts'
import { Safety } from './safety.ts'
import type { Transcript } from './transcript.ts'

/** Rounds after which a cluster that does not come to rest is taken to be running in circles. */
const ROUNDS_MAX = 500

/** The nodes of a script and what lies between them. Says what happens in its transcript. */
export class Cluster {
  readonly members = new Map<string, Member>()
  readonly network = new Network()
  readonly #safety = new Safety()
  #out: Transcript

  constructor(out: Transcript) {
    this.#out = out
  }

  /** From now on, prints to `out`. */
  printTo(out: Transcript): void {
    this.#out = out
  }

  /** Throws InvariantError if a safety property of the paper does not hold. */
  checkSafety(): void {
    this.#safety.check(this.members)
  }

  /** Calls the core of a node, and prints how that changed its role, term or leader. */
  input<T>(member: Member, call: (raft: Raft) => T): T {
    const { raft } = member
    const role = describeRole(raft)
    const configuration = describeConfiguration(raft.configuration)
    const result = call(raft)
    if (describeConfiguration(raft.configuration) !== configuration)
      this.#out.effect(`${raft.id} has ${describeConfiguration(raft.configuration)}`)
    if (describeRole(raft) !== role) this.#out.effect(describeRole(raft))
    this.#safety.check(this.members)
    return result
  }

  /** Takes one Ready and does what the driver does with it. */
  processReady(member: Member): void {
    const { raft } = member
    if (!raft.hasReady()) {
      this.#out.line(`${member.id} has nothing to do`)
      return
    }
    const ready = raft.ready()
    this.#out.nested(`ready ${member.id}`, () => {
      for (const line of describeWrite(ready)) this.#out.line(line)
      for (const message of ready.messages) this.#send(message, '')
      for (const message of ready.messagesAfterPersist) {
        if (member.slowDisk) this.#out.line(`${describeMessage(message)} (waits for the write)`)
      }
      member.writes.push(ready)
      this.#apply(member, ready)
      for (const { id, index, lease } of ready.reads)
        this.#out.line(
          index < 0 ? `read ${id} fails` : `read ${id} sees ${index}${lease ? ', lease granted' : ''}`,
        )
      if (!member.slowDisk) this.#finishWrite(member, ' (after the write)')
    })
  }

  /** Completes the oldest write of a node with a slow disk. False if there is none. */
  completeWrite(member: Member): boolean {
    const [ready] = member.writes
    if (ready === undefined) return false
    this.#out.nested(`persist ${member.id}`, () => {
      for (const line of describeWrite(ready)) this.#out.line(line)
      this.#finishWrite(member, '')
    })
    return true
  }

  #finishWrite(member: Member, remark: string): void {
    const ready = member.completeWrite()
    if (ready === undefined) return
    this.input(member, (raft) => raft.persisted(ready.token))
    for (const message of ready.messagesAfterPersist) {
      this.#safety.promised(message)
      if (message.to !== member.id) {
        this.#send(message, remark)
        continue
      }
      this.#out.line(`${describeMessage(message)}${remark}`)
      this.input(member, (raft) => raft.step(message))
    }
  }

  #apply(member: Member, ready: Ready): void {
    const last = ready.committed.at(-1)
    if (last === undefined) return
    this.#out.line(`apply ${describeEntries(ready.committed)}`)
    this.input(member, (raft) => {
      for (const entry of ready.committed) if (entry.type === 'config') raft.applyConfiguration(entry)
      raft.applied(last.index)
    })
  }

  #send(message: Message, remark: string): void {
    const lost = this.network.send(message) ? '' : ' — lost'
    this.#out.line(`${describeMessage(message)}${remark}${lost}`)
  }

  /** Gives one message to its receiver. */
  deliver(message: Message): void {
    const member = this.members.get(message.to)
    if (member === undefined || !member.running) {
      this.#out.line(`${nameMessage(message)} — lost, ${message.to} is down`)
      return
    }
    this.#out.nested(nameMessage(message), () => this.input(member, (raft) => raft.step(message)))
  }

  /** True if one of `ids` has something to do, to write or to receive. */
  #isBusy(ids: readonly string[]): boolean {
    const work = ids.some((id) => {
      const member = this.members.get(id)
      return member?.running && (member.raft.hasReady() || member.writes.length > 0)
    })
    return work || this.network.inFlight.some(({ to }) => ids.includes(to))
  }

  /** Processes, writes and delivers among `ids` until all is quiet. */
  stabilize(ids: readonly string[]): void {
    for (let round = 0; this.#isBusy(ids); round++) {
      invariant(round < ROUNDS_MAX, 'the cluster comes to rest')
      for (const id of ids) {
        const member = this.members.get(id)
        if (member === undefined || !member.running) continue
        if (member.raft.hasReady()) this.processReady(member)
        while (this.completeWrite(member)) {
          // Until the disk has everything.
        }
      }
      for (const id of ids) {
        for (const message of this.network.take({ types: undefined, from: undefined, to: [id] }))
          this.deliver(message)
      }
    }
  }

  /** What a crash destroys. */
  crash(member: Member): void {
    for (const ready of member.writes)
      for (const line of describeWrite(ready)) this.#out.line(`lost: ${line}`)
    member.crash()
  }

  restart(member: Member): void {
    member.restart()
    const { hardState, entries, snapshot } = member.disk
    this.#out.line(`found ${describeHardState(hardState)}`)
    if (snapshot.index > 0) this.#out.line(`found snapshot ${describeSnapshot(snapshot)}`)
    const [last] = entries.slice(-1)
    if (last !== undefined) this.#out.line(`found entries up to ${describeEntry(last)}`)
    this.#safety.check(this.members)
  }
}

function describeWrite({ hardState, mustSync, entries, snapshot }: Ready): string[] {
  const lines: string[] = []
  if (hardState !== null)
    lines.push(`state ${describeHardState(hardState)}${mustSync ? '' : ' (not synced)'}`)
  if (snapshot !== null) lines.push(`snapshot ${describeSnapshot(snapshot)}`)
  if (entries.length > 0) lines.push(`entries ${describeEntries(entries)}`)
  return lines
}
