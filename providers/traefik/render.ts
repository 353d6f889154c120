import type { Catalog, CatalogInstance } from '../../discovery/catalog/types.ts'
import { type BuiltDocument, buildDocument } from './document.ts'
import { gate, type Quarantined } from './gate.ts'
import { type Contribution, contributionOf, type InstanceOptions } from './instance.ts'
import { childObject, type JsonObject } from './json.ts'
import type { Merged } from './merge.ts'
import { problem, type TraefikProblem } from './problem.ts'
import { findDangling } from './references.ts'
import { RenderCache } from './render-cache.ts'
import { NEWEST_RELEASE } from './schema.ts'

/** Settings of the document. */
export interface RenderOptions extends InstanceOptions {
  /** Whether there are routes `service.node.domain` besides; needs a domain. Default true. */
  readonly nodeHosts?: boolean
}

/** What differs between the documents of one node. */
export interface RenderVariant {
  /** Name of the node the poller runs on, for services that are to be reached there first. */
  readonly local?: string
  /** `node.priority` by name of the node; 100 where it is missing. */
  readonly priorities?: ReadonlyMap<string, number>
  /** Of earlier renderings for the same release. */
  readonly cache?: RenderCache
}

/** How a document came to be. */
export interface RenderTrace {
  readonly contributions: readonly Contribution[]
  readonly merged: Merged
  readonly built: BuiltDocument
  /** What is served. */
  readonly document: JsonObject
  readonly quarantined: readonly Quarantined[]
}

/** The document Traefik polls, and what an operator should know about it. */
export interface Rendered {
  readonly body: string
  /** Sorted by service, node, instance, label. */
  readonly problems: readonly TraefikProblem[]
  readonly counts: { readonly routers: number; readonly services: number; readonly servers: number }
  readonly trace: RenderTrace
}

/**
 * The dynamic configuration for Traefik's HTTP provider, out of the labels of every instance in the catalogue. A pure
 * view: the same records and options give the same bytes on every node. It is never empty (a sentinel middleware is always
 * there, because `{}` would remove every route), holds only what labels ask for, and passes the strict decoder.
 */
export function renderTraefik(
  catalog: Pick<Catalog, 'services' | 'instances'>,
  options: RenderOptions,
  variant: RenderVariant = {},
): Rendered {
  const contributions = instancesOf(catalog).map((instance) => contributionOf(instance, options))
  return renderContributions(contributions, options, variant)
}

/** Every instance of the catalogue, the same list in any order of registration but that within a service. */
export function instancesOf(catalog: Pick<Catalog, 'services' | 'instances'>): readonly CatalogInstance[] {
  return [...catalog.services().keys()].flatMap((service) => catalog.instances(service))
}

/** The second half of {@link renderTraefik}: the document out of what the instances add, in any order. */
export function renderContributions(
  contributions: readonly Contribution[],
  options: RenderOptions,
  variant: RenderVariant = {},
): Rendered {
  const cache = variant.cache ?? new RenderCache()
  const merged = cache.merge(contributions)
  const release = options.release ?? NEWEST_RELEASE
  const settings = {
    release,
    domain: options.domain ?? null,
    nodeHosts: options.nodeHosts ?? true,
    local: variant.local,
    priorities: variant.priorities ?? new Map(),
  }
  const built = buildDocument(merged, settings, cache)
  const { document, quarantined } = gate(built.document, { release }, cache.objects)
  const dangling = findDangling(document, (kind, object) => cache.objects.references(kind, object))
  const problems = [
    ...contributions.flatMap((contribution) => contribution.problems),
    ...built.problems,
    ...quarantined.flatMap(({ key, issue }) =>
      ofOwner(built, key, 'invalid', `was left out: Traefik would reject it (${issue.message})`),
    ),
    ...dangling.flatMap(({ key, message }) => ofOwner(built, key, 'reference', message)),
  ]
  return {
    body: cache.objects.documentJson(document),
    problems: sorted(ofThePresent(problems, contributions)),
    counts: count(document),
    trace: { contributions, merged, built, document, quarantined },
  }
}

/** Of what is gone nobody can mend the labels. */
function ofThePresent(
  problems: readonly TraefikProblem[],
  contributions: readonly Contribution[],
): readonly TraefikProblem[] {
  if (problems.length === 0) return problems
  const gone = new Set(contributions.flatMap(({ gone, instance }) => (gone ? [instance.service.id] : [])))
  return gone.size === 0 ? problems : problems.filter(({ instance }) => !gone.has(instance))
}

function ofOwner(
  { ownerOf }: BuiltDocument,
  key: string,
  code: 'invalid' | 'reference',
  message: string,
): TraefikProblem[] {
  const owner = ownerOf(key)
  return owner === undefined ? [] : [problem(code, owner.instance, `traefik.${key}`, message)]
}

function sorted(problems: readonly TraefikProblem[]): readonly TraefikProblem[] {
  return problems
    .map((each) => ({
      each,
      place: [each.service, each.node, each.instance, each.label, each.message].join('\0'),
    }))
    .sort((a, b) => (a.place === b.place ? 0 : a.place < b.place ? -1 : 1))
    .map(({ each }) => each)
}

function count(document: JsonObject): Rendered['counts'] {
  const counts = { routers: 0, services: 0, servers: 0 }
  for (const section of Object.keys(document)) {
    const kinds = childObject(document, section)
    counts.routers += Object.keys(kinds.routers ?? {}).length
    const services = (kinds.services ?? {}) as JsonObject
    for (const name in services) {
      counts.services += 1
      const balancer = (services[name] as JsonObject).loadBalancer as JsonObject | undefined
      counts.servers += Array.isArray(balancer?.servers) ? balancer.servers.length : 0
    }
  }
  return counts
}
