import type { BroadcastQueue } from './broadcast-queue.ts'
import { Departed, leftOf } from './departed.ts'
import { NameClaims } from './name-claims.ts'
import { NameVotes } from './name-votes.ts'
import { type Accept, isLive, Roster } from './roster.ts'
import { Suspicions } from './suspicions.ts'
import type {
  AccusationUpdate,
  AliveUpdate,
  CoreContext,
  ForceLeaveRefusal,
  LeftUpdate,
  MemberRecord,
  NodeId,
  SyncEntry,
  Update,
} from './types.ts'

/** So long after it came back a member may still tell what it had decided while it was cut off. */
const BACK_MS = 60_000

/**
 * Who is known, and the rules by which news changes it (SWIM §4.2, memberlist's state.go): an alive update counts with a
 * higher incarnation only, an accusation with the same or a higher one, and only a member itself raises its incarnation.
 * Every update that changed something is queued for the others.
 */
export class MemberTable {
  readonly #ctx: CoreContext
  readonly #queue: BroadcastQueue
  readonly #selfId: NodeId
  readonly #roster: Roster
  readonly #suspicions: Suspicions
  /** When members that had failed came back. */
  readonly #backAt = new Map<NodeId, number>()
  readonly #departed: Departed
  readonly #claims: NameClaims
  readonly #votes = new NameVotes()
  /** Whose full state is being applied. */
  #mergingFrom: NodeId | null = null
  #fullReported = false
  /** This node learns of most of the cluster at once: what is new here is news to nobody else. */
  #newcomer = false
  constructor(self: MemberRecord, now: number, ctx: CoreContext, queue: BroadcastQueue) {
    this.#ctx = ctx
    this.#queue = queue
    this.#selfId = self.id
    this.#roster = new Roster(self, now, ctx.random)
    this.#suspicions = new Suspicions(ctx.timings)
    this.#claims = new NameClaims(ctx)
    this.#departed = new Departed(ctx.timings.failedKeptMs)
    queue.push(aliveOf(self))
  }

  get self(): MemberRecord {
    return this.#roster.self
  }

  get(id: NodeId): MemberRecord | undefined {
    return this.#roster.get(id)
  }

  all(): MemberRecord[] {
    return this.#roster.all()
  }

  /** Members that take part, this node included: the n of every formula. */
  get liveCount(): number {
    return this.#roster.liveCount
  }

  /** The others that pass `accept`. */
  others(accept: Accept): MemberRecord[] {
    return this.#roster.others(accept)
  }

  /** Those of `ids` that pass `accept`; ids of nobody who is known are left out. */
  among(ids: Iterable<NodeId>, accept: Accept): MemberRecord[] {
    return this.#roster.among(ids, accept)
  }

  /** Up to `count` of the others that pass `accept`, at random. */
  pick(count: number, accept: Accept): MemberRecord[] {
    return this.#roster.pick(count, accept)
  }

  /** Applies one update. True if it was about this node and had to be refuted. */
  apply(update: Update, now: number): boolean {
    if (update.id === this.#selfId) return this.#applyToSelf(update, now)
    if (update.status === 'alive') this.#alive(update, now)
    else if (update.status === 'left') this.#left(update, now)
    else if (update.status === 'suspect') this.#suspect(update, now)
    else this.#failed(update, now)
    return false
  }

  /**
   * Another node gave up a member that this one is connected to: no verdict here, but a suspicion that is as short as one may
   * be. What one side of a partition decided of the members of the other would else pass for death after it has healed.
   */
  doubt(update: AccusationUpdate, now: number): void {
    this.#suspect(update, now)
    const known = this.get(update.id)
    if (!known || update.incarnation < known.incarnation) return
    this.#suspicions.conclude(update.id, now)
  }

  /** Whether this node holds the member for failed, or did so until lately: one of the two was cut off, and decided much then. */
  isJustBack(id: NodeId, now: number): boolean {
    const at = this.#backAt.get(id)
    if (at !== undefined && now - at < BACK_MS) return true
    this.#backAt.delete(id)
    return this.get(id)?.status === 'failed'
  }

  /** Applies another node's full state. A remote `failed` only makes a living member suspect, so that it can refute. */
  merge(from: NodeId, entries: readonly SyncEntry[], now: number): boolean {
    if (this.self.status !== 'left') this.#claims.testimony(this.self, this.liveCount, from, entries)
    const strangers = entries.filter(({ member: m }) => isLive(m) && !this.#roster.has(m.id)).length
    this.#newcomer = strangers > this.liveCount
    this.#mergingFrom = from
    this.#hearVotes(from, entries)
    let refuted = false
    for (const entry of entries) refuted = this.#mergeOne(from, entry, now) || refuted
    this.#mergingFrom = null
    this.#newcomer = false
    return refuted
  }

  /** Everything known, for a full state exchange. */
  snapshot(now: number): SyncEntry[] {
    return Array.from(this.#roster.entries(), ({ member, since }) => ({
      member,
      ageMs: Math.max(0, now - since),
    }))
  }

  /** What a peer must be told when a message goes to it: that it is held for suspect, failed or left. */
  verdictOn(id: NodeId, now: number): Update | undefined {
    const member = this.get(id)
    const departed = this.#departed.get(id, now)
    if (!member && departed) return leftOf(id, departed)
    if (!member || member.id === this.#selfId || member.status === 'alive') return undefined
    if (member.status === 'left') return { status: 'left', id, incarnation: member.incarnation }
    return { status: member.status, id, incarnation: member.incarnation, from: this.#selfId }
  }

  /** Replaces this node's meta under a new incarnation. */
  setMeta(meta: Readonly<Record<string, string>>, now: number): void {
    const self = this.self
    this.#set({ ...self, meta, incarnation: self.incarnation + 1 }, now)
    this.#queue.push(aliveOf(this.self))
  }

  /** Marks this node as left under a new incarnation, so that no older news revives it. */
  leave(now: number): LeftUpdate {
    const self = this.self
    const update: LeftUpdate = { status: 'left', id: self.id, incarnation: self.incarnation + 1 }
    this.#set({ ...self, status: 'left', incarnation: update.incarnation }, now)
    this.#queue.push(update)
    return update
  }

  /**
   * Declares a failed member left, for everybody; one that left may still be pruned. A living one would refute it, so that
   * is refused. Null when done.
   */
  forceLeave(id: NodeId, prune: boolean, now: number): ForceLeaveRefusal | null {
    const member = this.get(id)
    if (!member) return 'unknown'
    if (id === this.#selfId) return 'self'
    if (isLive(member)) return 'living'
    this.#left(leftOf(id, { incarnation: member.incarnation, prune }), now)
    return null
  }

  /** What this node says about itself. */
  selfUpdate(): Update {
    return aliveOf(this.self)
  }

  /** Suspects whose time is nearly over and whom this node has not looked at for it; each is named once. */
  suspectsToLookAt(now: number): NodeId[] {
    return this.#suspicions.toLookAt(now)
  }

  /** Gives up the suspects whose time is over. */
  expireSuspicions(now: number): void {
    for (const id of this.#suspicions.expired(now)) {
      const member = this.get(id)
      if (member)
        this.#failed({ status: 'failed', id, incarnation: member.incarnation, from: this.#selfId }, now)
    }
  }

  /** Forgets those that left or failed long ago. A failed one counts as left from here on. */
  reap(now: number): void {
    const { leftKeptMs, failedKeptMs } = this.#ctx.timings
    const over = this.others((member, since) => {
      const keptMs = member.status === 'left' ? leftKeptMs : failedKeptMs
      return !isLive(member) && now - since >= keptMs
    })
    for (const member of over) this.#forget(member, now)
  }

  /** When the next suspicion ends; Infinity if there is none. */
  get deadline(): number {
    return this.#suspicions.deadline
  }

  /** This process stood still for `ms`: nobody may be given up for it. */
  shift(ms: number): void {
    this.#suspicions.shift(ms)
  }

  #applyToSelf(update: Update, now: number): boolean {
    const self = this.self
    if (self.status === 'left' || update.incarnation < self.incarnation) return false
    if (update.status === 'alive' && update.incarnation === self.incarnation && sameData(update, self)) {
      return false
    }
    this.#set({ ...self, incarnation: update.incarnation + 1 }, now)
    this.#queue.push(aliveOf(this.self))
    return true
  }

  #alive(update: AliveUpdate, now: number): void {
    const known = this.get(update.id)
    if (known && update.incarnation <= known.incarnation) return
    if (this.#isGone(update, now)) return
    if (!this.#claimName(update, now)) return
    if (!known && this.#isFull(update)) return
    this.#suspicions.end(update.id)
    this.#departed.forget(update.id)
    this.#set(update, now)
    if (known || !this.#newcomer) this.#queue.push(update)
  }

  /** True if this is older than what is known of a node that is gone. Whoever still believes it is told. */
  #isGone(update: AliveUpdate, now: number): boolean {
    const departed = this.#departed.get(update.id, now)
    if (!departed || update.incarnation > departed.incarnation) return false
    const { id } = update
    const { incarnation, replaced } = departed
    // Whoever has a connection to it only doubts it then: one side of a partition may have given its name away.
    if (replaced) this.#queue.push({ status: 'failed', id, incarnation, from: this.#selfId })
    else this.#queue.push(leftOf(id, departed))
    if (departed.unlisted && !this.#roster.called(update.name) && !this.#isFull(update)) {
      this.#departed.forget(update.id)
      this.#set({ ...update, status: 'left', incarnation: departed.incarnation }, now)
    }
    return true
  }

  #suspect(update: AccusationUpdate, now: number): void {
    const known = this.get(update.id)
    if (!known || update.incarnation < known.incarnation) return
    if (this.#suspicions.has(update.id)) {
      // It refuted what is suspected here, and is suspected again: nothing older than that is to clear it.
      if (update.incarnation > known.incarnation)
        this.#set({ ...known, incarnation: update.incarnation }, now)
      if (this.#suspicions.confirm(update.id, update.from)) this.#queue.push(update)
      return
    }
    if (known.status !== 'alive') return
    this.#suspicions.begin(update.id, update.from, this.liveCount, now)
    this.#set({ ...known, status: 'suspect', incarnation: update.incarnation }, now)
    this.#queue.push(update)
  }

  #failed(update: AccusationUpdate, now: number): void {
    const known = this.get(update.id)
    if (!known || update.incarnation < known.incarnation) return
    // One that is gone and died again in a later life: what is older than that is not to revive it.
    if (!isLive(known) && update.incarnation === known.incarnation) return
    this.#suspicions.end(update.id)
    this.#set({ ...known, status: 'failed', incarnation: update.incarnation }, now)
    this.#queue.push(update)
    this.#admitWaiting(known.name, now)
  }

  #left(update: LeftUpdate, now: number): void {
    const { id, incarnation } = update
    const known = this.get(id)
    const prune = update.prune === true
    if (!known) {
      // Overtook the news that it lives, or is a prune that others have yet to hear of.
      const news = this.#departed.remember(id, { incarnation, prune, unlisted: !prune, at: now })
      if (news && prune) this.#queue.push(update)
      return
    }
    const again = known.status === 'left' && incarnation === known.incarnation
    if (incarnation < known.incarnation || (again && !prune)) return
    this.#suspicions.end(id)
    if (!again) this.#set({ ...known, status: 'left', incarnation }, now)
    if (prune) this.#forget({ ...known, status: 'left', incarnation }, now, { prune })
    this.#queue.push(update)
    this.#admitWaiting(known.name, now)
  }

  #mergeOne(from: NodeId, { member, ageMs }: SyncEntry, now: number): boolean {
    const { id, incarnation } = member
    if (id === this.#selfId || this.#roster.has(id) || isLive(member)) {
      let refuted = false
      if (isLive(member)) refuted = this.apply(isAlive(member) ? member : aliveOf(member), now)
      if (member.status === 'left') return this.apply({ status: 'left', id, incarnation }, now)
      const known = this.get(id)
      if (member.status === 'failed' && known && !isLive(known)) {
        if (incarnation > known.incarnation) this.#set(member, now - ageMs)
        return false
      }
      // A suspicion the sender may only have heard of is no independent confirmation of one that is open here.
      if (member.status !== 'alive' && !this.#suspicions.has(id)) {
        refuted = this.apply({ status: 'suspect', id, incarnation, from }, now) || refuted
      }
      return refuted
    }
    // Never met: remembered as the sender does, so that every node lists the same, and for no longer than there.
    const { leftKeptMs, failedKeptMs, membersMax } = this.#ctx.timings
    const keptMs = member.status === 'left' ? leftKeptMs : failedKeptMs
    const departed = this.#departed.get(id, now)
    if (departed && !departed.unlisted && incarnation <= departed.incarnation) {
      if (departed.prune) this.#queue.push(leftOf(id, departed))
      return false
    }
    if (ageMs >= keptMs || this.#roster.called(member.name) || this.#roster.size >= membersMax) return false
    this.#departed.forget(id)
    this.#set(member, now - ageMs)
    return false
  }

  /** False if another node holds the name and is not given up. One that is given up makes room. */
  #claimName(update: AliveUpdate, now: number): boolean {
    const holder = this.#roster.called(update.name)
    if (!holder || holder.id === update.id) return true
    if (!isLive(holder)) {
      if (holder.id === this.#selfId) return false
      this.#forget(holder, now, { replaced: holder.status === 'failed' })
      return true
    }
    if (this.#isOutvoted(holder, update)) {
      this.#displace(holder, update, now)
      return true
    }
    this.#claims.wait(update, now)
    // A suspect is probably the newcomer's own former life: wait for the verdict before calling it a conflict. Who is right
    // about the name of this node itself shows in what the others list.
    if (holder.status === 'alive' && holder.id !== this.#selfId)
      this.#claims.report(holder.name, holder, update)
    return false
  }

  /** Of the names that are contested: a peer that compared itself with this node and lists no rival lists the same as this node. */
  #hearVotes(from: NodeId, entries: readonly SyncEntry[]): void {
    for (const name of [...this.#votes.names()]) {
      const holder = this.#roster.called(name)
      if (holder?.status !== 'alive') this.#votes.forget(name)
      else if (!entries.some(({ member }) => member.name === name && isLive(member)))
        this.#votes.cast(name, from, holder.id)
    }
  }

  /** True if most members list another under the name of `holder`: what a partition leaves behind. */
  #isOutvoted(holder: MemberRecord, rival: AliveUpdate): boolean {
    const from = this.#mergingFrom
    if (from === null || from === rival.id || holder.status !== 'alive' || holder.id === this.#selfId)
      return false
    this.#votes.cast(rival.name, from, rival.id)
    return this.#votes.isOutvoted(rival.name, holder, rival, this.liveCount - 1)
  }

  /** The one that has a name here makes room for the one that has it elsewhere, and waits as any newcomer does. */
  #displace(holder: MemberRecord, rival: AliveUpdate, now: number): void {
    this.#claims.report(holder.name, rival, holder)
    this.#votes.forget(holder.name)
    this.#drop(holder, now)
  }

  #admitWaiting(name: string, now: number): void {
    const claim = this.#claims.take(name, now)
    if (claim) this.#alive(claim, now)
  }

  #isFull(update: AliveUpdate): boolean {
    if (this.#roster.size < this.#ctx.timings.membersMax) {
      this.#fullReported = false
      return false
    }
    if (!this.#fullReported) this.#ctx.emit({ type: 'full', name: update.name, id: update.id })
    this.#fullReported = true
    return true
  }

  #forget(member: MemberRecord, now: number, { prune = false, replaced = false } = {}): void {
    const { id, incarnation } = member
    this.#departed.remember(id, { incarnation, prune, replaced, unlisted: false, at: now })
    this.#drop(member, now)
  }

  #drop(member: MemberRecord, now: number): void {
    if (member.status !== 'left') this.#set({ ...member, status: 'left' }, now)
    this.#roster.remove(member.id)
    this.#suspicions.end(member.id)
    this.#queue.drop(member.id)
    this.#backAt.delete(member.id)
    this.#ctx.emit({ type: 'remove', member: { ...member, status: 'left' } })
  }

  #set(next: MemberRecord, now: number): void {
    const previous = this.#roster.set(next, now)
    if (previous?.status === 'failed' && next.status === 'alive') this.#backAt.set(next.id, now)
    this.#ctx.emit({ type: 'change', member: next, previous })
    if (next.status === 'alive' && previous?.status === 'suspect') this.#stillWaiting(next)
  }

  /** The holder of a name refuted its suspicion: now the newcomer that waited for it is a conflict. */
  #stillWaiting(holder: MemberRecord): void {
    const claim = this.#claims.waiting(holder.name)
    if (claim && holder.id !== this.#selfId) this.#claims.report(holder.name, holder, claim)
  }
}

/** Its record says what an update would say. */
function isAlive(member: MemberRecord): member is AliveUpdate {
  return member.status === 'alive'
}

function aliveOf(member: MemberRecord): AliveUpdate {
  const { id, incarnation, name, address, meta } = member
  return { status: 'alive', id, incarnation, name, address, meta }
}

function sameData(update: AliveUpdate, self: MemberRecord): boolean {
  if (update.name !== self.name || update.address !== self.address) return false
  const keys = Object.keys(self.meta)
  return keys.length === Object.keys(update.meta).length && keys.every((k) => self.meta[k] === update.meta[k])
}
