import { type ComposeOptions, composeService } from './compose.ts'
import { isObject, type JsonObject, newObject } from './json.ts'
import type { MergedObject, Shared } from './merge.ts'
import { problem, type TraefikProblem } from './problem.ts'

/** The services that one load balancer of the labels becomes. */
export interface Balanced {
  /** By name; beside its own there may be parts such as "web.canary". */
  readonly services: ReadonlyMap<string, JsonObject>
  readonly problems: readonly TraefikProblem[]
}

/** Results for one load balancer kept at once: as many as there are places a poller can name. */
const PLACES_MAX = 256

/** Puts the servers into load balancers, each time anew only for those that have changed. For one set of `RenderOptions`. */
export class Balancers {
  readonly #known = new WeakMap<MergedObject, Map<string, Balanced>>()

  /** The services for an object; null if it is no load balancer. */
  of(object: MergedObject, options: Omit<ComposeOptions, 'protocol'>): Balanced | null {
    const { shared, value } = object
    if (shared === null || !isObject(value.loadBalancer)) return null
    const place = placeOf(shared, options)
    const known = this.#known.get(object) ?? new Map<string, Balanced>()
    this.#known.set(object, known)
    const before = known.get(place)
    if (before !== undefined) return before
    if (known.size >= PLACES_MAX) known.clear()
    const made = balance(object, shared, value.loadBalancer, options)
    known.set(place, made)
    return made
  }
}

function balance(
  { section, name, value }: MergedObject,
  shared: Shared,
  balancer: JsonObject,
  options: Omit<ComposeOptions, 'protocol'>,
): Balanced {
  const protocol = section === 'tcp' || section === 'udp' ? section : 'http'
  const { services, remarks } = composeService(name, balancer, shared.copies, { ...options, protocol })
  // A second type beside the load balancer is a mistake that is reported as such.
  const { loadBalancer: _, ...others } = value
  const own = services.get(name)
  const complete =
    own === undefined ? services : new Map([...services, [name, Object.assign(newObject(), others, own)]])
  const problems = remarks.map(({ from, label, what }) => problem('unused', from.instance, label, what))
  return { services: complete, problems }
}

/** What of the poller and the nodes matters to these copies. */
function placeOf({ copies }: Shared, { local, priorities }: Omit<ComposeOptions, 'protocol'>): string {
  let [isLocal, isRanked] = [false, false]
  for (const { from } of copies) {
    isLocal ||= from.placement.localFirst === true
    isRanked ||= from.placement.tier === 'priority'
  }
  if (!isLocal && !isRanked) return ''
  return JSON.stringify([isLocal ? (local ?? null) : null, [...priorities]])
}
