import type { Logger } from 'pino'
import type { Catalog } from '../../discovery/catalog/types.ts'
import type { Membership } from '../../discovery/membership/types.ts'
import { TraefikView } from '../../providers/traefik/view.ts'
import type { TraefikConfig } from '../config/types.ts'
import type { TraefikView as ServedView } from '../http/collaborators.ts'
import { prioritiesOf, traefikOptions } from './traefik-options.ts'

/** What {@link ReloadableTraefik} works with. */
export interface TraefikCollaborators {
  readonly catalog: Catalog
  readonly membership: Pick<Membership, 'members'>
  /** Whether what this node knows is enough to replace the routes of a running Traefik. */
  readonly synced: () => boolean
  readonly log: Logger
}

/** The document for Traefik, with settings that can change while the agent runs. */
export class ReloadableTraefik implements ServedView {
  readonly #synced: () => boolean
  readonly #view: TraefikView

  constructor(settings: TraefikConfig, { catalog, membership, synced, log }: TraefikCollaborators) {
    this.#synced = synced
    const priorities = () => prioritiesOf(membership.members())
    this.#view = new TraefikView(traefikOptions(settings), { catalog, log, priorities })
  }

  configure(settings: TraefikConfig): void {
    this.#view.configure(traefikOptions(settings))
  }

  document(local?: string) {
    return this.#view.document(local)
  }

  ready(): boolean {
    return this.#synced()
  }
}
