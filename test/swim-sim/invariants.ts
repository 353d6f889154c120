import type { MemberRecord } from '../../discovery/membership/core/types.ts'
import type { SimMember, SwimWorld, WorldObserver } from './world.ts'

/** A property that does not hold. */
export class SwimViolation extends Error {
  readonly code = 'SWIM_SIM_VIOLATION'

  constructor(property: string, detail: string) {
    super(`${property}: ${detail}`)
    this.name = 'SwimViolation'
  }
}

/** How long a member that runs and can be reached may be held for dead. */
const WRONG_MS = 60_000
const LOOK_EVERY_MS = 5000
/** For how long after it went on a process may not blame others. */
const AFTER_STALL_MS = 600
/** Largest message of the protocol (discovery/membership/wire.ts). */
const MESSAGE_BYTES_MAX = 64 * 1024

interface Owner {
  incarnation: number
}

/** What must hold after every step of a core. */
export class Invariants implements WorldObserver {
  /** When the network last changed for everybody: a partition began or ended. */
  disturbedAt = 0
  readonly #world: SwimWorld
  readonly #owners = new Map<string, Owner>()
  /** Per viewer: the incarnation with which a member left. */
  readonly #leftAt = new Map<number, Map<string, number>>()
  /** How many members a viewer knows. */
  readonly #known = new Map<number, number>()
  /** Wrong verdicts that stand: viewer and target, and since when. */
  readonly #wrong = new Map<string, { viewer: SimMember; target: SimMember; since: number }>()
  #lookAt = 0

  constructor(world: SwimWorld) {
    this.#world = world
    for (const member of world.members) this.#known.set(member.index, member.core.members().length)
  }

  changed(viewer: SimMember, member: MemberRecord, previous: MemberRecord | undefined, own: boolean): void {
    if (!previous) this.#known.set(viewer.index, (this.#known.get(viewer.index) ?? 1) + 1)
    if (viewer.id === member.id) this.#ownChange(viewer, member, previous)
    else this.#otherChange(viewer, member, previous)
    if (own && member.status === 'suspect') this.#accused(viewer, member)
    const key = `${viewer.index} ${member.id}`
    if (member.status === 'failed') {
      this.#wrong.set(key, { viewer, target: this.#world.byId(member.id), since: this.#world.now })
    } else this.#wrong.delete(key)
  }

  removed(viewer: SimMember, member: MemberRecord): void {
    this.#known.set(viewer.index, (this.#known.get(viewer.index) ?? 1) - 1)
    this.#wrong.delete(`${viewer.index} ${member.id}`)
  }

  sent(from: SimMember, kind: string, bytes: number): void {
    if (kind !== 'sync' && bytes > MESSAGE_BYTES_MAX)
      throw new SwimViolation('messages are bounded', `${from.name} sent a ${kind} of ${bytes} bytes`)
  }

  acted(member: SimMember): void {
    const known = this.#known.get(member.index) ?? 1
    if (member.core.queued > known)
      throw new SwimViolation(
        'the queue holds one update per member',
        `${member.name}: ${member.core.queued}`,
      )
    if (this.#world.now >= this.#lookAt) this.#look()
  }

  /** A process began anew: what it knew is gone. */
  restarted(member: SimMember): void {
    this.#known.set(member.index, 1)
    this.#leftAt.delete(member.index)
    for (const [key, { viewer }] of this.#wrong) if (viewer === member) this.#wrong.delete(key)
  }

  #ownChange(viewer: SimMember, member: MemberRecord, previous: MemberRecord | undefined): void {
    if (previous && member.incarnation <= previous.incarnation)
      throw new SwimViolation('a member raises its own incarnation', `${viewer.name}: ${member.incarnation}`)
    this.#owners.set(member.id, { incarnation: member.incarnation })
  }

  #otherChange(viewer: SimMember, member: MemberRecord, previous: MemberRecord | undefined): void {
    const { incarnation, status } = member
    const about = `${viewer.name} about ${member.name}, incarnation ${incarnation}`
    const owner = this.#world.byId(member.id).core.self().incarnation
    if (incarnation > Math.max(owner, this.#owners.get(member.id)?.incarnation ?? 0))
      throw new SwimViolation('only a member itself raises its incarnation', about)
    if (previous && incarnation < previous.incarnation)
      throw new SwimViolation('a known incarnation never falls', `${about} after ${previous.incarnation}`)
    if (status === 'left') this.#leftOf(viewer).set(member.id, incarnation)
    else {
      const left = this.#leftAt.get(viewer.index)?.get(member.id)
      if (left !== undefined && incarnation <= left)
        throw new SwimViolation('one that left is not revived by old news', `${about} left with ${left}`)
    }
  }

  #accused(viewer: SimMember, member: MemberRecord): void {
    const target = this.#world.byId(member.id)
    const { now } = this.#world
    const stalled = viewer.runsSince > 0 && viewer.stalledSince > 0 && now - viewer.runsSince < AFTER_STALL_MS
    const calm = this.#world.network.loss === 0 && now - this.disturbedAt > AFTER_STALL_MS
    const blameless = target.process === 'running' && !target.left && now - target.runsSince > WRONG_MS
    if (
      stalled &&
      calm &&
      blameless &&
      this.#world.reachable(viewer, target) &&
      this.#world.isConnected(viewer, target)
    )
      throw new SwimViolation('who stood still blames nobody', `${viewer.name} suspects ${target.name}`)
  }

  #look(): void {
    const { now } = this.#world
    this.#lookAt = now + LOOK_EVERY_MS
    for (const { viewer, target, since } of this.#wrong.values()) {
      if (viewer.process !== 'running' || target.process !== 'running' || target.left) continue
      if (!this.#world.reachable(viewer, target)) continue
      const began = Math.max(since, this.disturbedAt, target.runsSince, viewer.runsSince)
      if (now - began > WRONG_MS)
        throw new SwimViolation(
          'nobody who runs and can be reached is held for dead',
          `${viewer.name} holds ${target.name} for dead since ${Math.round(since)} ms`,
        )
    }
  }

  #leftOf(viewer: SimMember): Map<string, number> {
    const map = this.#leftAt.get(viewer.index) ?? new Map<string, number>()
    this.#leftAt.set(viewer.index, map)
    return map
  }
}

/** Finds out whether all members that run have the same and the right view. Looks first where it was wrong the last time. */
export class Agreement {
  readonly #world: SwimWorld
  #wrongViewer = 0

  constructor(world: SwimWorld) {
    this.#world = world
  }

  /** Null if all agree, otherwise what is wrong. */
  disagreement(): string | null {
    const { members } = this.#world
    for (let i = 0; i < members.length; i++) {
      const index = (this.#wrongViewer + i) % members.length
      const viewer = this.#world.member(index)
      if (viewer.process !== 'running' || viewer.left) continue
      const wrong = this.#wrongOf(viewer)
      if (wrong === null) continue
      this.#wrongViewer = index
      return wrong
    }
    return null
  }

  #wrongOf(viewer: SimMember): string | null {
    for (const member of this.#world.members) {
      const seen = viewer.core.get(member.id)
      if (member.process === 'dead' || member.left) {
        if (seen && (seen.status === 'alive' || seen.status === 'suspect'))
          return `${viewer.name} holds ${member.name}, which is gone, for ${seen.status}`
        continue
      }
      const self = member.core.self()
      if (seen?.status !== 'alive' || seen.incarnation !== self.incarnation || seen.meta !== self.meta)
        return `${viewer.name} sees ${member.name} as ${seen?.status ?? 'unknown'} with incarnation ${seen?.incarnation ?? '-'} instead of ${self.incarnation}`
    }
    return null
  }
}
