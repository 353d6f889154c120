import { Type } from 'typebox'
import type { ConsensusStatus } from '../../consensus/client.ts'
import type { Member } from '../../discovery/membership/types.ts'
import type { HttpContext } from './collaborators.ts'
import { nullable } from './nullable.ts'
import { nodeName } from './peers.ts'

const NameOrNull = nullable(Type.String())

/** Schema of what a client says of its feed. */
export const FeedSchema = Type.Object({
  feeder: Type.Union([Type.String(), Type.Null()], {
    description: 'Name of the member that feeds this node',
  }),
  feederId: NameOrNull,
  lag: Type.Integer({ description: 'Entries behind that member' }),
  restarts: Type.Integer({ description: 'Whole states taken over since it became a client' }),
})

/** Schema of what a member says of the clients it feeds. */
export const ClientsSchema = Type.Array(
  Type.Object({ id: Type.String(), name: NameOrNull, lag: Type.Integer() }),
)

/** On a client: who feeds it and how well. */
export function feedJson(context: HttpContext, { feed }: { feed?: ConsensusStatus['feed'] | undefined }) {
  if (feed === undefined) return {}
  const { feeder, lag, restarts } = feed
  return { feed: { feeder: nodeName(context, feeder), feederId: feeder, lag, restarts } }
}

/** On a member that feeds clients: whom, and how far each is behind. */
export function followersJson(
  context: HttpContext,
  { followers }: { followers?: ConsensusStatus['followers'] | undefined },
) {
  if (followers === undefined) return {}
  return { followers: followers.map(({ id, lag }) => ({ id, name: nodeName(context, id), lag })) }
}

/** The role of a member, `asPeer` being what it is in Raft. Clients are no peers; they tell the others who feeds them. */
export function memberRole(
  context: HttpContext,
  member: Member,
  asPeer: string,
): { readonly role: string; readonly fedBy?: string } {
  const { fed } = member.meta
  if (asPeer !== 'none' || fed === undefined) return { role: asPeer }
  const fedBy = fed === '' ? null : nodeName(context, fed)
  return fedBy === null ? { role: 'client' } : { role: 'client', fedBy }
}
