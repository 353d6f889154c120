import type { Logger } from 'pino'
import { ApplyWaiters } from './apply-waiters.ts'
import type { ConsensusError } from './errors.ts'
import type { Expiry } from './expiry.ts'
import type { LeaderLease } from './leader-lease.ts'
import type { ReplicaMetrics } from './metrics.ts'
import type { Proposals } from './proposals.ts'
import type { Raft } from './raft/raft.ts'
import type { Entry, SnapshotMeta } from './raft/types.ts'
import type { Snapshots } from './snapshots.ts'
import { decodeLogRecord } from './state/codec.ts'
import { StateMachine } from './state/state-machine.ts'
import type { CommandResult } from './state/types.ts'
import { Watchers } from './watchers.ts'

/** Whom it concerns that something was applied. */
export interface ApplierCollaborators {
  readonly proposals: Pick<Proposals, 'applied'>
  readonly expiry: Pick<Expiry, 'applied'>
  readonly lease: Pick<LeaderLease, 'drop'>
  readonly snapshots: Pick<Snapshots, 'adopt' | 'count' | 'takeIfDue'>
  readonly metrics: ReplicaMetrics | null
  readonly log: Logger
  /** A watcher threw. */
  readonly listenerFailed: (error: unknown) => void
  /** A snapshot of the state could not be saved. */
  readonly fail: (error: Error) => void
}

/** The replicated state: committed entries go in; whoever proposed, watches or waits for them hears of it. */
export class Applier {
  readonly watchers: Watchers
  readonly #with: ApplierCollaborators
  readonly #waiters = new ApplyWaiters()
  #state = new StateMachine()
  /** The log as it was at the start ends here: what is applied up to it happened before. */
  #replayedTo = 0

  constructor(collaborators: ApplierCollaborators) {
    this.#with = collaborators
    this.watchers = new Watchers(collaborators.listenerFailed)
  }

  get state(): StateMachine {
    return this.#state
  }

  /** Starts from the records of a stored snapshot, null for none. @throws CodecError */
  async restore(records: Iterable<Uint8Array> | AsyncIterable<Uint8Array> | null): Promise<void> {
    if (records !== null) this.#state = await StateMachine.restore(records)
  }

  /** Entries up to `index` were in the log already when the node started. */
  replays(index: number): void {
    this.#replayedTo = index
  }

  /** Replaces the state by that of a received snapshot. Answers its records: what is written later is what it is now. */
  adopt(meta: SnapshotMeta): Iterable<Uint8Array> {
    this.#state = this.#with.snapshots.adopt(meta)
    this.watchers.notifyAll()
    this.#waiters.applied(this.#state.appliedIndex)
    return this.#state.snapshot()
  }

  /** Applies committed entries, in the order of the log. */
  apply(raft: Raft, entries: readonly Entry[]): void {
    const last = entries.at(-1)
    if (last === undefined) return
    const { snapshots, proposals, metrics, fail } = this.#with
    for (const entry of entries) {
      snapshots.count(entry.data.length)
      const result = this.#applyEntry(raft, entry)
      proposals.applied(entry.index, entry.term, result)
    }
    raft.applied(last.index)
    metrics?.applied(entries.length)
    this.#waiters.applied(this.#state.appliedIndex)
    snapshots.takeIfDue(raft, this.#state, fail)
  }

  #applyEntry(raft: Raft, entry: Entry): CommandResult | null {
    if (entry.type === 'config') {
      this.#applyConfiguration(raft, entry)
      return null
    }
    if (entry.data.length === 0) {
      this.#state.skip(entry.index)
      return null
    }
    const record = decodeLogRecord(entry.data)
    const { result, changes } = this.#state.apply(entry.index, record)
    this.#with.expiry.applied(record.command)
    if (changes.keys.size > 0 || changes.sessions) this.watchers.notify(changes)
    return result
  }

  #applyConfiguration(raft: Raft, entry: Entry): void {
    const { lease, metrics, log } = this.#with
    const configuration = raft.applyConfiguration(entry)
    // Those who granted it may no longer be enough to keep others from electing.
    lease.drop()
    this.#state.skip(entry.index)
    metrics?.configurationChanged()
    const level = entry.index <= this.#replayedTo ? 'debug' : 'info'
    log[level]({ configuration }, 'the configuration changed')
  }

  /**
   * Resolves once everything up to `index` is applied; rejects with `ended`, or when the node ends. Answers the way to give
   * up waiting too.
   */
  waitApplied(index: number, ended: ConsensusError | null): { promise: Promise<void>; cancel: () => void } {
    if (this.#state.appliedIndex >= index) return { promise: Promise.resolve(), cancel: () => {} }
    if (ended !== null) return { promise: Promise.reject(ended), cancel: () => {} }
    return this.#waiters.wait(index)
  }

  /** Nothing will be applied any more. */
  rejectWaiting(error: ConsensusError): void {
    this.#waiters.rejectAll(error)
  }
}
