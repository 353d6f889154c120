import type { FastifyRequest } from 'fastify'
import type { CatalogNode } from '../../discovery/catalog/types.ts'
import type { PeerId } from '../../discovery/mesh/types.ts'
import type { CatalogContext } from './collaborators.ts'
import { nodeNamed } from './lookups.ts'
import { firstParam } from './query.ts'

/** Something that is on a node of the catalogue. */
type Placed = { readonly node: CatalogNode }

/**
 * What `?near=` asks for: the node of this name, `_agent` the one that is asked, `_ip` the one the request came from. Answers
 * a way to sort by the round trip time from there as the coordinates of the nodes tell it. Nodes without a coordinate come
 * last; those that are as near keep their order. Nothing is sorted from a node that is unknown.
 */
export function nearestFirst(
  context: CatalogContext,
  request: FastifyRequest,
): <T extends Placed>(items: readonly T[]) => readonly T[] {
  const near = firstParam(request.query, 'near') ?? ''
  if (near === '') return (items) => items
  return (items) => {
    const from = originOf(context, request, near)
    if (from === null) return items
    const distance = new Map<PeerId, number>()
    for (const { node } of items) {
      const { id } = node.record
      if (!distance.has(id))
        distance.set(id, id === from ? 0 : (context.membership.rttMs(from, id) ?? Infinity))
    }
    const of = ({ node }: Placed): number => distance.get(node.record.id) ?? Infinity
    // Infinity minus itself is no number, so that the two are compared.
    return items.toSorted((a, b) => (of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : 0))
  }
}

function originOf(
  { catalog, membership }: CatalogContext,
  request: FastifyRequest,
  near: string,
): PeerId | null {
  if (near === '_agent') return membership.local().id
  if (near !== '_ip') return nodeNamed(catalog, near)?.record.id ?? null
  const address = (request.ip ?? '').replace(/^::ffff:(?=\d+\.)/, '')
  return catalog.nodes().find(({ record }) => record.address === address)?.record.id ?? null
}
