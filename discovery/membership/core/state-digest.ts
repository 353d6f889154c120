import type { MemberRecord, MemberState, NodeId } from './types.ts'

/**
 * What a node knows, in a few bytes: members fall into buckets by their id, and each bucket is one 32-bit number. Two nodes
 * whose numbers are equal know the same, but for one chance in 2^32 that lasts until one of them learns something.
 */
export type StateDigest = readonly number[]

/** Most buckets of a digest. */
export const BUCKETS_MAX = 1024
const MEMBERS_PER_BUCKET = 4
const STATE_BITS: Readonly<Record<MemberState, number>> = { alive: 0, suspect: 1, failed: 2, left: 3 }

/** A power of two, so that about four members share a bucket: as little as possible is sent when few of them differ. */
export function bucketCount(members: number): number {
  let count = 1
  while (count < BUCKETS_MAX && count * MEMBERS_PER_BUCKET < members) count *= 2
  return count
}

/** The bucket of a member, of `buckets`. */
export function bucketOf(id: NodeId, buckets: number): number {
  return hashOf(id) % buckets
}

/** What is known of these members. Their order does not matter: within a bucket they are added up. */
export function digestOf(members: readonly MemberRecord[], buckets: number): StateDigest {
  const sums = new Uint32Array(buckets)
  for (const { id, incarnation, status } of members) {
    const hash = hashOf(id)
    const version = Math.imul(incarnation, 4) + STATE_BITS[status]
    const at = hash % buckets
    sums[at] = (sums[at] as number) + mix(hash ^ mix(version) ^ mix(Math.floor(incarnation / 2 ** 30)))
  }
  return [...sums]
}

/** Not kept: a thousand ids take 0.4 ms, and there is an exchange in half a minute. */
function hashOf(id: NodeId): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
  return mix(hash)
}

function mix(value: number): number {
  let x = value
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d)
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b)
  return (x ^ (x >>> 16)) >>> 0
}
