import { byRule, meets, sameRouter } from './duplicates.ts'
import type { Contribution } from './instance.ts'
import { isObject, type JsonObject, newObject } from './json.ts'
import type { Merged, Shared } from './merge.ts'
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

/**
 * The routes `service.node.domain`: each router that leads to a load balancer is repeated for every node with a copy, its
 * hosts replaced, with the same middlewares, TLS and other conditions. So nothing that labels protect is reachable
 * unprotected under the other name. Where that cannot be told, there is no such route.
 */
export function nodeRoutes(
  merged: Merged,
  domain: string,
): { readonly routes: readonly NodeRoute[]; readonly notDerived: readonly NotDerived[] } {
  const derived: NodeRoute[] = []
  const notDerived: NotDerived[] = []
  for (const section of ['http', 'tcp'] as const) {
    for (const [name, router] of members(merged.config, section)) {
      const owner = merged.owners.get(`${section}.routers.${name}`)
      const service = String(router.service ?? '')
      const shared = merged.shared.get(`${section}.services.${service}`)
      if (owner === undefined || shared === undefined || !hasHostOfItsOwn(section, router)) continue
      const found = deriveRouter(section, name, router, { service, shared, domain, merged })
      if (found === null) {
        const what = `has no counterpart for single nodes: its rule excludes hosts`
        notDerived.push({ from: owner, label: `traefik.${section}.routers.${name}`, what })
      } else derived.push(...found)
    }
  }
  const ambiguous = new Set([...byRule(derived).values()].flatMap(findAmbiguous))
  for (const { from, section, routerName } of ambiguous) {
    const what = 'is left out: another router of the service would answer the same requests differently'
    notDerived.push({ from, label: `traefik.${section}.routers.${routerName}`, what })
  }
  return { routes: derived.filter((route) => !ambiguous.has(route)), notDerived }
}

/** A TCP router for any host, or without TLS, has none that could be replaced. */
function hasHostOfItsOwn(section: 'http' | 'tcp', router: JsonObject): boolean {
  if (section === 'http') return true
  const rule = String(router.rule ?? '')
  return (
    router.tls !== undefined && rule.includes('HostSNI') && !rule.includes('`*`') && !rule.includes('"*"')
  )
}

interface Around {
  readonly service: string
  readonly shared: Shared
  readonly domain: string
  readonly merged: Merged
}

function deriveRouter(
  section: 'http' | 'tcp',
  name: string,
  router: JsonObject,
  { service, shared, domain, merged }: Around,
): NodeRoute[] | null {
  const routes: NodeRoute[] = []
  const balancer = objectAt(merged.config, section, 'services', service).loadBalancer
  const byNode = new Map(
    shared.members.toReversed().map((from) => [from.instance.node.record.name, from] as const),
  )
  for (const [node, from] of [...byNode].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const host = `${hostLabel(service)}.${hostLabel(node)}.${domain}`
    const rule = withHost(String(router.rule ?? ''), section === 'http' ? 'Host' : 'HostSNI', host)
    if (rule === null) return null
    const serviceName = `${service}.on.${node}`
    const servers = shared.copies
      .filter(
        (copy) => copy.from.instance.node.record.name === node && copy.from.placement.mirror === undefined,
      )
      .map(({ server }) => server)
    routes.push({
      section,
      routerName: `${name}.on.${node}`,
      router: Object.assign(newObject(), router, { rule, service: serviceName }),
      serviceName,
      service: Object.assign(newObject(), {
        loadBalancer: Object.assign(newObject(), balancer, { servers }),
      }),
      from,
    })
  }
  return routes
}

function findAmbiguous(routes: readonly NodeRoute[]): readonly NodeRoute[] {
  return routes.filter((a) =>
    routes.some(
      (b) =>
        a !== b && a.section === b.section && meets(a.router, b.router) && !sameRouter(a.router, b.router),
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

function members(config: JsonObject, section: string): [string, JsonObject][] {
  return Object.entries(objectAt(config, section, 'routers')).flatMap(([name, value]) =>
    isObject(value) ? [[name, value] satisfies [string, JsonObject]] : [],
  )
}

function objectAt(root: JsonObject, ...path: readonly string[]): JsonObject {
  let at = root
  for (const key of path) {
    const next = at[key]
    if (!isObject(next)) return newObject()
    at = next
  }
  return at
}
