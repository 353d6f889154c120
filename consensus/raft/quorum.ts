import type { Configuration, NodeId } from './types.ts'

/** Outcome of an election round. */
export type VoteResult = 'won' | 'lost' | 'pending'

/** Largest index that a majority of `voters` has reached; Infinity for no voters (an empty half agrees with everything). */
export function majorityIndex(voters: readonly NodeId[], indexOf: (id: NodeId) => number): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY
  const sorted = voters.map(indexOf).sort((a, b) => b - a)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

/** Index reached by a majority of both halves of the configuration (paper §6: joint agreement needs both). */
export function jointIndex(configuration: Configuration, indexOf: (id: NodeId) => number): number {
  return Math.min(
    majorityIndex(configuration.voters, indexOf),
    majorityIndex(configuration.votersOutgoing, indexOf),
  )
}

function majorityVote(voters: readonly NodeId[], votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  if (voters.length === 0) return 'won'
  const needed = Math.floor(voters.length / 2) + 1
  let granted = 0
  let open = 0
  for (const id of voters) {
    const vote = votes.get(id)
    if (vote === undefined) open++
    else if (vote) granted++
  }
  if (granted >= needed) return 'won'
  return granted + open >= needed ? 'pending' : 'lost'
}

/** Result of an election: won only with a majority of both halves, lost as soon as one half cannot be won. */
export function jointVote(configuration: Configuration, votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  const incoming = majorityVote(configuration.voters, votes)
  const outgoing = majorityVote(configuration.votersOutgoing, votes)
  if (incoming === outgoing) return incoming
  return incoming === 'lost' || outgoing === 'lost' ? 'lost' : 'pending'
}
