import type { Contribution } from './instance.ts'
import { canonicalJson, childObject, isObject, type Json, type JsonObject, newObject } from './json.ts'
import { problem, type TraefikProblem } from './problem.ts'

/** The document of the whole cluster, and who defined what. */
export interface Merged {
  readonly config: JsonObject
  /** By "section.kind.name", such as "http.routers.web". */
  readonly owners: ReadonlyMap<string, Contribution>
  readonly problems: readonly TraefikProblem[]
}

/**
 * Joins what the instances add. Load balancers of one name share their servers. Where instances disagree about anything
 * else, the one on an alive node wins over one on a failed node, then the smallest node name, then the smallest instance id:
 * the same on every node, whatever came first. The loser gets a problem.
 */
export function merge(contributions: readonly Contribution[]): Merged {
  const config = newObject()
  const owners = new Map<string, Contribution>()
  const problems: TraefikProblem[] = []
  for (const contribution of [...contributions].sort(byPrecedence)) {
    for (const [section, kinds] of Object.entries(contribution.config)) {
      for (const [kind, objects] of Object.entries(isObject(kinds) ? kinds : {})) {
        for (const [name, object] of Object.entries(isObject(objects) ? objects : {})) {
          if (!isObject(object)) continue
          const key = `${section}.${kind}.${name}`
          const owner = owners.get(key)
          if (owner === undefined) {
            owners.set(key, contribution)
            childObject(childObject(config, section), kind)[name] = structuredCopy(object)
            continue
          }
          const winner = childObject(childObject(childObject(config, section), kind), name)
          shareServers(winner, object)
          if (canonicalJson(withoutServers(winner)) === canonicalJson(withoutServers(object))) continue
          const { service, node } = owner.instance
          const what = `differs from the one of ${JSON.stringify(service.id)} on node ${JSON.stringify(node.record.name)}, which is used`
          problems.push(problem('conflict', contribution.instance, `traefik.${key}`, what))
        }
      }
    }
  }
  sortServers(config)
  return { config, owners, problems }
}

function byPrecedence({ instance: a }: Contribution, { instance: b }: Contribution): number {
  if (a.node.alive !== b.node.alive) return a.node.alive ? -1 : 1
  return (
    compare(a.node.record.name, b.node.record.name) ||
    compare(a.service.id, b.service.id) ||
    compare(a.node.record.id, b.node.record.id)
  )
}

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

function balancerServers(service: JsonObject): readonly Json[] | undefined {
  const balancer = service.loadBalancer
  return isObject(balancer) && Array.isArray(balancer.servers) ? balancer.servers : undefined
}

function serverKey(server: Json): string {
  return isObject(server) ? String(server.url ?? server.address ?? '') : ''
}

function shareServers(winner: JsonObject, other: JsonObject): void {
  const [servers, more] = [balancerServers(winner), balancerServers(other)]
  if (servers === undefined || more === undefined || !isObject(winner.loadBalancer)) return
  const known = new Set(servers.map(serverKey))
  winner.loadBalancer.servers = [...servers, ...more.filter((server) => !known.has(serverKey(server)))]
}

function withoutServers(object: JsonObject): JsonObject {
  if (balancerServers(object) === undefined || !isObject(object.loadBalancer)) return object
  const { servers: _, ...balancer } = object.loadBalancer
  return Object.assign(newObject(), object, { loadBalancer: balancer })
}

/** Traefik compares lists in order, and another order costs a reload of every service. */
function sortServers(config: JsonObject): void {
  for (const section of Object.values(config)) {
    const services = isObject(section) ? section.services : undefined
    for (const service of Object.values(isObject(services) ? services : {})) {
      if (!isObject(service) || !isObject(service.loadBalancer)) continue
      const servers = balancerServers(service)
      if (servers === undefined) continue
      const byKey = new Map(servers.map((server) => [serverKey(server), server]))
      service.loadBalancer.servers = [...byKey].sort(([a], [b]) => compare(a, b)).map(([, server]) => server)
    }
  }
}

/** A copy deep enough that sharing servers leaves the contribution as it was. */
function structuredCopy(object: JsonObject): JsonObject {
  const copy = Object.assign(newObject(), object)
  if (isObject(copy.loadBalancer)) copy.loadBalancer = Object.assign(newObject(), copy.loadBalancer)
  return copy
}
