import type { Entry, HardState, SnapshotMeta } from '../raft/types.ts'

/** Which cluster and which node a store belongs to; written once, when the node becomes part of a cluster. */
export interface StoreIdentity {
  readonly nodeId: string
  readonly clusterId: string
}

/** A promise to take part in one attempt to form a cluster, and in no other until the proposer gives it up. */
export interface Pledge {
  readonly attempt: string
  readonly proposer: string
  readonly founders: readonly string[]
}

/** What a store holds when it is opened. */
export interface StoredState {
  readonly identity: StoreIdentity | null
  readonly pledge: Pledge | null
  readonly hardState: HardState
  readonly snapshot: SnapshotMeta | null
  /** Contiguous; the first may lie before the snapshot's index when a tail was kept. */
  readonly entries: readonly Entry[]
  /** Index and term just before the first entry. */
  readonly logStart: { readonly index: number; readonly term: number }
}

/** One durable step of the protocol. Everything in it becomes durable together or not at all. */
export interface LogWrite {
  readonly hardState: HardState | null
  /** An entry at index i replaces everything stored at i and behind it. */
  readonly entries: readonly Entry[]
  /** Wait until the write has reached the disk. */
  readonly sync: boolean
}

/**
 * Durable log, vote and snapshots of one Raft node. Calls are made one after the other. Once a write failed the store is
 * unusable: a failed sync must not be repeated, because the kernel may have dropped the pages. Only after `CST_DISK_FULL`
 * it can be made usable again, by `recover`.
 * Every implementation must pass the conformance suite in `test/consensus/storage/conformance.ts`.
 */
export interface LogStore {
  /**
   * @throws ConsensusError `CST_LOG_DAMAGED` naming what is damaged and the way out, `CST_DISK_FULL`, or
   *   `CST_STORAGE_FAILED` when the store cannot be reached; nothing is lost then.
   */
  open(): Promise<StoredState>
  /** Null gives a pledge up. */
  setPledge(pledge: Pledge | null): Promise<void>
  /**
   * Makes this store part of a cluster: a founder with the snapshot every founder starts from, a node that joins with
   * none (`snapshot.index` 0), to be sent one by the leader. On a store that holds something all of it but the pledge is
   * replaced, in one durable step.
   */
  initialise(
    identity: StoreIdentity,
    snapshot: SnapshotMeta,
    records: Iterable<Uint8Array>,
    hardState: HardState,
  ): Promise<void>
  write(write: LogWrite): Promise<void>
  /**
   * Stores a snapshot taken of this node's own state, then forgets entries up to `compactTo` (at most `meta.index`)
   * and older snapshots.
   */
  saveSnapshot(meta: SnapshotMeta, records: Iterable<Uint8Array>, compactTo: number): Promise<void>
  /** Stores a snapshot received from the leader and drops the whole log before it. */
  installSnapshot(meta: SnapshotMeta, records: Iterable<Uint8Array>, hardState: HardState): Promise<void>
  /** The current snapshot as of now; a newer one saved meanwhile does not show in its records. Null if there is none. */
  readSnapshot(): { readonly meta: SnapshotMeta; readonly records: AsyncIterable<Uint8Array> } | null
  /**
   * After a call failed with `CST_DISK_FULL` and no other is under way: reads everything from the disk anew, which makes
   * what was acknowledged durable once more, so that the failed call may be repeated. @throws `CST_DISK_FULL` while there is
   * no room, `CST_LOG_DAMAGED` if something acknowledged is missing.
   */
  recover(): Promise<void>
  close(): Promise<void>
}
