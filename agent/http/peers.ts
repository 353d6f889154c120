import type { HttpContext } from './collaborators.ts'
import { badRequest, notFound } from './errors.ts'

/** The name of a node by its identity; the identity itself while the membership does not know it. */
export function nodeName(context: Pick<HttpContext, 'membership'>, id: string | null): string | null {
  return id === null ? null : (context.membership.get(id)?.name ?? id)
}

/**
 * The identity of the Raft peer that `text` names or is. @throws HttpError 404 if there is none, 400 if several have the
 * name: a node and the dead self it had before.
 */
export function peerId(context: Pick<HttpContext, 'consensus' | 'membership'>, text: string): string {
  const ids = context.consensus.status().peers.map(({ id }) => id)
  if (ids.includes(text)) return text
  const [id, ...others] = ids.filter((id) => nodeName(context, id) === text)
  if (id === undefined) throw notFound(`no peer has the name or id ${JSON.stringify(text)}`)
  if (others.length > 0)
    throw badRequest(`several peers have the name ${text}; give the id: ${[id, ...others].join(', ')}`)
  return id
}
