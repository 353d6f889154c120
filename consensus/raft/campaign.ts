import { allNodes, isVoter } from './configuration.ts'
import type { RaftLog } from './log.ts'
import type { Outgoing } from './outgoing.ts'
import type { Configuration, MessageType, NodeId } from './types.ts'

/** Why votes are asked for: to see whether an election could be won, to win it, or because a leader hands over. */
export type CampaignKind = 'preVote' | 'vote' | 'transfer'

/** Asks every voter for its vote in `term`, this node too. */
export function askForVotes(
  kind: CampaignKind,
  candidate: {
    readonly id: NodeId
    readonly term: number
    readonly log: RaftLog
    readonly configuration: Configuration
  },
  outgoing: Outgoing,
): void {
  const { id: self, term, log, configuration } = candidate
  const pre = kind === 'preVote'
  const type: MessageType = pre ? 'preVote' : 'vote'
  const request = { term, index: log.lastIndex, logTerm: log.lastTerm, transfer: kind === 'transfer' }
  for (const id of allNodes(configuration)) {
    if (!isVoter(configuration, id)) continue
    // Its own vote counts only once it is durable (catalogue B5).
    if (id === self) outgoing.sendAfterPersist(pre ? 'preVoteResponse' : 'voteResponse', id, { term })
    else if (pre) outgoing.send(type, id, request)
    // Nor may the others elect it before. Example: three of five vote, it leads and sends entry (9, term 4), crashes with
    // term 3 on its disk, is elected in term 4 by two of them again, and sends another entry (9, term 4). A vote is also
    // given for the log in the request: what that names must be durable too.
    else outgoing.sendAfterPersist(type, id, request)
  }
}
