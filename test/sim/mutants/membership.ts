import type { Mutant } from './mutant.ts'

const RAFT = 'consensus/raft/raft.ts'
const LEADERSHIP = 'consensus/raft/leadership.ts'
const NODE = 'consensus/node.ts'

/** Changes of the configuration and who belongs to it. */
export const membershipMutants: readonly Mutant[] = [
  {
    name: 'change-unguarded',
    catalogue: 'B2',
    sentence: 'a change is proposed before the leader has committed an entry of its own term',
    edits: [
      {
        file: LEADERSHIP,
        from: 'const pending = this.#pendingConfigIndex > this.#log.appliedIndex || !this.#committedInTerm()',
        to: 'const pending = this.#pendingConfigIndex > this.#log.appliedIndex',
      },
      {
        file: LEADERSHIP,
        from: 'this.#pendingConfigIndex = this.#log.lastIndex\n',
        to: '\n',
      },
    ],
    foundBy: { seeds: 200 },
  },
  {
    name: 'two-changes-in-flight',
    catalogue: 'B3',
    sentence: 'a change is proposed while another is not applied yet',
    edits: [
      {
        file: LEADERSHIP,
        from: 'const pending = this.#pendingConfigIndex > this.#log.appliedIndex || !this.#committedInTerm()',
        to: 'const pending = !this.#committedInTerm()',
      },
    ],
    foundBy: { seeds: 30 },
  },
  {
    name: 'configuration-not-from-snapshot',
    catalogue: 'B11',
    sentence: 'a node that takes over a snapshot keeps its old configuration',
    edits: [{ file: RAFT, from: 'this.configuration = snapshot.configuration\n', to: '\n' }],
    foundBy: { seeds: 30 },
  },
  {
    name: 'change-not-awaited',
    catalogue: 'B11',
    sentence: 'a node campaigns although a committed change is not applied yet',
    edits: [{ file: RAFT, from: ' && !this.log.hasUnappliedChange()', to: '' }],
    foundBy: { test: 'test/consensus/raft/catalogue.test.ts' },
  },
  {
    name: 'one-half-of-joint',
    catalogue: 'B13',
    sentence: 'in a joint configuration the new half decides alone',
    edits: [
      {
        file: 'consensus/raft/quorum.ts',
        from: 'const outgoing = majorityVote(configuration.votersOutgoing, votes)',
        to: 'const outgoing = incoming',
      },
      {
        file: 'consensus/raft/quorum.ts',
        from: 'majorityIndex(configuration.votersOutgoing, indexOf),',
        to: 'Number.POSITIVE_INFINITY,',
      },
    ],
    foundBy: { seeds: 250 },
  },
  {
    name: 'removed-candidate-leads',
    catalogue: '',
    sentence: 'a candidate that learns of its own removal is elected',
    edits: [
      {
        file: RAFT,
        from: "if (this.role !== 'follower' && !isVoter(configuration, this.id)) this.#becomeFollower(this.term, '')",
        to: "if (this.role === 'leader' && !isVoter(configuration, this.id)) this.#becomeFollower(this.term, '')",
      },
    ],
    foundBy: { test: 'test/consensus/scripts/scripts.test.ts' },
  },
  {
    name: 'wiped-node-admitted',
    catalogue: 'B24',
    sentence: 'a voter that lost its log is taken in again under its old identity',
    edits: [
      {
        file: NODE,
        from: 'if (empty && this.#replica.members.mustRemember(from)) {',
        to: "if (empty && from === '') {",
      },
    ],
    foundBy: { test: 'test/consensus/replica.test.ts', slow: true },
  },
]
