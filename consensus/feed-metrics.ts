import { Counter, Gauge, type Registry } from 'prom-client'

/** Metrics of the feed: what this node gives as a member, and what it gets as a client. */
export class FeedMetrics {
  readonly #followers: Gauge
  readonly #entries: Counter
  readonly #bytes: Counter
  readonly #snapshots: Counter
  readonly #refused: Counter
  readonly #lag: Gauge
  readonly #restarts: Counter
  readonly #changes: Counter

  constructor(registry: Registry) {
    const registers = [registry]
    this.#followers = new Gauge({
      name: 'constellation_feed_followers',
      help: 'Clients this node feeds',
      registers,
    })
    this.#entries = new Counter({
      name: 'constellation_feed_entries_total',
      help: 'Log entries fed to clients',
      registers,
    })
    this.#bytes = new Counter({
      name: 'constellation_feed_bytes_total',
      help: 'Bytes of entries and snapshots fed to clients',
      registers,
    })
    this.#snapshots = new Counter({
      name: 'constellation_feed_snapshots_total',
      help: 'Whole states fed to clients',
      registers,
    })
    this.#refused = new Counter({
      name: 'constellation_feed_refused_total',
      help: 'Clients turned away because too many were fed already',
      registers,
    })
    this.#lag = new Gauge({
      name: 'constellation_feed_lag_entries',
      help: 'Entries a client is behind the member that feeds it; 0 on a member',
      registers,
    })
    this.#restarts = new Counter({
      name: 'constellation_feed_restarts_total',
      help: 'Whole states a client took over',
      registers,
    })
    this.#changes = new Counter({
      name: 'constellation_feed_feeder_changes_total',
      help: 'Changes of the member that feeds this client',
      registers,
    })
  }

  followers(count: number): void {
    this.#followers.set(count)
  }

  fed(entries: number, bytes: number): void {
    this.#entries.inc(entries)
    this.#bytes.inc(bytes)
  }

  snapshotFed(): void {
    this.#snapshots.inc()
  }

  refused(): void {
    this.#refused.inc()
  }

  lag(entries: number): void {
    this.#lag.set(entries)
  }

  restarted(): void {
    this.#restarts.inc()
  }

  feederChanged(): void {
    this.#changes.inc()
  }
}
