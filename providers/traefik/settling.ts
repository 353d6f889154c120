import { canonicalJson, isObject, type JsonObject, newObject } from './json.ts'

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

/** True if `after` is `before` without some of its servers. */
export function isRemovalOnly(before: JsonObject, after: JsonObject): boolean {
  const [left, right] = [split(before), split(after)]
  if (canonicalJson(left.rest) !== canonicalJson(right.rest)) return false
  return [...right.servers].every(([key, servers]) => {
    const had = left.servers.get(key)
    return had !== undefined && [...servers].every((server) => had.has(server))
  })
}

function split(document: JsonObject) {
  const servers = new Map<string, ReadonlySet<string>>()
  const rest = newObject()
  for (const [section, kinds] of Object.entries(document)) {
    if (!isObject(kinds)) continue
    const copy: JsonObject = Object.assign(newObject(), kinds)
    rest[section] = copy
    if (!isObject(kinds.services)) continue
    const services = newObject()
    copy.services = services
    for (const [name, service] of Object.entries(kinds.services)) {
      services[name] = service
      if (!isObject(service) || !isObject(service.loadBalancer)) continue
      const { servers: list, ...balancer } = service.loadBalancer
      services[name] = Object.assign(newObject(), service, { loadBalancer: balancer })
      servers.set(`${section}.${name}`, new Set(Array.isArray(list) ? list.map(canonicalJson) : []))
    }
  }
  return { servers, rest }
}
