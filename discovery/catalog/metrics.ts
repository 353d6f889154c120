import { Counter, Gauge, type Registry } from 'prom-client'

/** Why something received was not taken. */
export type RejectReason =
  | 'garbage'
  /** Not signed by the node it is about. */
  | 'forged'
  | 'stale'
  /** Signed, and it does not hold together. */
  | 'inconsistent'
  /** A step that does not lead to what was signed from what is held here: the whole record is fetched. */
  | 'diverged'
  /** Of a node that left or was forgotten. */
  | 'buried'
  | 'too-large'
  | 'no-room'

/** The metrics of the catalogue. Without a registry they count for nobody. */
export class CatalogMetrics {
  readonly rejected: Counter<'reason'>
  readonly deltas: Counter
  readonly fetches: Counter<'result'>
  readonly exchanges: Counter<'result'>

  constructor(
    registry: Registry | undefined,
    readings: { nodes(): number; services(): number; digest(): number },
  ) {
    const registers = registry ? [registry] : []
    this.rejected = new Counter({
      name: 'constellation_catalog_rejected_total',
      help: 'Received catalogue messages or records that were not taken',
      labelNames: ['reason'],
      registers,
    })
    this.deltas = new Counter({
      name: 'constellation_catalog_deltas_applied_total',
      help: 'Gossiped changes of other nodes that were applied',
      registers,
    })
    this.fetches = new Counter({
      name: 'constellation_catalog_fetches_total',
      help: 'Requests for whole records',
      labelNames: ['result'],
      registers,
    })
    this.exchanges = new Counter({
      name: 'constellation_catalog_exchanges_total',
      help: 'Comparisons of digests with a peer',
      labelNames: ['result'],
      registers,
    })
    if (!registry) return
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read())
        },
      })
    gauge('constellation_catalog_nodes', 'Nodes shown', () => readings.nodes())
    gauge(
      'constellation_catalog_digest',
      'First 48 bits of the digest of the catalogue: equal on all nodes that hold the same records',
      () => readings.digest(),
    )
    gauge('constellation_catalog_services', 'Names of services known', () => readings.services())
  }
}
