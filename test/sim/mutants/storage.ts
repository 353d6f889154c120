import type { Mutant } from './mutant.ts'

const RAFT = 'consensus/raft/raft.ts'
const LOG = 'consensus/raft/log.ts'
const LEVEL = 'consensus/storage/level-store.ts'
const WRITER = 'consensus/log-writer.ts'
const DUTIES = 'consensus/leader-duties.ts'

/** Logs and snapshots on the disk. */
export const storageMutants: readonly Mutant[] = [
  {
    name: 'truncation-not-stored',
    catalogue: 'B10',
    sentence: 'replaced entries are not given to storage again',
    edits: [{ file: LOG, from: 'this.takenIndex = Math.min(this.takenIndex, index - 1)\n', to: '\n' }],
    foundBy: { seeds: 80 },
  },
  {
    name: 'truncation-not-deleted',
    catalogue: 'B10',
    sentence: 'the store keeps the entries behind a truncation',
    edits: [
      {
        file: LEVEL,
        from: "operations.push({ type: 'put', key: KEY.lastIndex, value: json(lastIndex) })\n    }",
        to: "operations.push({ type: 'put', key: KEY.lastIndex, value: json(Math.max(lastIndex, this.#lastIndex)) })\n    }",
      },
      {
        file: LEVEL,
        from: "for (let index = last.index + 1; index <= lastIndex; index++)\n        operations.push({ type: 'del', key: logKey(index) })\n",
        to: '',
      },
    ],
    foundBy: { test: 'test/consensus/storage/level-store.test.ts', slow: true },
  },
  {
    name: 'term-written-after-entries',
    catalogue: 'B6',
    sentence: 'term and vote are written in a step of their own, after the entries',
    edits: [
      {
        file: LEVEL,
        from: "if (hardState !== null) operations.push({ type: 'put', key: KEY.hardState, value: json(hardState) })\n    let lastIndex",
        to: 'let lastIndex',
      },
      {
        file: LEVEL,
        from: '    await this.#commit(operations, sync)\n    this.#lastIndex = lastIndex',
        to: "    await this.#commit(operations, sync)\n    if (hardState !== null)\n      await this.#commit([{ type: 'put', key: KEY.hardState, value: json(hardState) }], sync)\n    this.#lastIndex = lastIndex",
      },
    ],
    foundBy: { test: 'test/consensus/storage/crash-boundaries.test.ts', slow: true },
  },
  {
    name: 'snapshot-acknowledged-early',
    catalogue: 'B12',
    sentence: 'a snapshot is acknowledged before it is on the disk',
    edits: [
      {
        file: RAFT,
        from: "this.#outgoing.sendAfterPersist('appendResponse', message.from, { index: this.log.committedIndex })",
        to: "this.#outgoing.send('appendResponse', message.from, { index: this.log.committedIndex })",
      },
    ],
    foundBy: { seeds: 20 },
  },
  {
    name: 'snapshot-installed-in-two-steps',
    catalogue: 'B12',
    sentence: 'the log is dropped in one step and the snapshot named in the next',
    edits: [
      {
        file: LEVEL,
        from: "for (let i = this.#firstIndex; i <= this.#lastIndex; i++) operations.push({ type: 'del', key: logKey(i) })",
        to: "const dropped: BatchOperation[] = []\n    for (let i = this.#firstIndex; i <= this.#lastIndex; i++) dropped.push({ type: 'del', key: logKey(i) })\n    await this.#commit(dropped, true)",
      },
    ],
    foundBy: { test: 'test/consensus/storage/crash-boundaries.test.ts', slow: true },
  },
  {
    name: 'writes-not-synced',
    catalogue: 'B22',
    sentence: 'the log is written without waiting for the disk',
    edits: [
      {
        file: WRITER,
        from: 'await store.write({ hardState, entries, sync: true })\n    this.#queue.written()',
        to: 'await store.write({ hardState, entries, sync: false })\n    this.#queue.written()',
      },
    ],
    foundBy: { test: 'test/consensus/log-writer.test.ts' },
  },
  {
    name: 'snapshot-not-synced',
    catalogue: 'B22',
    sentence: 'a snapshot counts before it has reached the disk',
    edits: [
      {
        file: LEVEL,
        from: 'await this.#commit(operations, true)\n    if (bytes !== undefined) {',
        to: 'await this.#commit(operations, false)\n    if (bytes !== undefined) {',
      },
    ],
    foundBy: { test: 'test/consensus/storage/crash-boundaries.test.ts', slow: true },
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
    foundBy: { seeds: 100 },
  },
  {
    name: 'damaged-log-cut-off',
    catalogue: 'B23',
    sentence: 'a log with a missing entry is used up to there',
    edits: [
      {
        file: LEVEL,
        from: 'if (found !== this.#lastIndex)',
        to: 'if (found < 0)',
      },
    ],
    foundBy: { test: 'test/consensus/storage/level-store.test.ts', slow: true },
  },
  {
    name: 'stalled-disk-ignored',
    catalogue: 'B26',
    sentence: 'a leader whose disk does not answer goes on leading',
    edits: [
      {
        file: DUTIES,
        from: 'if (writer.isStalled && raft.stepDown())',
        to: 'if (writer.isStalled && raft.term < 0)',
      },
    ],
    foundBy: { test: 'test/consensus/replica.test.ts', slow: true },
  },
]
