import type { Coordinate } from './coordinate.ts'

/** Identity of a node (its peer id). */
export type NodeId = string

/** What the protocol believes about a member. `left` = it said so itself. */
export type MemberState = 'alive' | 'suspect' | 'failed' | 'left'

/** A member as the core keeps it; structurally the `Member` of the membership contract. */
export interface MemberRecord {
  readonly id: NodeId
  readonly name: string
  /** host:port of its mesh listener. */
  readonly address: string
  readonly status: MemberState
  readonly incarnation: number
  readonly meta: Readonly<Record<string, string>>
}

/** "This member lives, and this is its data." Said first by the member itself. */
export interface AliveUpdate {
  readonly status: 'alive'
  readonly id: NodeId
  readonly incarnation: number
  readonly name: string
  readonly address: string
  readonly meta: Readonly<Record<string, string>>
}

/** "`from` does not reach this member" (suspect), "`from` has given it up" (failed). */
export interface AccusationUpdate {
  readonly status: 'suspect' | 'failed'
  readonly id: NodeId
  readonly incarnation: number
  readonly from: NodeId
}

/**
 * "I leave on purpose." Said first by the member itself, with an incarnation of its own; or by an operator of a member that
 * failed, with the incarnation it failed with, so that it is refuted by a member that lives after all.
 */
export interface LeftUpdate {
  readonly status: 'left'
  readonly id: NodeId
  readonly incarnation: number
  /** Nobody is to list it any more. */
  readonly prune?: true
}

/** One piece of news about one member, spread by piggybacking (SWIM §4.1). */
export type Update = AliveUpdate | AccusationUpdate | LeftUpdate

/** A member in a full state exchange. `ageMs` = how long it has had this status: no clock is compared between nodes. */
export interface SyncEntry {
  readonly member: MemberRecord
  readonly ageMs: number
  /** Where the member was, `ageMs` before. Absent if the sender does not know. */
  readonly place?: { readonly coordinate: Coordinate; readonly ageMs: number }
}

/** A message between two cores. `seq` is chosen by the sender of a request and comes back in the answer. */
export type SwimMessage =
  | { readonly type: 'ping' | 'nack'; readonly seq: number; readonly updates: readonly Update[] }
  | {
      readonly type: 'ack'
      readonly seq: number
      readonly updates: readonly Update[]
      /** Where the sender is. */
      readonly coordinate?: Coordinate
    }
  | {
      readonly type: 'ping-req'
      readonly seq: number
      readonly target: NodeId
      readonly updates: readonly Update[]
    }
  | { readonly type: 'gossip'; readonly updates: readonly Update[] }

/** How an attempt to connect ended. `refused`: nobody listens there, or somebody else does. `failed`: it proves nothing. */
export type DialOutcome = 'connected' | 'refused' | 'failed'

/** Why a member cannot be forced to leave. */
export type ForceLeaveRefusal = 'unknown' | 'self' | 'living'

/** What the driver has to do, in this order. */
export type SwimAction =
  | { readonly type: 'send'; readonly to: NodeId; readonly message: SwimMessage }
  /** Connect, then report with `dialed`. */
  | { readonly type: 'dial'; readonly id: NodeId; readonly address: string }
  /** Keep connections to these; to all others one may be closed while nobody needs it. Null: to everybody. */
  | { readonly type: 'keep'; readonly ids: readonly NodeId[] | null }
  /** The member was given up: a connection that still stands is of no use, a fresh one will prove that it is back. */
  | { readonly type: 'close'; readonly id: NodeId }
  /** Exchange the full state with this peer (`snapshot`, `merge`). */
  | { readonly type: 'sync'; readonly peer: NodeId }
  | {
      readonly type: 'change'
      readonly member: MemberRecord
      readonly previous: MemberRecord | undefined
    }
  /** The member is forgotten: reaped, or replaced by a new identity of the same name. */
  | { readonly type: 'remove'; readonly member: MemberRecord }
  /**
   * Two living nodes claim one name; `newcomer`, which may be this node, is not admitted. `by` is the peer that says so of this
   * node. Reported once per pair.
   */
  | {
      readonly type: 'conflict'
      readonly name: string
      readonly holder: { readonly id: NodeId; readonly address: string }
      readonly newcomer: { readonly id: NodeId; readonly address: string }
      readonly by: NodeId | null
    }
  /** The table is full and this member was not admitted. Reported once until there is room again. */
  | { readonly type: 'full'; readonly name: string; readonly id: NodeId }
  | { readonly type: 'leave-acked'; readonly by: NodeId }
  /** A member answered a ping itself. */
  | { readonly type: 'rtt'; readonly id: NodeId; readonly rttMs: number }

/** What the parts of the core share. `random` answers in [0, 1). */
export interface CoreContext {
  readonly timings: SwimTimings
  readonly random: () => number
  emit(action: SwimAction): void
}

/** The knobs of the protocol. Durations in milliseconds. Defaults in `DEFAULT_TIMINGS`. */
export interface SwimTimings {
  /** One member is probed per interval (SWIM's protocol period). */
  readonly probeIntervalMs: number
  /** A direct ping unanswered for this long is tried through others. */
  readonly probeTimeoutMs: number
  /** How many others are asked (SWIM's k). */
  readonly indirectChecks: number
  /** Shortest suspicion = this × max(1, log10 n) × probeIntervalMs. */
  readonly suspicionMult: number
  /** Longest suspicion = this × the shortest (Lifeguard). */
  readonly suspicionMaxMult: number
  readonly gossipIntervalMs: number
  readonly gossipNodes: number
  /** How long the failed still get gossip, so that they learn of it and refute. */
  readonly gossipToDeadMs: number
  /** An update is sent this × ceil(log10(n + 1)) times. */
  readonly retransmitMult: number
  /** Full state exchange with a random peer. */
  readonly syncIntervalMs: number
  /** From a lost last connection to the verdict, when nobody listens there any more. */
  readonly evidenceTimeoutMs: number
  /** Between attempts to connect again while such a verdict is open. */
  readonly redialMs: number
  readonly dialBackoffMinMs: number
  readonly dialBackoffMaxMs: number
  /** The failed are dialled every 1 to 2 × this. */
  readonly failedRedialMs: number
  /** Attempts to connect under way at once. */
  readonly dialsMax: number
  readonly leftKeptMs: number
  readonly failedKeptMs: number
  /** A tick later than this means that this process stood still: deadlines move by the delay. */
  readonly stallMs: number
  readonly membersMax: number
  /** With more living members than this a node keeps connections to some of them only; Infinity: always to all. */
  readonly connectionsMax: number
  /** Bytes of piggybacked updates in one message. */
  readonly updatesBytesMax: number
}

/** memberlist's LAN profile, plus ours for connection evidence and reconnection. */
export const DEFAULT_TIMINGS: SwimTimings = Object.freeze({
  probeIntervalMs: 1000,
  probeTimeoutMs: 500,
  indirectChecks: 3,
  suspicionMult: 4,
  suspicionMaxMult: 6,
  gossipIntervalMs: 200,
  gossipNodes: 3,
  gossipToDeadMs: 30_000,
  retransmitMult: 4,
  syncIntervalMs: 30_000,
  evidenceTimeoutMs: 800,
  redialMs: 250,
  dialBackoffMinMs: 1000,
  dialBackoffMaxMs: 10_000,
  failedRedialMs: 5000,
  dialsMax: 16,
  leftKeptMs: 600_000,
  failedKeptMs: 259_200_000,
  stallMs: 250,
  membersMax: 2000,
  connectionsMax: Number.POSITIVE_INFINITY,
  updatesBytesMax: 8192,
})
