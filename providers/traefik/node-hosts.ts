import { meets, sameRules } from './duplicates.ts'
import type { Contribution } from './instance.ts'
import { type JsonObject, newObject, sameJson } from './json.ts'
import type { Merged, MergedObject } from './merge.ts'
import { withHost } from './rule.ts'

/** A router and a service for the copies of one service on one node. */
export interface NodeRoute {
  readonly section: 'http' | 'tcp'
  readonly routerName: string
  readonly router: JsonObject
  readonly serviceName: string
  readonly service: JsonObject
  readonly from: Contribution
}

/** A router that has no counterpart for one node, and why. */
export interface NotDerived {
  readonly from: Contribution
  readonly label: string
  readonly what: string
}

/** The routes of single nodes, and which routers have none. */
export interface NodeRouting {
  readonly routes: readonly NodeRoute[]
  readonly notDerived: readonly NotDerived[]
  /** Who a router or service of theirs comes from, by "section.kind.name". */
  readonly ownerOf: (key: string) => Contribution | undefined
}

interface Derived {
  readonly balancer: MergedObject
  /** Null: its rule excludes hosts. */
  readonly routes: readonly NodeRoute[] | null
}

const NO_ROUTES: NodeRouting = { routes: [], notDerived: [], ownerOf: () => undefined }

/**
 * The routes `service.node.domain`: each router that leads to a load balancer is repeated for every node with a copy, its
 * hosts replaced, with the same middlewares, TLS and other conditions. So nothing that labels protect is reachable
 * unprotected under the other name. Where that cannot be told, there is no such route. What has not changed is derived
 * once. For one domain.
 */
export class NodeRoutes {
  readonly #derived = new WeakMap<MergedObject, Derived>()
  readonly #services = new WeakMap<MergedObject, ReadonlyMap<string, NodeService>>()
  #last: { readonly merged: Merged; readonly routing: NodeRouting } | null = null

  /** @param domain null = there are none */
  of(merged: Merged, domain: string | null): NodeRouting {
    if (domain === null) return NO_ROUTES
    if (this.#last?.merged !== merged) this.#last = { merged, routing: this.#route(merged, domain) }
    return this.#last.routing
  }

  #route(merged: Merged, domain: string): NodeRouting {
    const derived: NodeRoute[] = []
    const notDerived: NotDerived[] = []
    for (const router of merged.values()) {
      const { section, kind, value, key, owner } = router
      if (kind !== 'routers' || (section !== 'http' && section !== 'tcp')) continue
      const balancer = merged.get(`${section}.services.${value.service ?? ''}`)
      if (balancer === undefined || balancer.shared === null || !hasHostOfItsOwn(section, value)) continue
      const routes = this.#routesOf(router, section, balancer, domain)
      if (routes !== null) {
        for (const route of routes) derived.push(route)
        continue
      }
      const what = `has no counterpart for single nodes: its rule excludes hosts`
      notDerived.push({ from: owner, label: `traefik.${key}`, what })
    }
    const ambiguous = new Set(sameRules(derived, ({ router }) => router).flatMap(findAmbiguous))
    for (const { from, section, routerName } of ambiguous) {
      const what = 'is left out: another router of the service would answer the same requests differently'
      notDerived.push({ from, label: `traefik.${section}.routers.${routerName}`, what })
    }
    const routes = ambiguous.size === 0 ? derived : derived.filter((route) => !ambiguous.has(route))
    return { routes, notDerived, ownerOf: ownersOf(routes) }
  }

  #routesOf(
    router: MergedObject,
    section: NodeRoute['section'],
    balancer: MergedObject,
    domain: string,
  ): Derived['routes'] {
    const known = this.#derived.get(router)
    if (known?.balancer === balancer) return known.routes
    let services = this.#services.get(balancer)
    if (services === undefined) {
      services = servicesByNode(balancer)
      this.#services.set(balancer, services)
    }
    const routes = deriveRouter(router, section, services, domain)
    this.#derived.set(router, { balancer, routes })
    return routes
  }
}

/** Few documents ask, so it is looked up only then. */
function ownersOf(routes: readonly NodeRoute[]): NodeRouting['ownerOf'] {
  let owners: ReadonlyMap<string, Contribution> | null = null
  return (key) => {
    owners ??= new Map(
      routes.flatMap(({ section, routerName, serviceName, from }) => [
        [`${section}.routers.${routerName}`, from] as const,
        [`${section}.services.${serviceName}`, from] as const,
      ]),
    )
    return owners.get(key)
  }
}

/** A TCP router for any host, or without TLS, has none that could be replaced. */
function hasHostOfItsOwn(section: 'http' | 'tcp', router: JsonObject): boolean {
  if (section === 'http') return true
  const rule = String(router.rule ?? '')
  return (
    router.tls !== undefined && rule.includes('HostSNI') && !rule.includes('`*`') && !rule.includes('"*"')
  )
}

interface NodeService {
  readonly name: string
  /** Its copies on the node are "service.node" below the domain. */
  readonly host: string
  readonly value: JsonObject
  readonly from: Contribution
}

/** The copies of a load balancer on each of its nodes, by name of the node. */
function servicesByNode({ name, value, shared }: MergedObject): ReadonlyMap<string, NodeService> {
  const members = shared?.members.toReversed() ?? []
  const byNode = new Map(members.map((from) => [from.instance.node.record.name, from] as const))
  const sorted = [...byNode].sort(([a], [b]) => (a < b ? -1 : 1))
  return new Map(
    sorted.map(([node, from]) => {
      const copies = shared?.copies.filter(
        (copy) => copy.from.instance.node.record.name === node && copy.from.placement.mirror === undefined,
      )
      const servers = (copies ?? []).map(({ server }) => server)
      const loadBalancer = Object.assign(newObject(), value.loadBalancer, { servers })
      const host = `${hostLabel(name)}.${hostLabel(node)}`
      const service = Object.assign(newObject(), { loadBalancer })
      return [node, { name: `${name}.on.${node}`, host, value: service, from }]
    }),
  )
}

function deriveRouter(
  { name, value }: MergedObject,
  section: NodeRoute['section'],
  services: ReadonlyMap<string, NodeService>,
  domain: string,
): NodeRoute[] | null {
  const routes: NodeRoute[] = []
  const matcher = section === 'http' ? 'Host' : 'HostSNI'
  for (const [node, { name: serviceName, host, value: service, from }] of services) {
    const rule = withHost(String(value.rule ?? ''), matcher, `${host}.${domain}`)
    if (rule === null) return null
    const router: JsonObject = Object.assign(newObject(), value, { rule, service: serviceName })
    routes.push({ section, routerName: `${name}.on.${node}`, router, serviceName, service, from })
  }
  return routes
}

function findAmbiguous(routes: readonly NodeRoute[]): readonly NodeRoute[] {
  return routes.filter((a) =>
    routes.some(
      (b) => a !== b && a.section === b.section && meets(a.router, b.router) && !sameJson(a.router, b.router),
    ),
  )
}

/** What may stand in a host name: everything else becomes "-". Dots stay, for nodes that are named by their domain. */
function hostLabel(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9.-]+/g, '-')
    .replace(/^[-.]+|[-.]+$/g, '')
}
