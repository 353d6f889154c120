import { findShadowed } from './duplicates.ts'
import { type Contribution, SENTINEL } from './instance.ts'
import { childObject, type JsonObject, newObject } from './json.ts'
import type { Merged } from './merge.ts'
import type { NodeRoute } from './node-hosts.ts'
import { problem, type TraefikProblem } from './problem.ts'
import type { RenderCache } from './render-cache.ts'

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
  /** Who an object comes from, by "section.kind.name". */
  readonly ownerOf: (key: string) => Contribution | undefined
  readonly problems: readonly TraefikProblem[]
}

/**
 * Puts the servers into the load balancers, adds the routes of single nodes and the sentinel, and leaves out routers that
 * others leave no request for. Sections and kinds of the document are new, the objects in them may be those of `merged` and
 * of earlier documents.
 */
export function buildDocument(
  merged: Merged,
  options: DocumentOptions,
  { balancers, nodeRoutes }: Pick<RenderCache, 'balancers' | 'nodeRoutes'>,
): BuiltDocument {
  const document = newObject()
  const parts = new Map<string, Contribution>()
  const problems: TraefikProblem[] = []
  const shadowed = new Map(findShadowed(merged).map((each) => [each.router, each.by]))
  for (const object of merged.values()) {
    for (const each of object.problems) problems.push(each)
    const { section, kind, name, key, owner, value, shared } = object
    const by = shadowed.get(object)
    if (by !== undefined) {
      const what = `has the rule and the entry points of ${by.name}, which is used. It is left out.`
      problems.push(problem('conflict', owner.instance, `traefik.${key}`, what))
      continue
    }
    const objects = childObject(childObject(document, section), kind)
    const balanced = balancers.of(object, options)
    if (balanced === null) {
      objects[name] = value
      continue
    }
    for (const [part, service] of balanced.services) {
      objects[part] = service
      if (part !== name) parts.set(`${section}.services.${part}`, shared?.members[0] ?? owner)
    }
    for (const each of balanced.problems) problems.push(each)
  }
  const routing = nodeRoutes.of(merged, options.nodeHosts ? options.domain : null)
  addNodeRoutes(document, routing.routes)
  for (const { from, label, what } of routing.notDerived)
    problems.push(problem('link', from.instance, label, what))
  addSentinel(document)
  const ownerOf = (key: string) => merged.get(key)?.owner ?? parts.get(key) ?? routing.ownerOf(key)
  return { document, ownerOf, problems }
}

function addNodeRoutes(document: JsonObject, routes: readonly NodeRoute[]): void {
  for (const { section, routerName, router, serviceName, service } of routes) {
    const kinds = childObject(document, section)
    childObject(kinds, 'routers')[routerName] = router
    childObject(kinds, 'services')[serviceName] = service
  }
}

function addSentinel(document: JsonObject): void {
  const middlewares = childObject(childObject(document, 'http'), 'middlewares')
  const headers = childObject(childObject(middlewares, SENTINEL), 'headers')
  childObject(headers, 'customRequestHeaders')['X-Constellation'] = '1'
}
