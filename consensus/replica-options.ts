import type { Logger } from 'pino'
import type { Clock } from './clock.ts'
import type { ReplicaMetrics } from './metrics.ts'
import type { LogStore } from './storage/log-store.ts'
import type { Transport } from './transport.ts'

/** Settings of a replica. */
export interface ReplicaOptions {
  readonly nodeId: string
  /** Length of a tick. Election timeouts are 10 to 20 ticks, heartbeats two. Default 100. */
  readonly tickMs?: number
  /** A snapshot is taken after this many applied entries … Default 8,192. */
  readonly snapshotEntries?: number
  /** … or after this many bytes of them, which bounds the log kept in memory. Default 32 MiB. */
  readonly snapshotBytes?: number
  /** Entries kept behind a snapshot for followers that lag a little. Default 1,024. */
  readonly keepEntries?: number
  /** How many voters the cluster aims at; the rest are learners. Odd. Default 5. */
  readonly votersTarget?: number
  /** How many learners are kept; nodes beyond become clients, unless voters are wanting. Default 16. */
  readonly learnersMax?: number
  /** A voter silent for this long is replaced. Default 60,000. */
  readonly deadVoterGraceMs?: number
  /** A learner silent for this long is removed. Default 24 hours. */
  readonly deadLearnerGraceMs?: number
  /** Answer default reads from a lease of the leader, see `RaftOptions.leaseReads`. Default false. */
  readonly leaseReads?: boolean
  /** A full disk is tried again this often. Default 1,000. */
  readonly diskRetryMs?: number
}

/** Settings of everything but identity. */
export const REPLICA_DEFAULTS = {
  tickMs: 100,
  snapshotEntries: 8192,
  snapshotBytes: 32 << 20,
  keepEntries: 1024,
  votersTarget: 5,
  learnersMax: 16,
  deadVoterGraceMs: 60_000,
  deadLearnerGraceMs: 24 * 60 * 60_000,
  leaseReads: false,
  diskRetryMs: 1000,
} as const

/** What a replica works with. */
export interface ReplicaCollaborators {
  readonly store: LogStore
  readonly transport: Transport
  readonly log: Logger
  readonly clock: Clock
  readonly random: () => number
  readonly metrics: ReplicaMetrics | null
  /** Called once when storage failed or an invariant broke: the process should stop before it does harm. */
  readonly onFatal: (error: Error) => void
}
