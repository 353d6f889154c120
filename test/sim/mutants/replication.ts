import type { Mutant } from './mutant.ts'

const RAFT = 'consensus/raft/raft.ts'
const LEADERSHIP = 'consensus/raft/leadership.ts'
const REPLICATION = 'consensus/raft/replication.ts'
const APPEND = 'consensus/raft/append.ts'
const LOG = 'consensus/raft/log.ts'

/** Appends, acknowledgements and what is committed. */
export const replicationMutants: readonly Mutant[] = [
  {
    name: 'commit-old-term',
    catalogue: 'B1',
    sentence: 'the leader commits an entry of an earlier term by counting replicas',
    edits: [
      {
        file: LEADERSHIP,
        from: 'if (index <= log.committedIndex || log.termAt(index) !== this.#node.term) return false',
        to: 'if (index <= log.committedIndex) return false',
      },
    ],
    foundBy: { seeds: 60 },
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
    foundBy: { seeds: 80 },
  },
  {
    name: 'acknowledge-last',
    catalogue: 'B9',
    sentence:
      'a follower acknowledges its whole log, not what it compared with the leader (who probes from far back: the hint in a refusal would hide it)',
    edits: [
      {
        file: REPLICATION,
        from: '? this.#log.findConflict(message.rejectHint, message.logTerm).index',
        to: '? 0',
      },
      {
        file: APPEND,
        from: 'return { index: matched }',
        to: 'return { index: log.lastIndex }',
      },
    ],
    foundBy: { seeds: 400 },
  },
  {
    name: 'window-never-reopens',
    catalogue: 'B17',
    sentence: 'a heartbeat response does not lift the pause of a full window that was lost',
    edits: [
      {
        file: REPLICATION,
        from: 'progress.recentActive = true\n    progress.paused = false',
        to: 'progress.recentActive = true',
      },
    ],
    foundBy: { seeds: 60 },
  },
  {
    name: 'caught-up-stays-in-probe',
    catalogue: 'B18',
    sentence: 'a follower that has everything is not probed again after a report that it cannot be reached',
    edits: [
      {
        file: REPLICATION,
        from: "if (progress.matchIndex < this.#log.lastIndex || progress.state === 'probe')",
        to: 'if (progress.matchIndex < this.#log.lastIndex)',
      },
    ],
    foundBy: { test: 'test/consensus/raft/catalogue.test.ts' },
  },
  {
    name: 'epoch-ignored',
    catalogue: 'B19',
    sentence: 'a write that began before a truncation vouches for what came after it',
    edits: [{ file: RAFT, from: 'if (token.epoch !== this.log.epoch) return', to: '' }],
    foundBy: { seeds: 250 },
  },
  {
    name: 'leader-counts-unsynced',
    catalogue: 'B20',
    sentence: 'the leader counts itself before its own write is durable',
    edits: [
      {
        file: REPLICATION,
        from: 'return jointIndex(configuration, (id) => this.progress.get(id)?.matchIndex ?? 0)',
        to: 'return jointIndex(configuration, (id) => id === this.#options.id ? this.#log.lastIndex : (this.progress.get(id)?.matchIndex ?? 0))',
      },
    ],
    foundBy: { seeds: 20 },
  },
  {
    name: 'heartbeat-commits-unmatched',
    catalogue: '',
    sentence: 'heartbeats carry the commit index whatever the follower has',
    edits: [
      {
        file: REPLICATION,
        from: 'const commit = Math.min(progress.matchIndex, this.#log.committedIndex)',
        to: 'const commit = this.#log.committedIndex',
      },
    ],
    foundBy: { seeds: 20 },
  },
  {
    name: 'follower-commits-unmatched',
    catalogue: '',
    sentence: 'a follower commits entries it has not compared with the leader',
    edits: [
      {
        file: APPEND,
        from: 'log.commitTo(Math.min(message.commit, matched))',
        to: 'log.commitTo(Math.min(message.commit, log.lastIndex))',
      },
    ],
    foundBy: { test: 'test/consensus/raft/catalogue.test.ts' },
  },
  {
    name: 'read-unconfirmed',
    catalogue: 'B4',
    sentence: 'a leader answers reads without asking a quorum whether it still leads',
    edits: [
      {
        file: LEADERSHIP,
        from: 'this.reads.add(id, this.#log.committedIndex, asksLease)\n    this.#confirmReads()',
        to: 'this.reads.add(id, this.#log.committedIndex, asksLease)\n    this.reads.confirm(Number.POSITIVE_INFINITY, 0)',
      },
    ],
    foundBy: { seeds: 200 },
  },
  {
    name: 'read-before-own-term',
    catalogue: 'B4',
    sentence: 'a new leader answers reads before it has committed an entry of its own term',
    edits: [
      {
        file: LEADERSHIP,
        from: 'if (!this.#committedInTerm()) {\n      this.reads.park(id, asksLease)\n      return\n    }\n',
        to: '',
      },
    ],
    foundBy: { seeds: 200 },
  },
]
