import { compareInstances } from '../../discovery/catalog/service-index.ts'
import type { Catalog, CatalogInstance, CatalogNode } from '../../discovery/catalog/types.ts'

/**
 * The instances of a service, whose case does not count (as in Consul's catalogue): those of every spelling of its name,
 * sorted by node, then id.
 */
export function instancesOf(
  catalog: Pick<Catalog, 'spellings' | 'instances'>,
  service: string,
): readonly CatalogInstance[] {
  const [only, ...others] = catalog.spellings('service', service)
  if (only === undefined) return []
  if (others.length === 0) return catalog.instances(only)
  return [only, ...others].flatMap((name) => catalog.instances(name)).sort(compareInstances)
}

/** The node of this name; the first that has it but for case, if none has exactly it. */
export function nodeNamed(
  catalog: Pick<Catalog, 'spellings' | 'node'>,
  name: string,
): CatalogNode | undefined {
  const exact = catalog.node(name)
  if (exact !== undefined) return exact
  const [other] = catalog.spellings('node', name)
  return other === undefined ? undefined : catalog.node(other)
}
