import type { Mutant } from './mutant.ts'

const RAFT = 'consensus/raft/raft.ts'
const CAMPAIGN = 'consensus/raft/campaign.ts'
const REPLICATION = 'consensus/raft/replication.ts'

/** Votes, terms and who may lead. */
export const electionMutants: readonly Mutant[] = [
  {
    name: 'vote-before-durable',
    catalogue: 'B5',
    sentence: 'a vote is sent before it is on the disk',
    edits: [
      {
        file: RAFT,
        from: 'this.#outgoing.sendAfterPersist(type, message.from, { term: message.term })',
        to: 'this.#outgoing.send(type, message.from, { term: message.term })',
      },
    ],
    foundBy: { seeds: 20 },
  },
  {
    name: 'vote-asked-before-durable',
    catalogue: 'B5',
    sentence: 'a candidate asks for votes before its term and its log are on its disk',
    edits: [
      {
        file: CAMPAIGN,
        from: 'else outgoing.sendAfterPersist(type, id, request)',
        to: 'else outgoing.send(type, id, request)',
      },
    ],
    foundBy: { seeds: 20 },
  },
  {
    name: 'term-not-synced',
    catalogue: 'B6',
    sentence: 'a new term or vote waits for the next entry to be written',
    edits: [
      {
        file: RAFT,
        from: 'entries.length > 0 || snapshot !== null || term !== this.term || vote !== this.vote',
        to: 'entries.length > 0 || snapshot !== null',
      },
    ],
    foundBy: { seeds: 20 },
  },
  {
    name: 'vote-cleared',
    catalogue: 'B7',
    sentence: 'stepping down within a term forgets the vote of that term',
    edits: [
      {
        file: RAFT,
        from: "this.#reset(term)\n    this.role = 'follower'",
        to: "const stepsDown = this.role !== 'follower'\n    this.#reset(term)\n    if (stepsDown) this.vote = ''\n    this.role = 'follower'",
      },
    ],
    foundBy: { seeds: 20 },
  },
  {
    name: 'vote-for-shorter-log',
    catalogue: '',
    sentence: 'a vote is given to a candidate whose log is behind',
    edits: [
      {
        file: RAFT,
        from: 'if (mayVote && this.log.isUpToDate(message.index, message.logTerm)) {',
        to: 'if (mayVote) {',
      },
    ],
    foundBy: { seeds: 60 },
  },
  {
    name: 'no-stickiness',
    catalogue: 'B14',
    sentence: 'a node that hears its leader helps to depose it',
    edits: [
      {
        file: RAFT,
        from: 'if (isVoteRequest && !message.transfer && this.#leaderHolds()) return',
        to: '',
      },
    ],
    foundBy: { seeds: 30 },
  },
  {
    name: 'old-leader-unanswered',
    catalogue: 'B15',
    sentence: 'a leader of a lower term hears nothing of the higher one',
    edits: [
      {
        file: RAFT,
        from: "this.#outgoing.send('appendResponse', message.from, { reject: false, index: 0 })",
        to: '',
      },
    ],
    foundBy: { test: 'test/consensus/raft/catalogue.test.ts' },
  },
  {
    name: 'old-pre-vote-unanswered',
    catalogue: 'B15',
    sentence: 'a pre-vote request of a lower term is not answered',
    edits: [
      {
        file: RAFT,
        from: "this.#outgoing.sendAfterPersist('preVoteResponse', message.from, { reject: true })",
        to: '',
      },
    ],
    foundBy: { test: 'test/consensus/raft/catalogue.test.ts' },
  },
  {
    name: 'quorum-never-checked',
    catalogue: 'B16',
    sentence: 'a leader that hears from no quorum goes on leading',
    edits: [
      {
        file: REPLICATION,
        from: "if (jointVote(configuration, active) !== 'won') return false",
        to: 'if (active.size < 0) return false',
      },
    ],
    foundBy: { test: 'test/consensus/raft/catalogue.test.ts' },
  },
  {
    name: 'commit-not-learned',
    catalogue: '',
    sentence: 'a refused candidate does not learn how far the log is committed',
    edits: [
      {
        file: RAFT,
        from: 'if (isRefusal) this.#learnCommit(message)',
        to: '',
      },
    ],
    foundBy: { test: 'test/consensus/scripts/scripts.test.ts' },
  },
]
