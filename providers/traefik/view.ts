import { createHash } from 'node:crypto'
import type { Logger } from 'pino'
import type { Catalog, CatalogInstance } from '../../discovery/catalog/types.ts'
import { type Contribution, contributionOf } from './instance.ts'
import type { TraefikProblem } from './problem.ts'
import { type Rendered, type RenderOptions, type RenderVariant, renderTraefik } from './render.ts'

/** What a poll is answered with. */
export interface TraefikDocument extends Rendered {
  /** Strong entity tag of the body, with its quotes. Equal on every node that serves the same bytes. */
  readonly etag: string
}

/** What {@link TraefikView} reads. */
export interface TraefikViewCollaborators {
  readonly catalog: Pick<Catalog, 'index' | 'services' | 'instances' | 'node'>
  readonly log: Logger
  /** `node.priority` by name of the node; 100 where it is missing. */
  readonly priorities?: () => ReadonlyMap<string, number>
}

/** Documents for Traefiks that say on which node they run, kept at once. */
const VARIANTS_MAX = 256

/** Keeps what was rendered and renders again only when it is asked for after something has changed. */
export class TraefikView {
  readonly #catalog: TraefikViewCollaborators['catalog']
  readonly #log: Logger
  readonly #priorities: () => ReadonlyMap<string, number>
  #options: RenderOptions
  #contributions = new WeakMap<CatalogInstance, Contribution>()
  #inputs = ''
  #documents = new Map<string, TraefikDocument>()
  #tags = new Map<string, TraefikDocument>()
  #problems: readonly TraefikProblem[] = []

  constructor(options: RenderOptions, collaborators: TraefikViewCollaborators) {
    this.#options = options
    this.#catalog = collaborators.catalog
    this.#log = collaborators.log
    this.#priorities = collaborators.priorities ?? (() => new Map())
  }

  /** Takes other settings. */
  configure(options: RenderOptions): void {
    this.#options = options
    this.#contributions = new WeakMap()
    this.#inputs = ''
  }

  /**
   * The document for the catalogue as it is now. A poll without a change in between costs a comparison.
   * @param local name of the node the poller runs on; one that is not known changes nothing
   */
  document(local?: string): TraefikDocument {
    const priorities = this.#priorities()
    const inputs = `${this.#catalog.index} ${JSON.stringify([...priorities])}`
    if (inputs !== this.#inputs) {
      this.#inputs = inputs
      this.#tags = this.#documents
      this.#documents = new Map()
    }
    const known = local !== undefined && this.#catalog.node(local) !== undefined ? local : undefined
    const key = known ?? ''
    const document =
      this.#documents.get(key) ??
      this.#render(key, { priorities, ...(known === undefined ? {} : { local: known }) })
    return document
  }

  #render(key: string, variant: RenderVariant): TraefikDocument {
    const rendered = renderTraefik(this.#catalog, this.#options, {
      ...variant,
      contribute: (instance) => this.#contribute(instance),
    })
    // The tag of unchanged bytes is kept: most changes of the catalogue do not touch the document.
    const before = this.#tags.get(key)
    const etag = rendered.body === before?.body ? before.etag : entityTag(rendered.body)
    const document = { ...rendered, etag }
    if (this.#documents.size < VARIANTS_MAX) this.#documents.set(key, document)
    this.#report(rendered.problems)
    return document
  }

  #contribute(instance: CatalogInstance): Contribution {
    const known = this.#contributions.get(instance)
    if (known !== undefined) return known
    const contribution = contributionOf(instance, this.#options)
    this.#contributions.set(instance, contribution)
    return contribution
  }

  /** Logs each problem once, when it appears. */
  #report(problems: readonly TraefikProblem[]): void {
    const known = new Set(this.#problems.map((problem) => problem.message))
    this.#problems = problems
    for (const problem of problems) {
      if (known.has(problem.message)) continue
      const { code, service, node, instance, label } = problem
      this.#log.warn({ code, service, node, instance, label }, problem.message)
    }
  }
}

function entityTag(body: string): string {
  return `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
}
