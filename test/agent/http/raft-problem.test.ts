import t from 'tap'
import { raftProblem } from '../../../agent/http/raft-problem.ts'
import type { ConsensusStatus } from '../../../consensus/client.ts'
import { FakeConsensus } from './fake-consensus.ts'

/** What is said of voters a, b, c …, of which the `answering` ones answer. */
function problem(
  voters: string,
  answering: string,
  differences: Partial<ConsensusStatus> = {},
): string | null {
  const status = new FakeConsensus().status()
  const [peer] = status.peers
  if (peer === undefined) throw new Error('a peer')
  const peers = [...voters].map((id) => ({ ...peer, id, voter: true }))
  return raftProblem(
    { ...status, leader: null, peers, ...differences },
    (id) => id.toUpperCase(),
    (id) => answering.includes(id),
  )
}

t.test('without a leader it says how many answer, how many are needed and who is silent', async (t) => {
  t.equal(problem('abc', 'a'), 'no leader: 1 of 3 voters answer, 2 are needed; silent: B, C')
  t.equal(problem('ab', 'a'), 'no leader: 1 of 2 voters answer, 2 are needed; silent: B')
  t.equal(problem('abc', 'ab'), 'no leader: 2 of 3 voters answer, which is enough: an election is under way')
  t.equal(problem('', ''), 'no leader: this node has not heard from its cluster yet')
})

t.test('during a joint change both majorities are needed', async (t) => {
  const joint = { incoming: ['a', 'd', 'e'], outgoing: ['a', 'b', 'c'] }
  t.equal(problem('abcde', 'abc', { joint }), 'no leader: 1 of 3 voters answer, 2 are needed; silent: D, E')
  t.equal(
    problem('abcde', 'a', { joint }),
    'no leader: 1 of 3 voters answer, 2 are needed; silent: D, E; and 1 of 3 voters answer, 2 are needed; silent: B, C',
  )
})

t.test('with a leader only what is silent is worth a word', async (t) => {
  t.equal(problem('abc', 'abc', { leader: 'a' }), null)
  t.equal(problem('abc', 'ab', { leader: 'a' }), 'voters that do not answer this node: C')
})

t.test('what this node is not part of', async (t) => {
  t.equal(problem('', '', { clusterId: null }), 'this node belongs to no cluster yet')
  t.match(problem('abc', 'abc', { leader: 'a', role: 'none' }), /no member of the Raft group/)
  t.match(problem('abc', 'abc', { failure: 'disk full' }), /has stopped on this node: disk full/)
  t.match(problem('abc', 'abc', { supersededBy: 'x+1-0' }), /recovered without it as x\+1-0/)
})
