import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { ConsensusStatus } from './client.ts'
import { SnapshotMetrics } from './snapshot-metrics.ts'

/** Metrics of the replica. */
export class ReplicaMetrics {
  readonly snapshots: SnapshotMetrics
  readonly #term: Gauge
  readonly #isLeader: Gauge
  readonly #leaderChanges: Counter
  readonly #applied: Gauge
  readonly #committed: Gauge
  readonly #appliedEntries: Counter
  readonly #writtenEntries: Counter
  readonly #writeSeconds: Histogram
  readonly #diskFull: Gauge
  #leader: string | null = null

  constructor(registry: Registry) {
    const registers = [registry]
    this.snapshots = new SnapshotMetrics(registry)
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
    this.#applied = new Gauge({
      name: 'constellation_raft_applied_index',
      help: 'Last applied log index',
      registers,
    })
    this.#committed = new Gauge({
      name: 'constellation_raft_commit_index',
      help: 'Last committed log index',
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

  applied(count: number, index: number, committed: number): void {
    this.#appliedEntries.inc(count)
    this.#applied.set(index)
    this.#committed.set(committed)
  }

  written(entries: number, durationMs: number): void {
    this.#writtenEntries.inc(entries)
    this.#writeSeconds.observe(durationMs / 1000)
  }
}
