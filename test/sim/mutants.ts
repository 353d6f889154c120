/** A bug put into a copy of the sources, which the simulator must find. */
export interface Mutant {
  readonly name: string
  /** The known failure of Raft systems it repeats, by its number in docs/simulation.md; '' for others. */
  readonly catalogue: string
  /** What is wrong. */
  readonly sentence: string
  /** Each `from` must occur exactly once in its file. */
  readonly edits: readonly { readonly file: string; readonly from: string; readonly to: string }[]
  /** First seed of the test, and within how many seeds the bug must be found. */
  readonly seed: number
  readonly seeds: number
}

const RAFT = 'consensus/raft/raft.ts'
const LOG = 'consensus/raft/log.ts'
const STATE = 'consensus/state/state-machine.ts'

/** Every bug the simulator has to find. */
export const mutants: readonly Mutant[] = [
  {
    name: 'commit-old-term',
    catalogue: 'B1',
    sentence: 'the leader commits an entry of an earlier term by counting replicas',
    edits: [
      {
        file: RAFT,
        from: 'if (index <= this.log.committedIndex || this.log.termAt(index) !== this.term) return false',
        to: 'if (index <= this.log.committedIndex) return false',
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'change-unguarded',
    catalogue: 'B2',
    sentence: 'a change is proposed before the leader has committed an entry of its own term',
    edits: [
      {
        file: RAFT,
        from: 'const pending = this.#pendingConfigIndex > this.log.appliedIndex || !this.#committedInTerm()',
        to: 'const pending = false',
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'two-changes-in-flight',
    catalogue: 'B3',
    sentence: 'a change is proposed while another is not applied yet',
    edits: [
      {
        file: RAFT,
        from: 'const pending = this.#pendingConfigIndex > this.log.appliedIndex || !this.#committedInTerm()',
        to: 'const pending = !this.#committedInTerm()',
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'read-unconfirmed',
    catalogue: 'B4',
    sentence: 'a leader answers reads without asking a quorum whether it still leads',
    edits: [
      {
        file: RAFT,
        from: 'this.#reads.add(id, this.log.committedIndex)\n    this.#confirmReads()',
        to: 'this.#reads.add(id, this.log.committedIndex)\n    this.#reads.confirm(Number.POSITIVE_INFINITY)',
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'vote-before-durable',
    catalogue: 'B5',
    sentence: 'a vote is sent before it is on the disk',
    edits: [
      {
        file: RAFT,
        from: 'this.#sendAfterPersist(type, message.from, { term: message.term })',
        to: 'this.#send(type, message.from, { term: message.term })',
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'vote-cleared',
    catalogue: 'B7',
    sentence: 'stepping down within a term forgets the vote of that term',
    edits: [
      {
        file: RAFT,
        from: "this.#reset(term)\n    this.role = 'follower'",
        to: "this.#reset(term)\n    this.vote = ''\n    this.role = 'follower'",
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'truncate-always',
    catalogue: 'B8',
    sentence: 'a late append cuts the log even where it agrees',
    edits: [
      {
        file: LOG,
        from: 'entries.findIndex((entry) => !this.matches(entry.index, entry.term))',
        to: 'entries.findIndex((entry) => entry.index > this.committedIndex)',
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'acknowledge-last',
    catalogue: 'B9',
    sentence:
      'a follower acknowledges its whole log, not what it compared with the leader (who probes from far back: the hint in a refusal would hide it)',
    edits: [
      {
        file: RAFT,
        from: '? this.log.findConflict(message.rejectHint, message.logTerm).index',
        to: '? 0',
      },
      {
        file: RAFT,
        from: "this.#sendAfterPersist('appendResponse', message.from, { index: matched })",
        to: "this.#sendAfterPersist('appendResponse', message.from, { index: this.log.lastIndex })",
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'truncation-not-stored',
    catalogue: 'B10',
    sentence: 'replaced entries are not given to storage again',
    edits: [{ file: LOG, from: 'this.takenIndex = Math.min(this.takenIndex, index - 1)\n', to: '\n' }],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'configuration-not-from-snapshot',
    catalogue: 'B11',
    sentence: 'a node that takes over a snapshot keeps its old configuration',
    edits: [{ file: RAFT, from: 'this.configuration = snapshot.configuration\n', to: '\n' }],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'change-not-awaited',
    catalogue: 'B11',
    sentence: 'a node campaigns although a committed change is not applied yet',
    edits: [{ file: RAFT, from: ' && !this.#hasUnappliedChange()', to: '' }],
    seed: 1,
    seeds: 300,
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
    seed: 1,
    seeds: 300,
  },
  {
    name: 'old-leader-unanswered',
    catalogue: 'B15',
    sentence: 'a leader of a lower term hears nothing of the higher one',
    edits: [
      {
        file: RAFT,
        from: "this.#send('appendResponse', message.from, { reject: false, index: 0 })",
        to: '',
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'old-pre-vote-unanswered',
    catalogue: 'B15',
    sentence: 'a pre-vote request of a lower term is not answered',
    edits: [
      {
        file: RAFT,
        from: "this.#sendAfterPersist('preVoteResponse', message.from, { reject: true })",
        to: '',
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'window-never-reopens',
    catalogue: 'B17',
    sentence: 'a heartbeat response does not lift the pause of a full window that was lost',
    edits: [
      {
        file: RAFT,
        from: 'progress.recentActive = true\n      progress.paused = false',
        to: 'progress.recentActive = true',
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'epoch-ignored',
    catalogue: 'B19',
    sentence: 'a write that began before a truncation vouches for what came after it',
    edits: [{ file: RAFT, from: 'if (token.epoch !== this.log.epoch) return', to: '' }],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'leader-counts-unsynced',
    catalogue: 'B20',
    sentence: 'the leader counts itself before its own write is durable',
    edits: [
      {
        file: RAFT,
        from: 'const index = jointIndex(this.configuration, (id) => this.progress.get(id)?.matchIndex ?? 0)',
        to: 'const index = jointIndex(this.configuration, (id) => id === this.id ? this.log.lastIndex : (this.progress.get(id)?.matchIndex ?? 0))',
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'applied-again-after-restart',
    catalogue: 'B21',
    sentence: 'entries that the snapshot covers are applied again after a restart',
    edits: [
      {
        file: RAFT,
        from: 'this.log.applyingIndex = state.snapshot.index\n    this.log.appliedIndex = state.snapshot.index\n',
        to: '\n',
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'torn-write-accepted',
    catalogue: 'B23',
    sentence: 'the checksum of an entry is not looked at',
    edits: [
      {
        file: 'consensus/storage/entry-codec.ts',
        from: 'view.getUint32(0) !== crc32(bytes.subarray(4))',
        to: 'false',
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'no-deduplication',
    catalogue: 'B28',
    sentence: 'a repeated proposal is applied again',
    edits: [
      {
        file: STATE,
        from: 'if (known !== undefined) return { result: known, changes: this.#changes() }',
        to: '',
      },
    ],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'deduplication-not-restored',
    catalogue: 'B28',
    sentence: 'a snapshot does not bring back who proposed what',
    edits: [{ file: STATE, from: 'this.#deduplication.restore(record.origin)', to: '' }],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'snapshot-not-frozen',
    catalogue: '',
    sentence: 'changes made while a snapshot is written show in it',
    edits: [{ file: STATE, from: 'const kv = this.#kv.freeze()', to: 'const kv = this.#kv' }],
    seed: 1,
    seeds: 300,
  },
  {
    name: 'heartbeat-commits-unmatched',
    catalogue: '',
    sentence: 'heartbeats carry the commit index whatever the follower has',
    edits: [
      {
        file: RAFT,
        from: 'const commit = Math.min(progress.matchIndex, this.log.committedIndex)',
        to: 'const commit = this.log.committedIndex',
      },
    ],
    seed: 1,
    seeds: 300,
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
    seed: 1,
    seeds: 300,
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
    seed: 1,
    seeds: 300,
  },
]
