import type { Contribution, Declared } from './instance.ts'
import { type JsonObject, sameJson } from './json.ts'
import { problem, type TraefikProblem } from './problem.ts'

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

/** An object of the document of the whole cluster. */
export interface MergedObject extends Declared {
  /** Who declares it, in the order they were given. */
  readonly declarers: readonly Contribution[]
  /** Whose `value` counts. */
  readonly owner: Contribution
  /** Null if it is no load balancer. The servers are not in `value`. */
  readonly shared: Shared | null
  readonly problems: readonly TraefikProblem[]
}

/** The document of the whole cluster, and who defined what, by "section.kind.name", such as "http.routers.web". */
export type Merged = ReadonlyMap<string, MergedObject>

/**
 * Joins what the instances add. Load balancers of one name share their servers. Where instances disagree about anything
 * else, the one on an alive node wins over one on a failed node, then the smallest node name, then the smallest instance id:
 * the same on every node, whatever came first. The loser gets a problem.
 * @param before an earlier result: what the same instances declare is taken from it as it is
 */
export function merge(contributions: readonly Contribution[], before: Merged | null = null): Merged {
  const declarers = new Map<string, Contribution[]>()
  for (const contribution of contributions) {
    for (const { key } of contribution.declared) {
      const list = declarers.get(key)
      if (list === undefined) declarers.set(key, [contribution])
      else list.push(contribution)
    }
  }
  const merged = new Map<string, MergedObject>()
  for (const [key, list] of declarers) {
    const known = before?.get(key)
    merged.set(key, known !== undefined && sameItems(known.declarers, list) ? known : mergeObject(key, list))
  }
  return merged
}

function mergeObject(key: string, declarers: readonly Contribution[]): MergedObject {
  const [owner, ...others] = declarers.toSorted(byPrecedence) as [Contribution, ...Contribution[]]
  const declared = declaration(owner, key)
  const { service, node } = owner.instance
  const problems = others.flatMap((other) => {
    if (sameJson(declared.value, declaration(other, key).value)) return []
    const what = `differs from the one of ${JSON.stringify(service.id)} on node ${JSON.stringify(node.record.name)}, which is used`
    return [problem('conflict', other.instance, `traefik.${key}`, what)]
  })
  const members = [owner, ...others].filter(({ servers }) => servers.has(key))
  const shared = members.length === 0 ? null : { members, copies: copiesOf(key, members) }
  return { ...declared, declarers, owner, shared, problems }
}

function declaration({ declared }: Contribution, key: string): Declared {
  return declared.find((each) => each.key === key) as Declared
}

function sameItems(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((item, at) => item === b[at])
}

/** The order of {@link merge} between instances. */
export function byPrecedence({ instance: a }: Contribution, { instance: b }: Contribution): number {
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
