import type { MemberTable } from './member-table.ts'
import { Neighbourhood, neighbours } from './neighbours.ts'
import { sample } from './random.ts'
import { isLive } from './roster.ts'
import type { CoreContext, DialOutcome, MemberRecord, NodeId } from './types.ts'

interface Dial {
  underWay: boolean
  attempts: number
  nextAt: number
  /** Set while a lost connection is being judged: dial again soon, and how the last attempt since then ended. */
  evidence: boolean
  outcome: DialOutcome | null
}

/** To connect takes about eight round trips and two key agreements, where a ping takes one round trip. */
const DIAL_PATIENCE = 3

/**
 * The connections to the members: keeps one to every living member, and tries the failed ones again at a slow and
 * bounded pace, so that a partition heals without an operator. With more than `connectionsMax` living members it keeps
 * those to its {@link neighbours} only, and tries those failed members again that would be neighbours if all lived: on
 * both sides of a partition somebody has a neighbour on the other.
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
  /** Whom to keep connected, or to try again; null: everybody. */
  #kept: ReadonlySet<NodeId> | null = null
  #neighbourhood: Neighbourhood | null = null
  /** Who lives has changed since `#kept` was chosen. */
  #stale = false

  constructor(ctx: CoreContext, table: MemberTable) {
    this.#ctx = ctx
    this.#table = table
  }

  isConnected(id: NodeId): boolean {
    return this.#connected.has(id)
  }

  /** Whether a connection to this member is to stand. */
  keeps(id: NodeId): boolean {
    return this.#kept === null || this.#kept.has(id)
  }

  /** Whether a message to this member can arrive: over a connection, or over one that is made for it. */
  reaches(id: NodeId): boolean {
    return this.#connected.has(id) || this.#kept !== null
  }

  /** Those connected to this node who keep a connection to this member too. Empty if everybody does to everybody. */
  between(id: NodeId): readonly NodeId[] {
    return this.#neighbourhood?.with(id).filter((other) => this.#connected.has(other)) ?? []
  }

  /** How many times as long to wait for an answer of this member: it may have to be connected first. */
  patience(id: NodeId): number {
    return this.#kept === null || this.#connected.has(id) ? 1 : DIAL_PATIENCE
  }

  /** A random member that lives, over a connection that is kept: one that was made for a message would stay in use. */
  randomPeer(): NodeId | undefined {
    return this.pick(1, (m) => isLive(m) && this.keeps(m.id))[0]?.id
  }

  /** Up to `count` connected members that pass `accept`, at random. */
  pick(count: number, accept: (member: MemberRecord, since: number) => boolean): MemberRecord[] {
    if (this.#kept === null) {
      return this.#table.pick(count, (m, since) => this.#connected.has(m.id) && accept(m, since))
    }
    // Few of many are connected: nobody else is looked at.
    return sample(this.#table.among(this.#connected, accept), count, this.#ctx.random)
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
    if (!evidence && !this.keeps(id)) return
    const nextAt = member.status === 'failed' ? now + this.#failedDelay() : now
    this.#dials.set(id, { underWay: false, attempts: 0, nextAt, evidence, outcome: null })
    this.#nextAt = null
  }

  /** Follows the table: who is new, came back, failed, left or is forgotten. */
  memberChanged(member: MemberRecord, previous: MemberRecord | undefined, now: number): void {
    if (member.id === this.#table.self.id || this.#stopped) return
    const bounded = this.#ctx.timings.connectionsMax !== Number.POSITIVE_INFINITY
    if (bounded && standing(member) !== standing(previous)) this.#stale = true
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
      if (this.keeps(member.id)) this.#dials.set(member.id, this.#firstDial(member, now))
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
    if (!dial) return
    dial.evidence = false
    if (!this.keeps(id)) this.#drop(id)
  }

  /** Whether a lost connection is being judged, and nobody has reached the member since. */
  hasEvidence(id: NodeId): boolean {
    return this.#dials.get(id)?.evidence ?? false
  }

  /** Whether there was an attempt since the connection was lost, or one is under way. */
  isTried(id: NodeId): boolean {
    const dial = this.#dials.get(id)
    return dial !== undefined && (dial.underWay || dial.outcome !== null)
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

  /** Chooses whom to keep connected; starts the attempts that are due, at most `dialsMax` at once. */
  tick(now: number): void {
    if (this.#stale && !this.#stopped) this.#choose(now)
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
    if (this.#stale && !this.#stopped) return Number.NEGATIVE_INFINITY
    if (this.#underWay >= this.#ctx.timings.dialsMax) return Number.POSITIVE_INFINITY
    this.#nextAt ??= this.#earliest()
    return this.#nextAt
  }

  #choose(now: number): void {
    this.#stale = false
    const { connectionsMax } = this.#ctx.timings
    const known = this.#table.others((member) => member.status !== 'left')
    const failed = new Set(known.filter(({ status }) => status === 'failed').map(({ id }) => id))
    const before = this.#kept
    if (known.length - failed.size <= connectionsMax) {
      this.#neighbourhood = null
      this.#kept = null
    } else {
      const self = this.#table.self.id
      const all = [self, ...known.map(({ id }) => id)].sort()
      const live = failed.size === 0 ? all : all.filter((id) => !failed.has(id))
      this.#neighbourhood = new Neighbourhood(self, live, connectionsMax)
      const again = neighbours(self, all, connectionsMax).filter((id) => failed.has(id))
      this.#kept = new Set([...this.#neighbourhood.offsets.keys(), ...again])
    }
    if (!sameSet(before, this.#kept)) this.#ctx.emit({ type: 'keep', ids: this.#kept && [...this.#kept] })
    for (const [id, dial] of this.#dials) {
      if (!this.keeps(id) && !dial.evidence) this.#drop(id)
    }
    for (const member of this.#kept ? this.#table.among(this.#kept, () => true) : known) {
      if (this.#connected.has(member.id) || this.#dials.has(member.id)) continue
      this.#dials.set(member.id, this.#firstDial(member, now))
      this.#nextAt = null
    }
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

function sameSet(a: ReadonlySet<NodeId> | null, b: ReadonlySet<NodeId> | null): boolean {
  if (a === null || b === null) return a === b
  return a.size === b.size && [...a].every((id) => b.has(id))
}

/** What the choice of neighbours looks at: a suspect still lives. */
function standing(member: MemberRecord | undefined): string {
  if (member === undefined) return 'unknown'
  return isLive(member) ? 'live' : member.status
}
