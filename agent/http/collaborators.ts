import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { ConsensusClient } from '../../consensus/client.ts'
import type { DigestedCatalog } from '../../discovery/catalog/digest.ts'
import type { Catalog, LocalCatalog } from '../../discovery/catalog/types.ts'
import type { UserEvents } from '../../discovery/events/types.ts'
import type { HealthRunner } from '../../discovery/health/types.ts'
import type { Keys } from '../../discovery/keyring/types.ts'
import type { Membership } from '../../discovery/membership/types.ts'
import type { DockerReport } from '../../providers/docker/report.ts'
import type { ServiceFilesReport } from '../../providers/files/service-files.ts'
import type { PollLog } from '../../providers/traefik/polls.ts'
import type { ClusterEventLog } from '../cluster-events/event-log.ts'
import type { Config } from '../config/types.ts'
import type { Backups } from '../snapshot/backups.ts'
import type { LogFeed } from '../telemetry/log-feed.ts'
import type { ParkingLot } from './blocking.ts'
import type { Authorizer } from './permissions.ts'
import type { SharedRenders } from './shared-renders.ts'

/** A lease as this node sees it. */
export interface LeaseInfo {
  readonly name: string
  /** Name of the node that holds it; null while nobody does. */
  readonly holder: string | null
  /** Log index of the acquisition; null while nobody holds it. */
  readonly fencingToken: number | null
  /** Id of the session that holds it. */
  readonly session: string | null
  readonly heldBySelf: boolean
}

/** The document Traefik polls, rendered elsewhere. */
export interface TraefikView {
  /** The body as it goes over the wire, its entity tag with quotes. `local`: name of the node the poller runs on. */
  document(local?: string): { readonly body: string; readonly etag: string }
  /** Why the document must not replace the routes of a running Traefik yet; null if it may. */
  reason(): string | null
  /** What people should know about it (each must survive JSON.stringify); of a service, what became of its instances. */
  explain(service?: string): {
    readonly etag: string
    readonly counts: { readonly routers: number; readonly services: number; readonly servers: number }
    readonly problems: readonly unknown[]
    readonly held: readonly string[]
    readonly gone: readonly string[]
    readonly instances?: readonly unknown[]
  }
  /** Who polled last. */
  readonly polls: Pick<PollLog, 'note' | 'list'>
}

/** Whether this node is fit to serve, and why not. */
export interface Readiness {
  ready(): boolean
  /** One short sentence for each reason not to be ready; empty when ready. */
  reasons(): readonly string[]
  /** True once this node knows the catalogue as far as it can. */
  readonly complete: boolean
  /** Waits until `complete`, at most `ms`. False if it is not by then. */
  whenComplete(ms: number, signal: AbortSignal): Promise<boolean>
  /** False when only a restart can help. */
  alive(): boolean
}

/** What an operator can ask of the whole agent. */
export interface Operations {
  /** Leaves the cluster on purpose. Must not wait for the HTTP server to close: the request that asked waits for it. */
  leave(): Promise<void>
  /** Reads the configuration again. Rejects with a sentence for the operator. */
  reload(): Promise<void>
  /** Connects to the member at `host:port`. Rejects with a sentence for the operator. */
  join(address: string): Promise<void>
}

/** Everything the HTTP interface needs from the rest of the agent. */
export interface HttpCollaborators {
  readonly consensus: ConsensusClient
  /** All keys at once, out of the store and back into it. */
  readonly backups: Pick<Backups, 'save' | 'restore'>
  readonly membership: Membership
  readonly catalog: Catalog & DigestedCatalog
  readonly local: LocalCatalog
  /** Brings what is declared into the catalogue. */
  readonly declared: { settled(): Promise<void> }
  readonly health: HealthRunner
  readonly events: UserEvents
  readonly keyring: Keys
  /** What happened in the cluster as this node saw it. */
  readonly clusterEvents: Pick<ClusterEventLog, 'sequence' | 'after' | 'latest' | 'onEvent'>
  readonly leases: { list(): readonly LeaseInfo[] }
  /** Null when the provider is not configured. */
  readonly traefik: TraefikView | null
  /** The containers of this host and what became of them; null or absent when the provider is not configured. */
  readonly docker?: (() => DockerReport) | null
  /** What became of the service files; null while no folder is followed. */
  readonly files?: () => ServiceFilesReport | null
  readonly readiness: Readiness
  readonly log: Logger
  readonly metrics: Registry
  /** The lines of the log as they are written. */
  readonly logFeed?: LogFeed
  readonly operations: Operations
  /** Who may do what. Everybody may do everything when absent. */
  readonly authorizer?: Authorizer
}

/** What every endpoint group is given. */
export interface HttpContext extends HttpCollaborators {
  readonly config: Config
  readonly version: string
  /** Where blocking queries wait. */
  readonly parking: ParkingLot
  /** What those who wait for the same list are all sent. */
  readonly renders: SharedRenders
}

/** What endpoint groups that only read the catalogue are given. */
export type CatalogContext = Omit<HttpContext, 'catalog'> & { readonly catalog: Catalog }
