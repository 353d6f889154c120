import { isObject, type Json, type JsonObject, newObject } from './json.ts'
import { type Copy, compareText } from './merge.ts'
import type { Placement } from './placement.ts'
import { isOlder } from './schema-node.ts'
import type { Protocol } from './servers.ts'

/** How the copies of one load balancer become services. */
export interface ComposeOptions {
  readonly protocol: Protocol
  /** Traefik to write for, such as "3.4". */
  readonly release: string
  /** Name of the node the poller runs on; undefined = it did not say. */
  readonly local?: string | undefined
  /** `node.priority` by name of the node; the default is 100. */
  readonly priorities: ReadonlyMap<string, number>
}

/** Services by name, and what of the labels could not be honoured. */
export interface Composed {
  readonly services: ReadonlyMap<string, JsonObject>
  /** Sentences about a label of `from`. */
  readonly remarks: readonly { readonly from: Copy['from']; readonly label: string; readonly what: string }[]
}

/** Priority of a node that says none. */
export const DEFAULT_PRIORITY = 100
const LOCAL_TIER = -1

/**
 * The service `name` over these copies. Without `constellation.*` labels it is one load balancer. Else: mirrors beside the
 * rest, the rest split between canaries and stable copies, each of them in tiers of which the lowest with a copy gets all
 * traffic, each tier shared by weight. Parts are services of their own, `name.part`: no label can give such a name.
 * @param balancer what labels say of the load balancer, without servers
 */
export function composeService(
  name: string,
  balancer: JsonObject,
  copies: readonly Copy[],
  options: ComposeOptions,
): Composed {
  const composer = new Composer(balancer, copies, options)
  composer.service(name)
  return { services: composer.services, remarks: composer.remarks }
}

type Key = keyof Placement

class Composer {
  readonly services = new Map<string, JsonObject>()
  readonly remarks: { from: Copy['from']; label: string; what: string }[] = []
  readonly #balancer: JsonObject
  readonly #copies: readonly Copy[]
  readonly #options: ComposeOptions

  constructor(balancer: JsonObject, copies: readonly Copy[], options: ComposeOptions) {
    this.#balancer = balancer
    this.#copies = copies
    this.#options = options
  }

  service(name: string): void {
    const { protocol } = this.#options
    const mirrors = groups(this.#copies, ({ mirror }) => mirror)
    const live = this.#copies.filter(({ from }) => from.placement.mirror === undefined)
    const percents = [...mirrors.keys()].filter((percent) => percent > 0).sort((a, b) => a - b)
    if (protocol !== 'http') {
      for (const { from } of [...mirrors.values()].flat()) {
        this.#remark(from, 'mirror', `has no meaning for ${protocol}: this copy gets nothing`)
      }
    }
    if (percents.length === 0 || protocol !== 'http') {
      this.#split(name, live)
      return
    }
    this.#split(`${name}.live`, live)
    const list = percents.map((percent) => {
      const part = `${name}.mirror-${percent}`
      this.#balance(part, mirrors.get(percent) ?? [])
      return object({ name: part, percent })
    })
    this.services.set(name, object({ mirroring: object({ service: `${name}.live`, mirrors: list }) }))
  }

  /** Stable copies and canaries. */
  #split(name: string, copies: readonly Copy[]): void {
    const stable = copies.filter(({ from }) => from.placement.canary === undefined)
    const canaries = copies.filter(({ from }) => (from.placement.canary ?? 0) > 0)
    const share = this.#agreed(canaries, 'canary') ?? 0
    const whole = canaries.length === 0 ? stable : stable.length === 0 || share === 100 ? canaries : null
    if (whole !== null) {
      this.#tiers(name, whole)
      return
    }
    this.#tiers(`${name}.stable`, stable)
    this.#tiers(`${name}.canary`, canaries)
    const children = [
      { name: `${name}.stable`, weight: 100 - share },
      { name: `${name}.canary`, weight: share },
    ]
    this.#weighted(name, children)
  }

  #tiers(name: string, copies: readonly Copy[]): void {
    const { local, priorities } = this.#options
    const localFirst = local !== undefined && copies.some(({ from }) => from.placement.localFirst === true)
    const tiers = groups(copies, ({ tier }, node) => {
      if (localFirst && node === local) return LOCAL_TIER
      const byPriority = tier === 'priority' || (localFirst && tier === undefined)
      return byPriority ? (priorities.get(node) ?? DEFAULT_PRIORITY) : ((tier as number | undefined) ?? 0)
    })
    const ordered = [...tiers].sort(([a], [b]) => a - b).map(([, list]) => list)
    const [first = [], ...rest] = ordered
    const errors = this.#failoverErrors(copies)
    const watched = isObject(this.#balancer.healthCheck)
    if (rest.length === 0 || this.#options.protocol !== 'http' || (errors === undefined && !watched)) {
      this.#balance(name, first)
      return
    }
    const parts = ordered.map((_, at) => `${name}.tier-${at}`)
    ordered.forEach((list, at) => {
      this.#balance(parts[at] ?? name, list)
    })
    // Traefik knows one fallback: further tiers hang below it, as `name.after-0` and so on.
    parts.slice(0, -1).forEach((service, at) => {
      const last = at === parts.length - 2
      const fallback = last ? (parts[at + 1] ?? name) : `${name}.after-${at}`
      const failover = object({ service, fallback })
      if (watched) failover.healthCheck = newObject()
      if (errors !== undefined) failover.errors = object({ status: errors })
      this.services.set(at === 0 ? name : `${name}.after-${at - 1}`, object({ failover }))
    })
  }

  /** One load balancer; where the protocol has no weights of servers, one for each weight. */
  #balance(name: string, copies: readonly Copy[]): void {
    const weights = groups(copies, ({ weight }) => weight)
    const lightened = copies.filter(({ from }) => (from.placement.weight ?? 1) > 0)
    if (this.#options.protocol === 'http' || weights.size === 0) {
      const servers = lightened.map(({ server, from }) =>
        weights.size === 0
          ? server
          : Object.assign(newObject(), server, { weight: from.placement.weight ?? 1 }),
      )
      if (weights.size > 0 && this.#balancer.strategy === 'p2c') {
        for (const { from } of copies) this.#remark(from, 'weight', 'has no effect with the strategy p2c')
      }
      this.services.set(name, this.#loadBalancer(servers))
      return
    }
    const parts = groups(lightened, ({ weight }) => weight ?? 1)
    const children = [...parts]
      .sort(([a], [b]) => a - b)
      .map(([weight, list]) => {
        const part = `${name}.weight-${weight}`
        this.services.set(part, this.#loadBalancer(list.map(({ server }) => server)))
        return { name: part, weight: weight * list.length }
      })
    if (children.length === 0) this.services.set(name, this.#loadBalancer([]))
    else this.#weighted(name, children)
  }

  #loadBalancer(servers: readonly JsonObject[]): JsonObject {
    return object({ loadBalancer: Object.assign(newObject(), this.#balancer, { servers }) })
  }

  #weighted(name: string, children: readonly { readonly name: string; readonly weight: number }[]): void {
    const weighted = object({ services: children.map((child) => object(child)) })
    const { protocol, release } = this.#options
    const { healthCheck, sticky } = this.#balancer
    // With it, the share of a part without a healthy server goes to the others. TCP has it since 3.6.
    const may = protocol === 'http' || (protocol === 'tcp' && !isOlder(release, '3.6'))
    if (healthCheck !== undefined && may) weighted.healthCheck = newObject()
    if (isObject(sticky) && isObject(sticky.cookie))
      weighted.sticky = object({ cookie: ownCookie(sticky.cookie) })
    this.services.set(name, object({ weighted }))
  }

  #failoverErrors(copies: readonly Copy[]): readonly string[] | undefined {
    const asked = copies.find(({ from }) => from.placement.failover !== undefined)
    if (asked === undefined) return undefined
    if (!isOlder(this.#options.release, '3.7')) return asked.from.placement.failover
    this.#remark(
      asked.from,
      'failover',
      `needs Traefik 3.7, configured is ${this.#options.release}. It is left out.`,
    )
    return undefined
  }

  /** What the first copy says counts for all; the others are told. */
  #agreed(copies: readonly Copy[], key: 'canary'): number | undefined {
    const [first] = copies.toSorted(
      ({ from: a }, { from: b }) =>
        compareText(a.instance.node.record.name, b.instance.node.record.name) ||
        compareText(a.instance.service.id, b.instance.service.id),
    )
    const agreed = first?.from.placement[key]
    for (const { from } of copies) {
      if (from.placement[key] === agreed) continue
      this.#remark(
        from,
        key,
        `differs from that of ${JSON.stringify(first?.from.instance.node.record.name)}, ${agreed}, which counts for all`,
      )
    }
    return agreed
  }

  #remark(from: Copy['from'], key: Key, what: string): void {
    const label = `constellation.${key === 'localFirst' ? 'local-first' : key}`
    if (this.remarks.some((each) => each.from === from && each.label === label)) return
    this.remarks.push({ from, label, what })
  }
}

/** Copies by a number; those without one are left out. */
function groups(
  copies: readonly Copy[],
  by: (placement: Placement, node: string) => number | undefined,
): Map<number, readonly Copy[]> {
  const result = new Map<number, Copy[]>()
  for (const copy of copies) {
    const number = by(copy.from.placement, copy.from.instance.node.record.name)
    if (number === undefined) continue
    const list = result.get(number)
    if (list === undefined) result.set(number, [copy])
    else list.push(copy)
  }
  return result
}

/** The cookie that chooses the part must not be the one that chooses the server. */
function ownCookie(cookie: JsonObject): JsonObject {
  const { name, ...rest } = cookie
  return Object.assign(newObject(), rest, name === undefined ? {} : { name: `${name}_part` })
}

function object(members: Readonly<Record<string, Json>>): JsonObject {
  return Object.assign(newObject(), members)
}
