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
  return find(context, ids, text, 'peer')
}

/**
 * The identity of the node that `text` names or is: a member, a Raft peer, or one that is cordoned although nobody knows it
 * any more. A name goes to who lives rather than to who left. @throws HttpError 404, 400 as `peerId`
 */
export function nodeId(context: Pick<HttpContext, 'consensus' | 'membership'>, text: string): string {
  const { peers, cordoned } = context.consensus.status()
  const members = context.membership.members()
  const ids = [...members.map(({ id }) => id), ...peers.map(({ id }) => id), ...cordoned]
  const living = members.filter(({ name, status }) => name === text && status === 'alive')
  if (living.length === 1 && !ids.includes(text)) return living[0]?.id ?? text
  return find(context, [...new Set(ids)], text, 'node')
}

function find(
  context: Pick<HttpContext, 'membership'>,
  ids: readonly string[],
  text: string,
  what: 'peer' | 'node',
): string {
  if (ids.includes(text)) return text
  const [id, ...others] = ids.filter((id) => nodeName(context, id) === text)
  if (id === undefined) throw notFound(`no ${what} has the name or id ${JSON.stringify(text)}`)
  if (others.length > 0)
    throw badRequest(`several ${what}s have the name ${text}; give the id: ${[id, ...others].join(', ')}`)
  return id
}
