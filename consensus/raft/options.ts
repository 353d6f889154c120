import { EMPTY_CONFIGURATION } from './configuration.ts'
import type { WindowLimits } from './progress.ts'
import type { Entry, HardState, NodeId, SnapshotMeta } from './types.ts'

/** Settings of the protocol. Ticks are the driver's unit of time. */
export interface RaftOptions {
  readonly id: NodeId
  /** A follower that hears nothing for this many ticks up to twice as many campaigns. Default 10. */
  readonly electionTicks: number
  /** The leader sends a heartbeat this often. Default 1. Must be well below `electionTicks`. */
  readonly heartbeatTicks: number
  /**
   * A learner that has everything gets one only this often: it elects nobody, confirms no read, and is told of what is new
   * when it is. Default 1. Must be below `electionTicks`.
   */
  readonly learnerHeartbeatTicks: number
  /** Uniform in [0, 1): draws election timeouts. */
  readonly random: () => number
  /** Entry bytes in one append. Default 1 MiB. */
  readonly appendBytesMax: number
  readonly window: WindowLimits
  /** Proposals are refused while uncommitted entries exceed this many bytes: a leader cut off must not grow for ever. */
  readonly uncommittedBytesMax: number
  /** Entry bytes handed out for application in one Ready. */
  readonly applyBytesMax: number
  /**
   * Leases for reads (thesis 6.4.1): a leader asks for them, a follower grants them. Who grants one votes for nobody for
   * `electionTicks`, whatever it hears of the leader, unless that leader hands over; after a start too, for a grant is not
   * stored. Off, a leader that is gone is replaced sooner.
   */
  readonly leaseReads: boolean
}

/** What storage held when the node started. */
export interface RaftState {
  readonly hardState: HardState
  readonly snapshot: SnapshotMeta
  /** Contiguous, starting anywhere at or before `snapshot.index + 1` … here exactly behind `logStart`. */
  readonly entries: readonly Entry[]
  /** Index and term just before the first entry; equal to the snapshot's unless a tail was kept before it. */
  readonly logStart: { readonly index: number; readonly term: number }
}

/** Defaults of everything but identity and randomness. */
export const RAFT_DEFAULTS = {
  electionTicks: 10,
  heartbeatTicks: 1,
  learnerHeartbeatTicks: 1,
  appendBytesMax: 1 << 20,
  window: { messagesMax: 256, bytesMax: 8 << 20 },
  uncommittedBytesMax: 64 << 20,
  applyBytesMax: 4 << 20,
  leaseReads: false,
} as const

/**
 * How often a leader with the default election timeout gives a sign of life: five times in the shortest one, so that four may
 * be lost in a row. Nothing waits for one but a retry of what was lost, and heartbeats are most of what an idle cluster costs.
 */
export const PACE = { heartbeatTicks: 2, learnerHeartbeatTicks: 4 } as const

const NO_HARD_STATE: HardState = { term: 0, vote: '', commit: 0 }

/** State of a node that belongs to no cluster yet. */
export const EMPTY_STATE: RaftState = {
  hardState: NO_HARD_STATE,
  snapshot: { index: 0, term: 0, configuration: EMPTY_CONFIGURATION },
  entries: [],
  logStart: { index: 0, term: 0 },
}
