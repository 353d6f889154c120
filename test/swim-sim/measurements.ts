import type { SwimCore } from '../../discovery/membership/core/swim-core.ts'
import type { MemberRecord, MemberState } from '../../discovery/membership/core/types.ts'
import type { SimMember, SwimWorld, WorldObserver } from './world.ts'

/** What happens to a member and must become known to all others. */
export type Happening = 'join' | 'leave' | 'kill' | 'hang' | 'meta'

const SEEN_AS: Readonly<Record<Happening, MemberState>> = {
  join: 'alive',
  leave: 'left',
  kill: 'failed',
  hang: 'failed',
  meta: 'alive',
}

interface Awaited {
  readonly happening: Happening
  readonly at: number
  readonly incarnation: number
  /** Who has not learned of it, in the life it led then: whoever began anew joins with what it is told, and is late for nothing. */
  readonly viewers: Map<SimMember, SwimCore>
  /** When the first learned of it, and the last until now, in ms from it; negative: nobody. */
  firstMs: number
  lastMs: number
}

/** Times in ms from something that happened: until the first learned of it, each of them, and the last one. */
export interface Spread {
  readonly first: number[]
  readonly each: number[]
  readonly last: number[]
  /** How often not everybody had learned of it when the run ended. */
  unfinished: number
}

const SAMPLES_MAX = 2_000_000

/** How news spreads, how often somebody is wronged, and what it costs. */
export class Measurements implements WorldObserver {
  readonly spreads = new Map<Happening, Spread>()
  readonly bytes = new Map<string, number>()
  readonly messages = new Map<string, number>()
  /** Suspicions that began with an own look or a lost connection, of members that ran and could be reached. */
  falseSuspicions = 0
  /** Distinct lives of members that somebody gave up although they ran and could be reached. */
  readonly falseDeaths = new Set<string>()
  /** How many members gave one of them up, in sum. */
  falseVerdicts = 0
  /** Sum of the time of all members, in ms. */
  nodeMs = 0
  readonly #world: SwimWorld
  readonly #awaited = new Map<string, Awaited>()
  #countedAt: number
  #population: number

  constructor(world: SwimWorld) {
    this.#world = world
    this.#countedAt = world.now
    this.#population = world.running().length
  }

  /** Something happens now to this member; everybody else that runs is to learn of it. */
  expect(happening: Happening, target: SimMember): void {
    this.populationChanged()
    const others = this.#world.running().filter((member) => member !== target)
    const viewers = new Map(others.map((viewer) => [viewer, viewer.core]))
    this.#give(target.id)
    const { incarnation } = target.core.self()
    this.#awaited.set(target.id, {
      happening,
      at: this.#world.now,
      incarnation,
      viewers,
      firstMs: -1,
      lastMs: -1,
    })
  }

  /** How many are still to learn of something. */
  get pending(): number {
    for (const [id, awaited] of this.#awaited) {
      for (const [viewer, core] of awaited.viewers) {
        if (viewer.process === 'dead' || viewer.left || viewer.core !== core) awaited.viewers.delete(viewer)
      }
      if (awaited.viewers.size === 0) this.#finish(id, awaited)
    }
    return this.#awaited.size
  }

  /** Called before members come or go, so that times are counted for those who were there. */
  populationChanged(): void {
    this.nodeMs += (this.#world.now - this.#countedAt) * this.#population
    this.#countedAt = this.#world.now
    this.#population = this.#world.running().length
  }

  /** Ends the measurement. */
  end(): void {
    this.populationChanged()
    if (this.pending > 0) for (const id of [...this.#awaited.keys()]) this.#give(id)
  }

  changed(viewer: SimMember, member: MemberRecord, previous: MemberRecord | undefined, own: boolean): void {
    const awaited = this.#awaited.get(member.id)
    if (awaited && isNewsOf(awaited, member)) this.#learned(viewer, member.id, awaited)
    if (member.status === 'suspect' && own && this.#isWronged(viewer, member)) this.falseSuspicions++
    if (member.status === 'failed' && previous !== undefined && this.#isWronged(viewer, member)) {
      this.falseVerdicts++
      this.falseDeaths.add(`${member.id} ${member.incarnation}`)
    }
  }

  removed(): void {}

  acted(): void {}

  sent(_from: SimMember, kind: string, bytes: number): void {
    this.bytes.set(kind, (this.bytes.get(kind) ?? 0) + bytes)
    this.messages.set(kind, (this.messages.get(kind) ?? 0) + 1)
  }

  /**
   * A live process that `viewer` can reach. One that stands still for less than a probe takes counts as live. A verdict on the life
   * before a restart wrongs nobody.
   */
  #isWronged(viewer: SimMember, { id, incarnation }: MemberRecord): boolean {
    const target = this.#world.byId(id)
    if (incarnation < target.bornAs) return false
    if (target.left || target.process === 'dead' || target.process === 'hung') return false
    return this.#world.reachable(viewer, target)
  }

  #learned(viewer: SimMember, id: string, awaited: Awaited): void {
    const core = awaited.viewers.get(viewer)
    if (!awaited.viewers.delete(viewer)) return
    if (viewer.core === core) this.#count(awaited)
    if (awaited.viewers.size === 0) this.#finish(id, awaited)
  }

  #count(awaited: Awaited): void {
    const ms = this.#world.now - awaited.at
    awaited.lastMs = ms
    const spread = this.#spread(awaited.happening)
    if (spread.each.length < SAMPLES_MAX) spread.each.push(ms)
    if (awaited.firstMs < 0) {
      awaited.firstMs = ms
      spread.first.push(ms)
    }
  }

  #finish(id: string, awaited: Awaited): void {
    this.#awaited.delete(id)
    if (awaited.lastMs >= 0) this.#spread(awaited.happening).last.push(awaited.lastMs)
  }

  #give(id: string): void {
    const awaited = this.#awaited.get(id)
    if (!awaited) return
    this.#awaited.delete(id)
    this.#spread(awaited.happening).unfinished++
  }

  #spread(happening: Happening): Spread {
    const spread = this.spreads.get(happening) ?? { first: [], each: [], last: [], unfinished: 0 }
    this.spreads.set(happening, spread)
    return spread
  }
}

function isNewsOf(awaited: Awaited, member: MemberRecord): boolean {
  return member.status === SEEN_AS[awaited.happening] && member.incarnation >= awaited.incarnation
}

/** The value below which the fraction `p` of the samples lies; NaN without samples. */
export function percentile(samples: readonly number[], p: number): number {
  if (samples.length === 0) return Number.NaN
  const sorted = Float64Array.from(samples).sort()
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? Number.NaN
}
