import type { Catalog } from '../../discovery/catalog/types.ts'
import { gate } from './gate.ts'
import { contributionOf, type InstanceOptions, SENTINEL } from './instance.ts'
import { canonicalJson, childObject, type JsonObject, newObject } from './json.ts'
import { type Merged, merge } from './merge.ts'
import { problem, type TraefikProblem } from './problem.ts'
import { findDangling } from './references.ts'

/** Settings of the document. */
export type RenderOptions = InstanceOptions

/** The document Traefik polls, and what an operator should know about it. */
export interface Rendered {
  readonly body: string
  /** Sorted by service, node, instance, label. */
  readonly problems: readonly TraefikProblem[]
  readonly counts: { readonly routers: number; readonly services: number; readonly servers: number }
}

/**
 * The dynamic configuration for Traefik's HTTP provider, out of the labels of every instance in the catalogue. A pure
 * view: the same records and options give the same bytes on every node. It is never empty (a sentinel middleware is always
 * there, because `{}` would remove every route), holds only what labels ask for, and passes the strict decoder.
 */
export function renderTraefik(catalog: Catalog, options: RenderOptions): Rendered {
  const contributions = [...catalog.services().keys()]
    .flatMap((service) => catalog.instances(service))
    .map((instance) => contributionOf(instance, options))
  const merged = merge(contributions)
  const { document, quarantined } = gate(
    withSentinel(merged.config),
    options.release === undefined ? {} : { release: options.release },
  )
  const problems = [
    ...contributions.flatMap((contribution) => contribution.problems),
    ...merged.problems,
    ...quarantined.flatMap(({ key, issue }) =>
      ofOwner(merged, key, 'invalid', `was left out: Traefik would reject it (${issue.message})`),
    ),
    ...findDangling(document).flatMap(({ key, message }) => ofOwner(merged, key, 'reference', message)),
  ]
  return { body: canonicalJson(document), problems: problems.sort(byPlace), counts: count(document) }
}

function withSentinel(config: JsonObject): JsonObject {
  const document = Object.assign(newObject(), config)
  document.http = Object.assign(newObject(), config.http)
  const http = childObject(document, 'http')
  http.middlewares = Object.assign(newObject(), http.middlewares)
  const headers = childObject(childObject(childObject(http, 'middlewares'), SENTINEL), 'headers')
  childObject(headers, 'customRequestHeaders')['X-Constellation'] = '1'
  return document
}

function ofOwner(
  merged: Merged,
  key: string,
  code: 'invalid' | 'reference',
  message: string,
): TraefikProblem[] {
  const owner = merged.owners.get(key)
  return owner === undefined ? [] : [problem(code, owner.instance, `traefik.${key}`, message)]
}

function byPlace(a: TraefikProblem, b: TraefikProblem): number {
  const [left, right] = [a, b].map((p) => [p.service, p.node, p.instance, p.label, p.message].join('\0'))
  if (left === right || left === undefined || right === undefined) return 0
  return left < right ? -1 : 1
}

function count(document: JsonObject): Rendered['counts'] {
  const counts = { routers: 0, services: 0, servers: 0 }
  for (const section of Object.keys(document)) {
    const kinds = childObject(document, section)
    counts.routers += Object.keys(kinds.routers ?? {}).length
    for (const service of Object.values((kinds.services ?? {}) as JsonObject)) {
      counts.services += 1
      const balancer = (service as JsonObject).loadBalancer as JsonObject | undefined
      counts.servers += Array.isArray(balancer?.servers) ? balancer.servers.length : 0
    }
  }
  return counts
}
