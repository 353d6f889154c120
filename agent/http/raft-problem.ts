import type { ConsensusStatus } from '../../consensus/client.ts'

/**
 * What is wrong with Raft as this node sees it, in one line; null if nothing is. `nameOf`: what people call a node;
 * `answers`: whether a voter can be spoken with.
 */
export function raftProblem(
  status: ConsensusStatus,
  nameOf: (id: string) => string,
  answers: (id: string) => boolean,
): string | null {
  if (status.failure !== null) return `consensus has stopped on this node: ${status.failure}`
  if (status.supersededBy !== null) {
    return `this node's cluster was recovered without it as ${status.supersededBy}: stop it, move its data directory away and start it as a new node`
  }
  if (status.clusterId === null) return 'this node belongs to no cluster yet'
  if (status.leader === null) return noLeader(status, nameOf, answers)
  if (status.role === 'none')
    return 'this node is no member of the Raft group; it asks the leader to take it in again'
  // A client needs to hear the one that feeds it, and its peers are those of whom it was told.
  if (status.role === 'client') return null
  const silent = namesOf(votersOf(status)[0] ?? [], (id) => !answers(id), nameOf)
  return silent === '' ? null : `voters that do not answer this node: ${silent}`
}

/** The majorities that must agree: one, or two during a joint change. */
function votersOf({ joint, peers }: ConsensusStatus): readonly (readonly string[])[] {
  if (joint !== null) return [joint.incoming, joint.outgoing]
  return [peers.filter(({ voter }) => voter).map(({ id }) => id)]
}

function namesOf(
  ids: readonly string[],
  which: (id: string) => boolean,
  nameOf: (id: string) => string,
): string {
  return ids.filter(which).map(nameOf).sort().join(', ')
}

function noLeader(
  status: ConsensusStatus,
  nameOf: (id: string) => string,
  answers: (id: string) => boolean,
): string {
  const halves = votersOf(status)
  if (halves.every((voters) => voters.length === 0))
    return 'no leader: this node has not heard from its cluster yet'
  const sentences = halves.flatMap((voters) => {
    const count = voters.filter(answers).length
    const needed = Math.floor(voters.length / 2) + 1
    if (count >= needed) return []
    const silent = namesOf(voters, (id) => !answers(id), nameOf)
    return [`${count} of ${voters.length} voters answer, ${needed} are needed; silent: ${silent}`]
  })
  if (sentences.length > 0) return `no leader: ${sentences.join('; and ')}`
  const [voters = []] = halves
  const count = voters.filter(answers).length
  return `no leader: ${count} of ${voters.length} voters answer, which is enough: an election is under way`
}
