import type { Contribution } from './instance.ts'

/** How much may vanish at once, and how long it is held back if it is more. */
export interface GuardOptions {
  /** Percent of the balancers with servers that may lose the last one at once. */
  readonly percent: number
  /** 0 = nothing is held back. */
  readonly holdMs: number
}

/** Monotonic and wall clock in milliseconds. */
export interface GuardClock {
  now(): number
  wall(): number
}

/** What {@link Guard} lets through. */
export interface Guarded {
  readonly contributions: readonly Contribution[]
  /** Load balancers ("http.services.web") that keep servers they have lost. */
  readonly held: readonly string[]
}

/** Fewer than this is an outage like any other. */
const LOST_MIN = 3
/** A hold ends at a multiple of this of the wall clock, so that nodes that began it one after the other end it together. */
const END_MS = 10_000

/**
 * Holds a mass disappearance back: when many load balancers lose their last server at once, it is rather this node that has
 * lost sight of the others. They keep what they had for a while, which costs nothing: the alternative is no server at all.
 * A balancer that has a server left is never held, nor one whose node was cordoned or whose copy is to be drained.
 */
export class Guard {
  readonly #clock: GuardClock
  #options: GuardOptions
  /** Who had servers last, by load balancer. */
  #good: ReadonlyMap<string, readonly Contribution[]> = new Map()
  #until: { readonly now: number; readonly wall: number } | null = null

  constructor(options: GuardOptions, clock: GuardClock) {
    this.#options = options
    this.#clock = clock
  }

  configure(options: GuardOptions): void {
    this.#options = options
  }

  /** True if what `apply` said last does not hold any more, although nothing it was told has changed. */
  get isDue(): boolean {
    return this.#until !== null && this.#isOver(this.#until)
  }

  apply(contributions: readonly Contribution[]): Guarded {
    const current = withServers(contributions)
    const lost = this.#lost(current, contributions)
    const tooMany = lost.length >= LOST_MIN && lost.length * 100 > this.#options.percent * this.#good.size
    if (!tooMany || this.#options.holdMs === 0 || this.isDue) {
      this.#until = null
      this.#good = current
      return { contributions, held: [] }
    }
    this.#until ??= this.#end()
    const kept = lost.map((key) => [key, this.#good.get(key) ?? []] as const)
    this.#good = new Map([...current, ...kept])
    const replaced = new Map(contributions.map((each) => [identity(each), each]))
    for (const [, members] of kept) for (const member of members) replaced.set(identity(member), member)
    return { contributions: [...replaced.values()], held: lost.toSorted() }
  }

  #lost(current: ReadonlyMap<string, unknown>, contributions: readonly Contribution[]): readonly string[] {
    const missing = [...this.#good.keys()].filter((key) => !current.has(key))
    if (missing.length === 0) return []
    const now = new Map(contributions.map((each) => [identity(each), each]))
    return missing.filter((key) =>
      (this.#good.get(key) ?? []).some((before) => {
        const after = now.get(identity(before))
        return after === undefined || !(after.instance.node.cordoned || after.placement.drain === true)
      }),
    )
  }

  #end(): { readonly now: number; readonly wall: number } {
    const { holdMs } = this.#options
    const step = Math.min(END_MS, holdMs)
    const wall = Math.ceil((this.#clock.wall() + holdMs) / step) * step
    // Should the wall clock be set back meanwhile, the monotonic one ends it.
    return { wall, now: this.#clock.now() + holdMs + step }
  }

  #isOver({ now, wall }: { readonly now: number; readonly wall: number }): boolean {
    return this.#clock.wall() >= wall || this.#clock.now() >= now
  }
}

function withServers(contributions: readonly Contribution[]): ReadonlyMap<string, readonly Contribution[]> {
  const result = new Map<string, Contribution[]>()
  for (const contribution of contributions) {
    for (const [key, servers] of contribution.servers) {
      if (servers.length === 0) continue
      const list = result.get(key)
      if (list === undefined) result.set(key, [contribution])
      else list.push(contribution)
    }
  }
  return result
}

function identity({ instance }: Contribution): string {
  return `${instance.node.record.id} ${instance.service.id}`
}
