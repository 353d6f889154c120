/** Identity of a Raft node: unique for all time, never empty, never reused after the node's storage was lost (catalogue B13, B24). */
export type NodeId = string

/** `normal`: a command, or an empty entry of a new leader. `config`: a change of the configuration. */
export type EntryType = 'normal' | 'config'

/** One entry of the replicated log (Raft paper §5.3). */
export interface Entry {
  readonly index: number
  readonly term: number
  readonly type: EntryType
  readonly data: Uint8Array
}

/** What must survive a crash before any message that depends on it is sent (Raft paper, figure 2). */
export interface HardState {
  readonly term: number
  /** Who got this node's vote in `term`; '' = nobody. */
  readonly vote: NodeId
  readonly commit: number
}

/**
 * Who takes part. `votersOutgoing` is not empty only during a joint configuration (paper §6); `learnersNext` are voters
 * of the outgoing half that become learners when it is left.
 */
export interface Configuration {
  readonly voters: readonly NodeId[]
  readonly votersOutgoing: readonly NodeId[]
  readonly learners: readonly NodeId[]
  readonly learnersNext: readonly NodeId[]
  /** Leave the joint configuration as soon as it is committed. */
  readonly autoLeave: boolean
}

/** One step of a configuration change. */
export interface ConfigChangeStep {
  readonly kind: 'addVoter' | 'addLearner' | 'remove'
  readonly node: NodeId
}

/** A change of the configuration. No steps: leave the joint configuration. */
export interface ConfigChange {
  readonly steps: readonly ConfigChangeStep[]
}

/** What a snapshot covers: everything up to and including `index`. */
export interface SnapshotMeta {
  readonly index: number
  readonly term: number
  readonly configuration: Configuration
}

/** Kinds of message; the pairs are request and response. */
export type MessageType =
  | 'append'
  | 'appendResponse'
  | 'heartbeat'
  | 'heartbeatResponse'
  | 'preVote'
  | 'preVoteResponse'
  | 'vote'
  | 'voteResponse'
  | 'snapshot'
  | 'timeoutNow'

/** A message between two nodes. Fields that a type does not use are 0, '' or empty, so that every message has one shape. */
export interface Message {
  readonly type: MessageType
  readonly from: NodeId
  readonly to: NodeId
  readonly term: number
  /** append: index before the first entry; appendResponse: acknowledged or refused index; (pre)vote: last index of the candidate. */
  readonly index: number
  /** Term of the entry at `index`; for a refusal the term at `rejectHint`. */
  readonly logTerm: number
  readonly entries: readonly Entry[]
  readonly commit: number
  readonly reject: boolean
  /** Where a refused leader should look next. */
  readonly rejectHint: number
  /** heartbeat and its response: position of the newest read waiting for confirmation. */
  readonly context: number
  /** vote: sent on behalf of a leadership transfer, so the leader's lease does not protect it. */
  readonly transfer: boolean
  /** heartbeat: the leader asks for a lease; heartbeatResponse: granted, see `RaftOptions.leaseReads`. */
  readonly lease: boolean
  readonly snapshot: SnapshotMeta | null
}

/** The role of a node (paper §5.1; pre-candidate: thesis §9.6). */
export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader'

/** A write handed to the driver; given back to `Raft.persisted` when it is durable. */
export interface PersistToken {
  readonly epoch: number
  readonly lastIndex: number
  readonly snapshotIndex: number
}

/**
 * Work for the driver. Contract, in this order: write `hardState`, `entries` and `snapshot` durably; only then send
 * `messagesAfterPersist` and call `persisted(token)`. `messages` may leave at once. Writes are made one after the other in
 * the order of the Readies. An entry at index i replaces everything stored at i and behind it.
 */
export interface Ready {
  readonly hardState: HardState | null
  /** True if the write must be synced before it counts: entries, term or vote changed. */
  readonly mustSync: boolean
  readonly entries: readonly Entry[]
  readonly snapshot: SnapshotMeta | null
  readonly messages: readonly Message[]
  readonly messagesAfterPersist: readonly Message[]
  /** Durable and committed: apply in order, then call `applied`. */
  readonly committed: readonly Entry[]
  readonly reads: readonly ReadState[]
  readonly token: PersistToken
}

/** A confirmed read: answer it once everything up to `index` is applied. */
export interface ReadState {
  readonly id: number
  /** −1: leadership was lost before it could be confirmed. */
  readonly index: number
  /** Who confirmed it also granted a lease, counted from before the read was asked for. */
  readonly lease: boolean
}

/** Where a proposal went, or why it was not taken. */
export type ProposeResult =
  | { readonly index: number; readonly term: number }
  | { readonly dropped: 'not-leader' | 'transferring' | 'overloaded' | 'change-pending' }

/** A violated invariant of the protocol. The node must stop: going on would risk the data. */
export class InvariantError extends Error {
  constructor(message: string) {
    super(`raft invariant violated: ${message}`)
    this.name = 'InvariantError'
  }
}

/**
 * The leader counts entries as acknowledged by this node that its log does not hold. It must not go on, and not have them sent again
 * either: what it acknowledged was counted for a quorum, and a vote for a log without it could lose a committed entry (catalogue B24).
 */
export class LostEntriesError extends InvariantError {
  readonly commit: number
  readonly lastIndex: number

  constructor(commit: number, lastIndex: number) {
    super(`commit ${commit} is within the log (last ${lastIndex})`)
    this.name = 'LostEntriesError'
    this.commit = commit
    this.lastIndex = lastIndex
  }
}

/** Throws InvariantError with `sentence` unless `condition` holds. On in production. */
export function invariant(condition: boolean, sentence: string): asserts condition {
  if (!condition) throw new InvariantError(sentence)
}
