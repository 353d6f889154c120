import type { Logger } from 'pino'
import type { ConsensusClient } from '../../consensus/client.ts'
import type { Clock } from '../../consensus/clock.ts'
import type { Catalog } from '../../discovery/catalog/types.ts'
import type { Membership } from '../../discovery/membership/types.ts'
import { explainService } from '../../providers/traefik/explain.ts'
import { PollLog } from '../../providers/traefik/polls.ts'
import { TraefikView } from '../../providers/traefik/view.ts'
import type { TraefikConfig } from '../config/types.ts'
import type { TraefikView as ServedView } from '../http/collaborators.ts'
import { prioritiesOf, traefikOptions } from './options.ts'
import { RouteMemory } from './route-memory.ts'

/** Whoever holds it writes what is remembered. */
const WRITER_LEASE = 'lb_leader'

/** What {@link ReloadableTraefik} works with. */
export interface TraefikCollaborators {
  readonly catalog: Catalog
  readonly membership: Pick<Membership, 'members'>
  readonly client: Pick<ConsensusClient, 'read' | 'watch' | 'propose'>
  readonly leases: { holds(name: string): boolean }
  /** Whether what this node knows is enough to replace the routes of a running Traefik. */
  readonly synced: () => boolean
  readonly clock: Clock
  readonly log: Logger
}

/** The document for Traefik, with settings that can change while the agent runs, and the memory of its routes. */
export class ReloadableTraefik implements ServedView {
  readonly memory: RouteMemory
  readonly polls: PollLog
  readonly #synced: () => boolean
  readonly #clock: Clock
  readonly #view: TraefikView
  #holdMs: number
  #syncedAt: number | null = null

  constructor(settings: TraefikConfig, collaborators: TraefikCollaborators) {
    const { catalog, membership, client, leases, synced, clock, log } = collaborators
    this.#synced = synced
    this.#clock = clock
    this.#holdMs = settings.holdMs
    this.polls = new PollLog({ wall: clock.wall })
    this.memory = new RouteMemory(settings, {
      client,
      wanted: () => (this.reason() === null ? this.#view.toRemember() : null),
      isPresent: (service) => catalog.services().has(service),
      mayWrite: () => leases.holds(WRITER_LEASE),
      log,
    })
    const priorities = () => prioritiesOf(membership.members())
    this.#view = new TraefikView(traefikOptions(settings), {
      catalog,
      log,
      priorities,
      clock,
      memory: this.memory,
    })
  }

  configure(settings: TraefikConfig): void {
    this.#holdMs = settings.holdMs
    this.memory.configure(settings)
    this.#view.configure(traefikOptions(settings))
  }

  document(local?: string) {
    return this.#view.document(local)
  }

  explain(service?: string) {
    const document = this.#view.current()
    const { etag, counts, problems, held } = document
    const gone = document.trace.contributions.flatMap((each) =>
      each.gone ? [each.instance.service.name] : [],
    )
    return {
      etag,
      counts,
      problems,
      held,
      gone: [...new Set(gone)].sort(),
      ...(service === undefined ? {} : { instances: explainService(document, service) }),
    }
  }

  /** Why the document is not to be trusted, for people; null if it is. */
  reason(): string | null {
    if (!this.#synced()) return 'the catalogue is not complete yet'
    this.#syncedAt ??= this.#clock.now()
    if (this.#clock.now() - this.#syncedAt >= this.#holdMs) return null
    const missing = this.#view.missing()
    if (missing.length === 0) return null
    const some = missing.slice(0, 3).join(', ')
    return `${missing.length} services that were there are not known yet, such as ${some}`
  }
}
