import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { ConsensusStatus } from './client.ts'
import type { MessageType } from './raft/types.ts'
import { type ReplicaReading, registerReplicaGauges } from './replica-gauges.ts'
import { SnapshotMetrics } from './snapshot-metrics.ts'

/** Why a write was not taken into the log. */
export type DropReason = 'overloaded' | 'not-leader' | 'transferring' | 'malformed'

/** Metrics of the replica. */
export class ReplicaMetrics {
  readonly snapshots: SnapshotMetrics
  readonly #term: Gauge
  readonly #isLeader: Gauge
  readonly #leaderChanges: Counter
  readonly #appliedEntries: Counter
  readonly #writtenEntries: Counter
  readonly #writeSeconds: Histogram
  readonly #diskFull: Gauge
  readonly #dropped: Counter
  readonly #configurationChanges: Counter
  readonly #messages: Counter
  readonly #registry: Registry
  #fed = { appliedIndex: 0, committedIndex: 0 }
  #leader: string | null = null

  constructor(registry: Registry) {
    this.#registry = registry
    const registers = [registry]
    this.snapshots = new SnapshotMetrics(registry)
    this.#dropped = new Counter({
      name: 'constellation_raft_proposals_dropped_total',
      help: 'Writes that were not taken into the log, by reason',
      labelNames: ['reason'],
      registers,
    })
    this.#configurationChanges = new Counter({
      name: 'constellation_raft_configuration_changes_total',
      help: 'Changes of the configuration applied since the start',
      registers,
    })
    this.#messages = new Counter({
      name: 'constellation_raft_messages_total',
      help: 'Messages of the protocol by direction and type',
      labelNames: ['direction', 'type'],
      registers,
    })
    this.#term = new Gauge({ name: 'constellation_raft_term', help: 'Current Raft term', registers })
    this.#isLeader = new Gauge({
      name: 'constellation_raft_is_leader',
      help: '1 if this node leads',
      registers,
    })
    this.#leaderChanges = new Counter({
      name: 'constellation_raft_leader_changes_total',
      help: 'Changes of the known leader',
      registers,
    })
    this.#appliedEntries = new Counter({
      name: 'constellation_raft_applied_entries_total',
      help: 'Entries applied',
      registers,
    })
    this.#writtenEntries = new Counter({
      name: 'constellation_raft_written_entries_total',
      help: 'Entries written to disk',
      registers,
    })
    this.#diskFull = new Gauge({
      name: 'constellation_raft_disk_full',
      help: '1 while writes wait because the disk is full',
      registers,
    })
    this.#writeSeconds = new Histogram({
      name: 'constellation_raft_fsync_seconds',
      help: 'Time of a synced write',
      buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1],
      registers,
    })
  }

  diskFull(isFull: boolean): void {
    this.#diskFull.set(isFull ? 1 : 0)
  }

  statusChanged(status: ConsensusStatus): void {
    this.#term.set(status.term)
    this.#isLeader.set(status.role === 'leader' ? 1 : 0)
    if (status.leader !== this.#leader) this.#leaderChanges.inc()
    this.#leader = status.leader
    this.snapshots.setIndex(status.snapshotIndex)
  }

  /** Where the figures come from that are read when somebody asks. Call once. */
  observe(read: () => ReplicaReading | null): void {
    registerReplicaGauges(this.#registry, () => {
      const reading = read()
      const { appliedIndex, committedIndex } = this.#fed
      return reading === null || reading.appliedIndex >= appliedIndex
        ? reading
        : { ...reading, appliedIndex, committedIndex: Math.max(appliedIndex, committedIndex) }
    })
  }

  /** Entries were applied to the copy of the replica. */
  applied(count: number): void {
    this.#appliedEntries.inc(count)
  }

  /** Entries were applied to the copy that a member feeds, which is read while it is further than the replica's. */
  appliedFed(count: number, appliedIndex: number, committedIndex: number): void {
    this.#appliedEntries.inc(count)
    this.#fed = { appliedIndex, committedIndex }
  }

  dropped(reason: DropReason, count: number): void {
    this.#dropped.inc({ reason }, count)
  }

  configurationChanged(): void {
    this.#configurationChanges.inc()
  }

  message(direction: 'in' | 'out', type: MessageType): void {
    this.#messages.inc({ direction, type })
  }

  written(entries: number, durationMs: number): void {
    this.#writtenEntries.inc(entries)
    this.#writeSeconds.observe(durationMs / 1000)
  }
}
