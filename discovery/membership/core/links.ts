import type { MemberTable } from './member-table.ts'
import { isLive } from './member-table.ts'
import type { CoreContext, DialOutcome, MemberRecord, NodeId } from './types.ts'

interface Dial {
  underWay: boolean
  attempts: number
  nextAt: number
  /** Set while a lost connection is being judged: dial again soon, and how the last attempt since then ended. */
  evidence: boolean
  outcome: DialOutcome | null
}

/**
 * The connections to the members: keeps one to every living member, and tries the failed ones again at a slow and
 * bounded pace, so that a partition heals without an operator.
 */
export class Links {
  readonly #ctx: CoreContext
  readonly #table: MemberTable
  readonly #connected = new Set<NodeId>()
  /** Members without a connection. */
  readonly #dials = new Map<NodeId, Dial>()
  #underWay = 0
  #stopped = false
  /** When the next attempt is due; null: to be found out. */
  #nextAt: number | null = null

  constructor(ctx: CoreContext, table: MemberTable) {
    this.#ctx = ctx
    this.#table = table
  }

  isConnected(id: NodeId): boolean {
    return this.#connected.has(id)
  }

  /** A random connected member that lives. */
  randomPeer(): NodeId | undefined {
    return this.#table.pick(1, (m) => isLive(m) && this.#connected.has(m.id))[0]?.id
  }

  connected(id: NodeId): void {
    this.#connected.add(id)
    this.#drop(id)
  }

  /** The last connection to `id` closed. With `evidence` the next attempts follow each other quickly. */
  disconnected(id: NodeId, evidence: boolean, now: number): void {
    this.#connected.delete(id)
    this.#drop(id)
    const member = this.#table.get(id)
    if (!member || member.status === 'left' || this.#stopped) return
    const nextAt = member.status === 'failed' ? now + this.#failedDelay() : now
    this.#dials.set(id, { underWay: false, attempts: 0, nextAt, evidence, outcome: null })
    this.#nextAt = null
  }

  /** Follows the table: who is new, came back, failed, left or is forgotten. */
  memberChanged(member: MemberRecord, previous: MemberRecord | undefined, now: number): void {
    if (member.id === this.#table.self.id || this.#stopped) return
    if (member.status === 'left') {
      this.#drop(member.id)
      return
    }
    if (this.#connected.has(member.id)) {
      if (member.status === 'failed') this.#ctx.emit({ type: 'close', id: member.id })
      return
    }
    this.#nextAt = null
    const dial = this.#dials.get(member.id)
    if (!dial) {
      this.#dials.set(member.id, this.#firstDial(member, now))
      return
    }
    if (member.status === 'failed' && previous?.status !== 'failed') {
      dial.evidence = false
      if (!dial.underWay) dial.nextAt = now + this.#failedDelay()
    }
    const back = member.status === 'alive' && previous?.status !== 'alive'
    if (back || previous?.address !== member.address) {
      dial.evidence = false
      dial.attempts = 0
      if (!dial.underWay) dial.nextAt = now
    }
  }

  /** The verdict on a lost connection is no longer open. */
  endEvidence(id: NodeId): void {
    const dial = this.#dials.get(id)
    if (dial) dial.evidence = false
  }

  /** How the last attempt since the connection was lost ended; null while none has. */
  outcome(id: NodeId): DialOutcome | null {
    return this.#dials.get(id)?.outcome ?? null
  }

  /** Reports the end of an attempt. */
  dialed(id: NodeId, outcome: DialOutcome, now: number): void {
    const dial = this.#dials.get(id)
    if (!dial?.underWay) return
    dial.underWay = false
    this.#underWay--
    dial.outcome = outcome
    dial.attempts++
    dial.nextAt = now + this.#delay(id, dial)
    this.#nextAt = null
  }

  /** Starts the attempts that are due, at most `dialsMax` at once. */
  tick(now: number): void {
    if (this.deadline > now) return
    this.#nextAt = null
    for (const [id, dial] of this.#dials) {
      if (this.#underWay >= this.#ctx.timings.dialsMax) return
      const member = this.#table.get(id)
      if (!member || dial.underWay || dial.nextAt > now) continue
      dial.underWay = true
      this.#underWay++
      this.#ctx.emit({ type: 'dial', id, address: member.address })
    }
  }

  get deadline(): number {
    if (this.#underWay >= this.#ctx.timings.dialsMax) return Number.POSITIVE_INFINITY
    this.#nextAt ??= this.#earliest()
    return this.#nextAt
  }

  #earliest(): number {
    let next = Number.POSITIVE_INFINITY
    for (const dial of this.#dials.values()) if (!dial.underWay) next = Math.min(next, dial.nextAt)
    return next
  }

  /** Stops connecting, for good. */
  stop(): void {
    this.#stopped = true
    this.#dials.clear()
    this.#nextAt = null
    this.#underWay = 0
  }

  #drop(id: NodeId): void {
    if (this.#dials.get(id)?.underWay) this.#underWay--
    if (this.#dials.delete(id)) this.#nextAt = null
  }

  /** Both ends learn of each other at once: the smaller id dials now, the other one only if that did not help. */
  #firstDial(member: MemberRecord, now: number): Dial {
    const wait = this.#table.self.id < member.id ? 0 : this.#ctx.timings.dialBackoffMinMs
    const nextAt = now + (member.status === 'failed' ? this.#failedDelay() : wait)
    return { underWay: false, attempts: 0, nextAt, evidence: false, outcome: null }
  }

  #delay(id: NodeId, dial: Dial): number {
    const { redialMs, dialBackoffMinMs, dialBackoffMaxMs } = this.#ctx.timings
    const member = this.#table.get(id)
    if (member && !isLive(member)) return this.#failedDelay()
    if (dial.evidence) return redialMs
    const backoffMs = Math.min(dialBackoffMaxMs, dialBackoffMinMs * 2 ** Math.min(dial.attempts, 16))
    return backoffMs * (0.5 + this.#ctx.random() / 2)
  }

  #failedDelay(): number {
    return this.#ctx.timings.failedRedialMs * (1 + this.#ctx.random())
  }
}
