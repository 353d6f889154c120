import { canonicalJson, isObject, type Json, type JsonObject, newObject, sameJson } from './json.ts'

/** A document with how it came to be. */
export interface Settleable {
  readonly body: string
  readonly document: JsonObject
}

/**
 * Lets a change through at once if the one before is some time ago, and collects those in between. So what changes back
 * and forth within that time changes no byte, and a burst costs Traefik two reloads. A change that only takes servers away
 * does not wait: they are dead.
 */
export class Settling<D extends Settleable> {
  #served: D | null = null
  #changedAt = Number.NEGATIVE_INFINITY

  /** What to serve, given the document as it would be now. */
  take(next: D, settleMs: number, now: number): D {
    const served = this.#served
    if (served === null || next.body === served.body) {
      this.#served = next
      return next
    }
    if (now - this.#changedAt < settleMs && !isRemovalOnly(served.document, next.document)) return served
    this.#served = next
    this.#changedAt = now
    return next
  }
}

/** True if `after` is `before` without some of its servers. What both share is not looked into. */
export function isRemovalOnly(before: JsonObject, after: JsonObject): boolean {
  return sameMembers(before, after, (left, right) =>
    sameMembers(left, right, (one, other, kind) =>
      kind !== 'services' ? sameJson(one, other) : sameMembers(one, other, hasFewerServers),
    ),
  )
}

type Comparison = (before: Json, after: Json, key: string) => boolean

/** True for the same keys, with values that are the same or stand the comparison. */
function sameMembers(before: Json, after: Json, compare: Comparison): boolean {
  if (before === after) return true
  if (!isObject(before) || !isObject(after)) return sameJson(before, after)
  const keys = Object.keys(after)
  if (keys.length !== Object.keys(before).length) return false
  return keys.every((key) => {
    const [left, right] = [before[key], after[key]]
    if (left === undefined || right === undefined) return false
    return left === right || compare(left, right, key)
  })
}

function hasFewerServers(before: Json, after: Json): boolean {
  if (!isObject(before) || !isObject(after)) return sameJson(before, after)
  const [left, right] = [before.loadBalancer, after.loadBalancer]
  if (!isObject(left) || !isObject(right)) return sameJson(before, after)
  const had = new Set(serversOf(left).map(canonicalJson))
  return (
    serversOf(right).every((server) => had.has(canonicalJson(server))) &&
    sameJson(withoutServers(before, left), withoutServers(after, right))
  )
}

function serversOf({ servers }: JsonObject): readonly Json[] {
  return Array.isArray(servers) ? servers : []
}

function withoutServers(service: JsonObject, { servers: _, ...balancer }: JsonObject): JsonObject {
  return Object.assign(newObject(), service, { loadBalancer: balancer })
}
