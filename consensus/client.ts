import type { AutopilotConfig, AutopilotEntry } from './autopilot.ts'
import type { LeaderReport } from './server-health.ts'
import { CORDON_PREFIX } from './state/keys.ts'
import type { ByteKey, Command, CommandResult, Session, StateView } from './state/types.ts'

export type { AutopilotConfig, AutopilotEntry } from './autopilot.ts'
export type { KeyBackup, SavedKeys } from './key-backup.ts'
export type { LeaderReport, ServerReport } from './server-health.ts'
export type {
  ByteKey,
  ChangePosition,
  Command,
  CommandResult,
  KeyRecord,
  KvChange,
  KvEntry,
  KvOperation,
  Session,
  SessionSpec,
  StateView,
  TransactionOutcome,
} from './state/types.ts'

/**
 * How fresh a read must be. `stale`: whatever this node has. `default` and `consistent`: at least as new as every write
 * acknowledged before the read began; the leader confirms its leadership with a quorum (ReadIndex, Raft thesis 6.4).
 */
export type Consistency = 'stale' | 'default' | 'consistent'

/** The answer to a read: a view that is valid until the next await, and what Consul's headers say about it. */
export interface ReadResult {
  readonly view: StateView
  readonly knownLeader: boolean
  /** Milliseconds since this node last heard from a leader; 0 on the leader and after a confirmed read. */
  readonly lastContactMs: number
}

/** What a watcher is told about. A key or prefix fires when an entry below it changes; `sessions` when the table changes. */
export type WatchSelector =
  | { readonly kind: 'key'; readonly key: ByteKey }
  | { readonly kind: 'prefix'; readonly prefix: ByteKey }
  | { readonly kind: 'sessions' }

/** Watches which nodes are cordoned; `ConsensusStatus.cordoned` says which. */
export const CORDONS: WatchSelector = { kind: 'prefix', prefix: CORDON_PREFIX }

/** A node of the Raft configuration as this node knows it. What only a leader can know is null elsewhere. */
export interface RaftPeer {
  readonly id: string
  readonly voter: boolean
  readonly leader: boolean
  /** An operator has decided that it is not to vote. */
  readonly cordoned: boolean
  /** A connection to it is open; true for this node itself. */
  readonly connected: boolean
  /** Leader only: how far its log is known to agree with the leader's. */
  readonly matchIndex: number | null
  /** Leader only: entries of the leader's log that it is not known to have. */
  readonly lag: number | null
  /** Leader only: how it is sent to. `probe`: one append at a time; `replicate`: in full; `snapshot`: a snapshot. */
  readonly state: 'probe' | 'replicate' | 'snapshot' | null
  /** Leader only: milliseconds since it answered last, counted from the election if it has not answered yet. */
  readonly lastHeardMs: number | null
  /** Leader only: how often it was lost and came back lately. */
  readonly flaps: number | null
  /** Leader only: it was lost lately and has not stayed long enough since to be given a vote. */
  readonly flapping: boolean | null
}

/** How a client, which is no member of the Raft configuration, gets its copy of the state. */
export interface FeedStatus {
  /** Id of the member that feeds it; null while it looks for one. */
  readonly feeder: string | null
  /** Entries it is behind what that member knows to be committed. */
  readonly lag: number
  /** How often it took over a whole state. */
  readonly restarts: number
}

/** A snapshot of this node's consensus state. Ids are identities (peer ids), not names. */
export interface ConsensusStatus {
  readonly id: string
  /** Null until this node belongs to a cluster. */
  readonly clusterId: string | null
  readonly role: 'leader' | 'follower' | 'candidate' | 'pre-candidate' | 'learner' | 'client' | 'none'
  readonly term: number
  readonly leader: string | null
  readonly commitIndex: number
  readonly appliedIndex: number
  readonly lastLogIndex: number
  readonly firstLogIndex: number
  readonly snapshotIndex: number
  /** Entries of the log kept in memory and on disk, and the bytes of their data. */
  readonly logEntries: number
  readonly logBytes: number
  /** Milliseconds since the leader was last heard of; 0 on the leader, Infinity if never. */
  readonly lastContactMs: number
  readonly peers: readonly RaftPeer[]
  /** While two majorities must agree: the voters to be and those that were. Null otherwise. */
  readonly joint: { readonly incoming: readonly string[]; readonly outgoing: readonly string[] } | null
  /** Ids of all cordoned nodes, in Raft or not, as this node's state has them. `CORDONS` watches them. */
  readonly cordoned: readonly string[]
  /** Ids of those among them that are drained: they give up what they hold for the cluster. */
  readonly draining: readonly string[]
  /** Id of the recovered cluster that took the place of this node's: it takes part no more. Null otherwise. */
  readonly supersededBy: string | null
  /** Set once storage failed: the node serves stale reads only. */
  readonly failure: string | null
  /** Set while the disk is full: no writes are taken here, and the node does not lead unless it is the only voter. */
  readonly diskFull: string | null
  /** Set on a client: who feeds it and how well. */
  readonly feed?: FeedStatus
  /** Set on a member that feeds clients: how many entries each is behind. */
  readonly followers?: readonly { readonly id: string; readonly lag: number }[]
}

/** Options of every call that may wait. `timeoutMs` bounds the wait for a leader and for the result (default 2,500). */
export interface CallOptions {
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
}

/**
 * The only door into consensus/ for the rest of the program. Any node may be asked; writes and read confirmations are
 * forwarded to the leader. An engine other than ours can stand behind it.
 */
export interface ConsensusClient {
  /**
   * Replicates one command and answers what applying it said.
   * @throws ConsensusError `CST_NO_LEADER` (nothing written), `CST_OUTCOME_UNKNOWN` (may have been written),
   *   `CST_PROPOSAL_DROPPED` (refused for overload, nothing written), `CST_STORAGE_FAILED`, `CST_STOPPED`,
   *   `CST_DISK_FULL` (nothing written; only where no other node can lead).
   */
  propose(command: Command, options?: CallOptions): Promise<CommandResult>
  /**
   * Waits until the local state is as fresh as asked and returns a view of it.
   * @throws ConsensusError `CST_NO_LEADER` when freshness could not be confirmed in time; never for `stale`.
   */
  read(consistency: Consistency, options?: CallOptions): Promise<ReadResult>
  /**
   * Re-arms the expiry of a session after the leader confirmed its leadership with a quorum; no log entry is written.
   * Answers null if there is no such session. @throws ConsensusError as `read`.
   */
  renewSession(id: string, options?: CallOptions): Promise<Session | null>
  /** The Raft group as its leader sees it, which a quorum has just confirmed. @throws ConsensusError as `read`. */
  report(options?: CallOptions): Promise<LeaderReport>
  /** How the leader is to look after the servers. @throws ConsensusError as `read`. */
  autopilot(consistency: Consistency, options?: CallOptions): Promise<AutopilotEntry>
  /**
   * Decides it; what `config` does not name gets its default. `cas`: only if the ModifyIndex is this, 0 = only if nobody has
   * decided yet; false if it is not. @throws ConsensusError as `propose`
   */
  setAutopilot(config: Partial<AutopilotConfig>, cas?: number, options?: CallOptions): Promise<boolean>
  /**
   * Hands leadership to `to` (an id), or to the voter whose log is furthest, and waits until it leads. Answers who.
   * @throws ConsensusError `CST_REFUSED` with the reason, `CST_OUTCOME_UNKNOWN` if nobody has taken over in time,
   *   `CST_NO_LEADER`.
   */
  transferLeadership(to?: string, options?: CallOptions): Promise<string>
  /**
   * Takes a dead node (an id) out of the configuration; resolves once that is committed.
   * @throws ConsensusError `CST_REFUSED` with the reason (it leads, it answers, it is no member, too few voters answer),
   *   `CST_MEMBERSHIP_CHANGE_IN_PROGRESS`, `CST_OUTCOME_UNKNOWN`, `CST_NO_LEADER`.
   */
  removePeer(id: string, options?: CallOptions): Promise<void>
  /**
   * Makes a living node (an id) a voter now, through a learner if need be. Answers `learner` if it has not caught up in
   * time; the leader goes on for a while. @throws ConsensusError `CST_REFUSED` with the reason (unknown, silent,
   *   cordoned, too many voters), `CST_MEMBERSHIP_CHANGE_IN_PROGRESS`, `CST_OUTCOME_UNKNOWN`, `CST_NO_LEADER`.
   */
  addVoter(id: string, options?: CallOptions): Promise<'voter' | 'learner'>
  /** Decides that a node is not to vote, until `uncordon`. `name` is kept for people. @throws ConsensusError as `propose`. */
  cordon(id: string, name: string, options?: CallOptions): Promise<void>
  /** Cordons a node that is to give up what it holds for the cluster as well. @throws ConsensusError as `propose` */
  drain(id: string, name: string, options?: CallOptions): Promise<void>
  /** Lifts the cordon of a node; does nothing if there is none. @throws ConsensusError as `propose`. */
  uncordon(id: string, options?: CallOptions): Promise<void>
  /** Calls `listener` after each applied change that matches. Returns the way to stop. */
  watch(selector: WatchSelector, listener: () => void): () => void
  status(): ConsensusStatus
  /** Fires whenever role, leader, term, configuration, failure or a full disk changed. Returns the way to stop. */
  onStatus(listener: (status: ConsensusStatus) => void): () => void
}
