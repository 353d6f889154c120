import type { CatalogInstance, CatalogNode } from '../../discovery/catalog/types.ts'
import { nodeMeta } from './consul-shapes.ts'
import { allParams } from './query.ts'

/** A test for nodes from `?node-meta=key:value`, which may be repeated; all must hold. */
export function nodeMetaFilter(query: unknown): (node: CatalogNode) => boolean {
  const wanted = allParams(query, 'node-meta').map((pair) => {
    const at = pair.indexOf(':')
    return at < 0 ? ([pair, ''] as const) : ([pair.slice(0, at), pair.slice(at + 1)] as const)
  })
  return ({ record }) => {
    const shown = nodeMeta(record)
    return wanted.every(([key, value]) => Object.hasOwn(shown, key) && shown[key] === value)
  }
}

/** A test for instances from `?tag=` (repeatable, all must be there, in any case) and `?node-meta=`. */
export function instanceFilter(query: unknown): (instance: CatalogInstance) => boolean {
  const tags = allParams(query, 'tag')
    .filter((tag) => tag !== '')
    .map((tag) => tag.toLowerCase())
  const nodeMatches = nodeMetaFilter(query)
  return ({ node, service }) =>
    nodeMatches(node) && tags.every((tag) => service.tags.some((other) => other.toLowerCase() === tag))
}
