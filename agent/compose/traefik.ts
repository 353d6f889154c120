import type { Logger } from 'pino'
import type { Catalog } from '../../discovery/catalog/types.ts'
import { TraefikView } from '../../providers/traefik/view.ts'
import type { Config } from '../config/types.ts'
import type { TraefikView as ServedView } from '../http/collaborators.ts'

/** The document for Traefik, with settings that can change while the agent runs. */
export class ReloadableTraefik implements ServedView {
  readonly #catalog: Catalog
  readonly #synced: () => boolean
  readonly #log: Logger
  #view: TraefikView

  constructor(
    settings: NonNullable<Config['providers']['traefik']>,
    collaborators: {
      readonly catalog: Catalog
      /** Whether what this node knows is enough to replace the routes of a running Traefik. */
      readonly synced: () => boolean
      readonly log: Logger
    },
  ) {
    this.#catalog = collaborators.catalog
    this.#synced = collaborators.synced
    this.#log = collaborators.log
    this.#view = this.#render(settings)
  }

  configure(settings: NonNullable<Config['providers']['traefik']>): void {
    this.#view = this.#render(settings)
  }

  document() {
    return this.#view.document()
  }

  problems() {
    return this.#view.document().problems
  }

  ready(): boolean {
    return this.#synced()
  }

  #render({ entryPoints }: NonNullable<Config['providers']['traefik']>): TraefikView {
    return new TraefikView({ entryPoints }, { catalog: this.#catalog, log: this.#log })
  }
}
