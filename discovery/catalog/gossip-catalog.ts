import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Membership } from '../membership/types.ts'
import type { Mesh } from '../mesh/types.ts'
import { digestNumber } from './digest.ts'
import { type LastResult, LocalRecord, type LocalRecordOptions } from './local-record.ts'
import { CatalogMetrics } from './metrics.ts'
import { hostOf } from './node-view.ts'
import { runIndexes } from './run-indexes.ts'
import { readMeta } from './shapes.ts'
import { CatalogStore } from './store.ts'
import { CatalogSync, type CatalogSyncOptions } from './sync.ts'

/** Settings of {@link GossipCatalog}. */
export interface GossipCatalogOptions
  extends CatalogSyncOptions,
    Pick<LocalRecordOptions, 'outputIntervalMs'> {
  /** Name of this node, as its membership says it. */
  readonly name: string
  /** host:port of its mesh listener; the record carries the host part. */
  readonly address: string
  /** At most 64 pairs. */
  readonly meta: Readonly<Record<string, string>>
  /** `services.json` is kept here. */
  readonly dataDir: string
}

/** What {@link GossipCatalog} works with. */
export interface GossipCatalogCollaborators {
  readonly mesh: Mesh
  /** `hasSeeds`: there are addresses to find others by, so a lonely node has not heard everything yet. */
  readonly membership: Membership & { readonly hasSeeds?: boolean }
  readonly log: Logger
  readonly metrics?: Registry
  /** What a check of this node found last in the run before; without it every check is critical until it has run. */
  readonly lastResult?: LastResult
  readonly now?: () => number
  /** Time of day, in ms. */
  readonly wall?: () => number
  readonly random?: () => number
}

/** The catalogue of one agent: its own record, the read model of all records, and what keeps them in step. */
export class GossipCatalog {
  /** This node's own record. Usable once started. */
  readonly local: LocalRecord
  /** The read model. */
  readonly store: CatalogStore
  readonly #options: GossipCatalogOptions
  readonly #membership: GossipCatalogCollaborators['membership']
  readonly #sync: CatalogSync
  readonly #now: () => number
  #stopFollowing: (() => void) | null = null
  #transition: Promise<void> = Promise.resolve()

  /** @throws CatalogError `CAT_INVALID` when the meta is out of bounds */
  constructor(options: GossipCatalogOptions, collaborators: GossipCatalogCollaborators) {
    const { mesh, membership, log } = collaborators
    this.#options = { ...options, meta: readMeta(options.meta, 'the meta of this node') }
    this.#membership = membership
    this.#now = collaborators.now ?? (() => performance.now())
    const { lastResult } = collaborators
    this.local = new LocalRecord(options, { log, ...(lastResult === undefined ? {} : { lastResult }) })
    const random = collaborators.random ?? Math.random
    const indexes = runIndexes((collaborators.wall ?? Date.now)(), random())
    this.store = new CatalogStore({ membership, log, indexes })
    const metrics = new CatalogMetrics(collaborators.metrics, {
      nodes: () => this.store.nodes().length,
      services: () => this.store.services().size,
      digest: () => digestNumber(this.store.digest().digest),
    })
    this.#sync = new CatalogSync(options, {
      mesh,
      membership,
      local: this.local,
      store: this.store,
      log,
      metrics,
      now: this.#now,
      random,
    })
  }

  /**
   * Loads the registrations and begins to exchange. Mesh and membership run already.
   * @throws CatalogError `CAT_FILE_DAMAGED` or `CAT_FILE_FAILED`
   */
  start(): Promise<void> {
    return this.#next(async () => {
      if (this.#stopFollowing) return
      const { id, incarnation } = this.#membership.local()
      const { name, address, meta } = this.#options
      await this.local.open({ id, name, address: hostOf(address), meta, incarnation })
      this.#stopFollowing = this.local.onChange((record) => this.store.put(record, this.#now()))
      this.store.put(this.local.published(), this.#now())
      this.store.start()
      const lonely = this.#membership.members().every((member) => member.id === id)
      if (lonely && !this.#membership.hasSeeds) this.store.markSynced()
      this.#sync.start()
    })
  }

  /** Ends the exchange; registrations are on disk afterwards. @throws CatalogError `CAT_FILE_FAILED` */
  stop(): Promise<void> {
    return this.#next(async () => {
      if (!this.#stopFollowing) return
      this.#sync.stop()
      this.local.close()
      this.store.stop()
      this.#stopFollowing()
      this.#stopFollowing = null
      await this.local.flush()
    })
  }

  /** start and stop run one after the other, in the order they were called. */
  #next(step: () => Promise<void>): Promise<void> {
    const done = this.#transition.then(step)
    this.#transition = done.catch(() => undefined)
    return done
  }
}
