import { sample } from './random.ts'
import type { MemberRecord, MemberState, NodeId } from './types.ts'

/** In a roster of up to this many, all are looked at to pick some; in a larger one a few tries usually find them. */
const SCANNED_MAX = 64
const TRIES_PER_PICK = 6

/** Place of this node itself in the lists: it comes first, and is never forgotten. */
const SELF_AT = 0

/** Whether a member is wanted, given when it reached its status. */
export type Accept = (member: MemberRecord, since: number) => boolean

/**
 * The records of all members, this node's first, with the time each reached its status. Records are kept as they come and never
 * changed, so that whoever makes them may share them. A member costs its record and about a hundred bytes here: see
 * docs/membership-simulation.md.
 */
export class Roster {
  readonly #random: () => number
  /** The place of each member in the lists, in the order they came. */
  readonly #index = new Map<NodeId, number>()
  readonly #members: MemberRecord[] = []
  readonly #since: number[] = []
  readonly #byName = new Map<string, NodeId>()
  #live = 0

  constructor(self: MemberRecord, now: number, random: () => number) {
    this.#random = random
    this.#enter(self, now)
    this.#byName.set(self.name, self.id)
  }

  get self(): MemberRecord {
    return this.#members[SELF_AT] as MemberRecord
  }

  get size(): number {
    return this.#members.length
  }

  /** Members that take part, this node included. */
  get liveCount(): number {
    return this.#live
  }

  get(id: NodeId): MemberRecord | undefined {
    const at = this.#index.get(id)
    return at === undefined ? undefined : this.#members[at]
  }

  has(id: NodeId): boolean {
    return this.#index.has(id)
  }

  /** Who has this name, dead or alive. */
  called(name: string): MemberRecord | undefined {
    const id = this.#byName.get(name)
    return id === undefined ? undefined : this.get(id)
  }

  all(): MemberRecord[] {
    return Array.from(this.#index.values(), (at) => this.#members[at] as MemberRecord)
  }

  /** Each with the time it reached its status. */
  *entries(): IterableIterator<{ readonly member: MemberRecord; readonly since: number }> {
    for (const at of this.#index.values()) {
      yield { member: this.#members[at] as MemberRecord, since: this.#since[at] as number }
    }
  }

  /** The others that pass `accept`. */
  others(accept: Accept): MemberRecord[] {
    return this.#filter(this.#index.values(), accept)
  }

  /** Those of `ids` that pass `accept`; this node, and ids of nobody who is known, are left out. */
  among(ids: Iterable<NodeId>, accept: Accept): MemberRecord[] {
    return this.#filter(
      Iterator.from(ids).map((id) => this.#index.get(id) ?? SELF_AT),
      accept,
    )
  }

  /** Up to `count` of the others that pass `accept`, at random. */
  pick(count: number, accept: Accept): MemberRecord[] {
    if (this.#members.length <= SCANNED_MAX) return sample(this.others(accept), count, this.#random)
    const picked: MemberRecord[] = []
    for (let tries = count * TRIES_PER_PICK; tries > 0 && picked.length < count; tries--) {
      const at = Math.floor(this.#random() * this.#members.length)
      const member = this.#members[at] as MemberRecord
      if (at === SELF_AT || picked.includes(member)) continue
      if (accept(member, this.#since[at] as number)) picked.push(member)
    }
    // Few pass, or none: only looking at all of them tells.
    return picked.length === count ? picked : sample(this.others(accept), count, this.#random)
  }

  /** Takes a record in, or replaces the one of the same id, which is answered. Its name is its own from then on. */
  set(next: MemberRecord, now: number): MemberRecord | undefined {
    const at = this.#index.get(next.id)
    const previous = at === undefined ? undefined : this.#members[at]
    if (at === undefined || previous === undefined) this.#enter(next, now)
    else {
      this.#live += Number(isLive(next)) - Number(isLive(previous))
      if (previous.status !== next.status) this.#since[at] = now
      this.#members[at] = next
    }
    if (previous !== undefined && previous.name !== next.name) this.#freeName(previous)
    this.#byName.set(next.name, next.id)
    return previous
  }

  /** Forgets a member, not this node. */
  remove(id: NodeId): void {
    const at = this.#index.get(id)
    if (at === undefined || at === SELF_AT) return
    const removed = this.#members[at] as MemberRecord
    this.#index.delete(id)
    this.#freeName(removed)
    if (isLive(removed)) this.#live--
    const last = this.#members.pop() as MemberRecord
    const since = this.#since.pop() as number
    if (last.id === id) return
    this.#index.set(last.id, at)
    this.#members[at] = last
    this.#since[at] = since
  }

  #filter(places: Iterable<number>, accept: Accept): MemberRecord[] {
    const out: MemberRecord[] = []
    for (const at of places) {
      const member = this.#members[at] as MemberRecord
      if (at !== SELF_AT && accept(member, this.#since[at] as number)) out.push(member)
    }
    return out
  }

  #enter(member: MemberRecord, now: number): void {
    this.#index.set(member.id, this.#members.length)
    this.#members.push(member)
    this.#since.push(now)
    if (isLive(member)) this.#live++
  }

  #freeName({ id, name }: MemberRecord): void {
    if (this.#byName.get(name) === id) this.#byName.delete(name)
  }
}

/** Alive or suspect: a suspect counts as living until the verdict. */
export function isLive(member: { readonly status: MemberState }): boolean {
  return member.status === 'alive' || member.status === 'suspect'
}
