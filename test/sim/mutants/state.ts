import type { Mutant } from './mutant.ts'

const RAFT = 'consensus/raft/raft.ts'
const STATE = 'consensus/state/state-machine.ts'
const APPLIER = 'consensus/applier.ts'
const LEASE_SESSION = 'consensus/lease-session.ts'

/** The replicated state, its snapshots and who waits for it. */
export const stateMutants: readonly Mutant[] = [
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
    foundBy: { seeds: 30 },
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
    foundBy: { seeds: 20 },
  },
  {
    name: 'deduplication-not-restored',
    catalogue: 'B28',
    sentence: 'a snapshot does not bring back who proposed what',
    edits: [{ file: STATE, from: 'this.#deduplication.restore(record.origin)', to: '' }],
    foundBy: { seeds: 20 },
  },
  {
    name: 'snapshot-not-frozen',
    catalogue: '',
    sentence: 'changes made while a snapshot is written show in it',
    edits: [{ file: STATE, from: 'const kv = this.#kv.freeze()', to: 'const kv = this.#kv' }],
    foundBy: { seeds: 30 },
  },
  {
    name: 'snapshot-wakes-nobody',
    catalogue: 'B27',
    sentence: 'watchers are not woken when a snapshot replaces the state',
    edits: [
      {
        file: APPLIER,
        from: 'this.watchers.notifyAll()\n',
        to: '\n',
      },
    ],
    foundBy: { test: 'test/consensus/replica.test.ts', slow: true },
  },
  {
    name: 'lease-on-wall-clock',
    catalogue: 'B25',
    sentence: 'the holder of a lease trusts a clock that can be set',
    edits: [
      {
        file: LEASE_SESSION,
        from: 'const leftMs = Math.min(this.#validUntil - this.#clock.now(), this.#validUntilWall - this.#clock.wall())',
        to: 'const leftMs = this.#validUntilWall - this.#clock.wall()',
      },
    ],
    foundBy: { test: 'test/consensus/leases.test.ts', slow: true },
  },
  {
    name: 'lease-kept-on-hand-over',
    catalogue: 'B25',
    sentence: 'a leader that has asked another to take over still reads by its lease',
    edits: [
      {
        file: 'consensus/raft/transfer.ts',
        from: 'this.#leaseForfeited = true',
        to: 'this.#leaseForfeited = false',
      },
    ],
    foundBy: { test: 'test/consensus/leader-lease.test.ts', slow: true },
  },
  {
    name: 'lease-too-long',
    catalogue: 'B25',
    sentence: 'a lease for reads is longer than the promise it rests on',
    edits: [
      {
        file: 'consensus/leader-lease.ts',
        from: 'this.#validMs = promisedMs / 2',
        to: 'this.#validMs = promisedMs * 4',
      },
    ],
    foundBy: { test: 'test/consensus/leader-lease.test.ts', slow: true },
  },
]
