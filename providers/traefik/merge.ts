import type { Contribution } from './instance.ts'
import { childObject, isObject, type JsonObject, newObject } from './json.ts'
import { problem, type TraefikProblem } from './problem.ts'
import { RenderCache } from './render-cache.ts'

/** One server of a load balancer, and the instance it stands for. */
export interface Copy {
  readonly server: JsonObject
  readonly from: Contribution
}

/** A load balancer that instances share. */
export interface Shared {
  /** Those who declare it, by precedence: also the ones without a server at the moment. */
  readonly members: readonly Contribution[]
  /** Sorted by address, each once: Traefik compares lists in order, and another order costs a reload of every service. */
  readonly copies: readonly Copy[]
}

/** The document of the whole cluster, and who defined what. */
export interface Merged {
  /** Load balancers are without servers. */
  readonly config: JsonObject
  /** By "section.kind.name", such as "http.routers.web". */
  readonly owners: ReadonlyMap<string, Contribution>
  /** Load balancers by "section.services.name". */
  readonly shared: ReadonlyMap<string, Shared>
  readonly problems: readonly TraefikProblem[]
}

/**
 * Joins what the instances add. Load balancers of one name share their servers. Where instances disagree about anything
 * else, the one on an alive node wins over one on a failed node, then the smallest node name, then the smallest instance id:
 * the same on every node, whatever came first. The loser gets a problem.
 */
export function merge(contributions: readonly Contribution[], cache = new RenderCache()): Merged {
  const config = newObject()
  const owners = new Map<string, Contribution>()
  const members = new Map<string, Contribution[]>()
  const problems: TraefikProblem[] = []
  for (const contribution of [...contributions].sort(byPrecedence)) {
    for (const [section, kinds] of Object.entries(contribution.config)) {
      for (const [kind, objects] of Object.entries(isObject(kinds) ? kinds : {})) {
        for (const [name, object] of Object.entries(isObject(objects) ? objects : {})) {
          if (!isObject(object)) continue
          const key = `${section}.${kind}.${name}`
          if (contribution.servers.has(key)) append(members, key, contribution)
          const owner = owners.get(key)
          if (owner === undefined) {
            owners.set(key, contribution)
            childObject(childObject(config, section), kind)[name] = object
            continue
          }
          const winner = childObject(childObject(childObject(config, section), kind), name)
          if (winner === object || cache.json(winner) === cache.json(object)) continue
          const { service, node } = owner.instance
          const what = `differs from the one of ${JSON.stringify(service.id)} on node ${JSON.stringify(node.record.name)}, which is used`
          problems.push(problem('conflict', contribution.instance, `traefik.${key}`, what))
        }
      }
    }
  }
  const shared = new Map(
    [...members].map(([key, list]) => [key, { members: list, copies: copiesOf(key, list) }]),
  )
  return { config, owners, shared, problems }
}

function byPrecedence({ instance: a }: Contribution, { instance: b }: Contribution): number {
  if (a.node.alive !== b.node.alive) return a.node.alive ? -1 : 1
  return (
    compareText(a.node.record.name, b.node.record.name) ||
    compareText(a.service.id, b.service.id) ||
    compareText(a.node.record.id, b.node.record.id)
  )
}

/** By code units: the same on every node, whatever its locale. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

function append(lists: Map<string, Contribution[]>, key: string, value: Contribution): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [value])
  else list.push(value)
}

function copiesOf(key: string, members: readonly Contribution[]): readonly Copy[] {
  const byAddress = new Map<string, Copy>()
  for (const from of members) {
    for (const server of from.servers.get(key) ?? []) {
      const address = String(server.url ?? server.address ?? '')
      if (!byAddress.has(address)) byAddress.set(address, { server, from })
    }
  }
  return [...byAddress].sort(([a], [b]) => compareText(a, b)).map(([, copy]) => copy)
}
