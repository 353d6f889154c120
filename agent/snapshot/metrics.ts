import { Counter, Gauge, type Registry } from 'prom-client'

/** What became of a scheduled snapshot: a file, no need for one, or a failure. */
export type BackupResult = 'saved' | 'unchanged' | 'failed'

/** Metrics of the scheduled snapshots of this node. */
export class BackupMetrics {
  readonly #runs: Counter
  readonly #lastSuccess: Gauge
  readonly #seconds: Gauge
  readonly #bytes: Gauge

  constructor(registry: Registry) {
    const registers = [registry]
    this.#runs = new Counter({
      name: 'constellation_backup_runs_total',
      help: 'Scheduled snapshots: saved, unchanged since the last one, failed',
      labelNames: ['result'],
      registers,
    })
    this.#lastSuccess = new Gauge({
      name: 'constellation_backup_last_success_timestamp_seconds',
      help: 'When the newest scheduled snapshot was last known to hold all keys, Unix time',
      registers,
    })
    this.#seconds = new Gauge({
      name: 'constellation_backup_seconds',
      help: 'Time it took to save the last scheduled snapshot',
      registers,
    })
    this.#bytes = new Gauge({
      name: 'constellation_backup_bytes',
      help: 'Size of the file of the last scheduled snapshot',
      registers,
    })
  }

  saved(about: { readonly ms: number; readonly bytes: number; readonly wallMs: number }): void {
    this.#runs.inc({ result: 'saved' satisfies BackupResult })
    this.#seconds.set(about.ms / 1000)
    this.#bytes.set(about.bytes)
    this.#lastSuccess.set(about.wallMs / 1000)
  }

  unchanged(wallMs: number): void {
    this.#runs.inc({ result: 'unchanged' satisfies BackupResult })
    this.#lastSuccess.set(wallMs / 1000)
  }

  failed(): void {
    this.#runs.inc({ result: 'failed' satisfies BackupResult })
  }
}
