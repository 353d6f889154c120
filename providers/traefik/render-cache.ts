import { Balancers } from './balancers.ts'
import type { Contribution } from './instance.ts'
import { KnownObjects } from './known-objects.ts'
import { type Merged, merge } from './merge.ts'
import { NodeRoutes } from './node-hosts.ts'

/**
 * What earlier renderings found out, so that a change costs little more than what it touches. Everything in it follows from
 * objects that do not change, and goes when they do, so it shows in no byte. For one set of `RenderOptions`.
 */
export class RenderCache {
  readonly objects = new KnownObjects()
  readonly balancers = new Balancers()
  readonly nodeRoutes = new NodeRoutes()
  #last: { readonly contributions: readonly Contribution[]; readonly merged: Merged } | null = null

  /** `merge` of the contributions, with what is the same as the last time. */
  merge(contributions: readonly Contribution[]): Merged {
    if (this.#last?.contributions === contributions) return this.#last.merged
    const merged = merge(contributions, this.#last?.merged)
    this.#last = { contributions, merged }
    return merged
  }
}
