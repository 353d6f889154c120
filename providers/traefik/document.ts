import { type ComposeOptions, composeService } from './compose.ts'
import { findShadowed } from './duplicates.ts'
import { type Contribution, SENTINEL } from './instance.ts'
import { childObject, isObject, type JsonObject, newObject } from './json.ts'
import type { Merged } from './merge.ts'
import { nodeRoutes } from './node-hosts.ts'
import { problem, type TraefikProblem } from './problem.ts'
import type { Protocol } from './servers.ts'

/** Settings of what is made out of the merged labels. */
export interface DocumentOptions {
  readonly release: string
  /** Null = no hosts are made up. */
  readonly domain: string | null
  /** Whether there are routes `service.node.domain`; needs a domain. */
  readonly nodeHosts: boolean
  readonly local?: string | undefined
  readonly priorities: ReadonlyMap<string, number>
}

/** The document before the last gate. */
export interface BuiltDocument {
  readonly document: JsonObject
  /** Who each object comes from, by "section.kind.name". */
  readonly owners: ReadonlyMap<string, Contribution>
  readonly problems: readonly TraefikProblem[]
}

/**
 * Puts the servers into the load balancers, adds the routes of single nodes and the sentinel, and leaves out routers that
 * others leave no request for. Shares what is unchanged with `merged`, which stays as it is.
 */
export function buildDocument(merged: Merged, options: DocumentOptions): BuiltDocument {
  const document = shallowCopy(merged.config)
  const owners = new Map(merged.owners)
  const problems: TraefikProblem[] = []
  for (const { key, by } of findShadowed(merged)) {
    const owner = merged.owners.get(key)
    if (owner === undefined) continue
    removeAt(document, key)
    const [, , name] = splitKey(by)
    const what = `has the rule and the entry points of ${name}, which is used. It is left out.`
    problems.push(problem('conflict', owner.instance, `traefik.${key}`, what))
  }
  for (const [key, { members, copies }] of merged.shared) {
    const [section, , name] = splitKey(key)
    const services = childObject(childObject(document, section), 'services')
    const service = services[name]
    const [first] = members
    if (first === undefined || !isObject(service) || !isObject(service.loadBalancer)) continue
    // A second type beside the load balancer is a mistake that is reported as such.
    const { loadBalancer, ...others } = service
    const composed = composeService(
      name,
      loadBalancer as JsonObject,
      copies,
      composeOptions(section, options),
    )
    for (const [part, value] of composed.services) {
      services[part] = part === name ? Object.assign(newObject(), others, value) : value
      if (part !== name) owners.set(`${section}.services.${part}`, first)
    }
    for (const { from, label, what } of composed.remarks) {
      problems.push(problem('unused', from.instance, label, what))
    }
  }
  if (options.domain !== null && options.nodeHosts)
    addNodeRoutes(document, merged, options.domain, { owners, problems })
  addSentinel(document)
  return { document, owners, problems }
}

function composeOptions(section: string, { release, local, priorities }: DocumentOptions): ComposeOptions {
  return { protocol: section as Protocol, release, local, priorities }
}

function addNodeRoutes(
  document: JsonObject,
  merged: Merged,
  domain: string,
  { owners, problems }: { readonly owners: Map<string, Contribution>; readonly problems: TraefikProblem[] },
): void {
  const { routes, notDerived } = nodeRoutes(merged, domain)
  for (const { section, routerName, router, serviceName, service, from } of routes) {
    const kinds = childObject(document, section)
    childObject(kinds, 'routers')[routerName] = router
    childObject(kinds, 'services')[serviceName] = service
    owners.set(`${section}.routers.${routerName}`, from)
    owners.set(`${section}.services.${serviceName}`, from)
  }
  for (const { from, label, what } of notDerived) problems.push(problem('link', from.instance, label, what))
}

function addSentinel(document: JsonObject): void {
  const middlewares = childObject(childObject(document, 'http'), 'middlewares')
  const headers = childObject(childObject(middlewares, SENTINEL), 'headers')
  childObject(headers, 'customRequestHeaders')['X-Constellation'] = '1'
}

/** Sections and kinds are copied, the objects in them shared. */
function shallowCopy(config: JsonObject): JsonObject {
  const copy = newObject()
  for (const [section, kinds] of Object.entries(config)) {
    copy[section] = newObject()
    for (const [kind, objects] of Object.entries(isObject(kinds) ? kinds : {})) {
      childObject(copy, section)[kind] = Object.assign(newObject(), objects)
    }
  }
  return copy
}

function removeAt(document: JsonObject, key: string): void {
  const [section, kind, name] = splitKey(key)
  delete childObject(childObject(document, section), kind)[name]
}

function splitKey(key: string): readonly [section: string, kind: string, name: string] {
  const [section = '', kind = '', ...name] = key.split('.')
  return [section, kind, name.join('.')]
}
