import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** What can happen to a snapshot of the replicated state. */
export type SnapshotEvent = 'taken' | 'installed' | 'sent'

/** Metrics of the snapshots that keep the log short and bring followers up to date. */
export class SnapshotMetrics {
  readonly #done: Counter
  readonly #failed: Counter
  readonly #seconds: Histogram
  readonly #bytes: Gauge
  readonly #index: Gauge
  readonly #timestamp: Gauge

  constructor(registry: Registry) {
    const registers = [registry]
    const labelNames = ['event']
    this.#done = new Counter({
      name: 'constellation_raft_snapshots_total',
      help: 'Snapshots taken of the own state, installed from the leader, sent to a follower',
      labelNames,
      registers,
    })
    this.#failed = new Counter({
      name: 'constellation_raft_snapshot_failures_total',
      help: 'Snapshots that could not be taken, installed or sent',
      labelNames,
      registers,
    })
    this.#seconds = new Histogram({
      name: 'constellation_raft_snapshot_seconds',
      help: 'Time it took to take, install or send a snapshot',
      labelNames,
      buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60],
      registers,
    })
    this.#bytes = new Gauge({
      name: 'constellation_raft_snapshot_bytes',
      help: 'Size of the last snapshot taken or installed',
      registers,
    })
    this.#index = new Gauge({
      name: 'constellation_raft_snapshot_index',
      help: 'Log index of the last snapshot',
      registers,
    })
    this.#timestamp = new Gauge({
      name: 'constellation_raft_snapshot_timestamp_seconds',
      help: 'When the last snapshot was taken or installed since the start, Unix time',
      registers,
    })
  }

  /** `wallMs`: Unix time of the end. */
  done(event: SnapshotEvent, about: { index: number; bytes: number; ms: number; wallMs: number }): void {
    this.#done.inc({ event })
    this.#seconds.observe({ event }, about.ms / 1000)
    // What is sent was taken earlier.
    if (event === 'sent') return
    this.#bytes.set(about.bytes)
    this.#timestamp.set(about.wallMs / 1000)
    this.setIndex(about.index)
  }

  failed(event: SnapshotEvent): void {
    this.#failed.inc({ event })
  }

  setIndex(index: number): void {
    this.#index.set(index)
  }
}
