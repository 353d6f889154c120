import { createHash } from 'node:crypto'
import type { Logger } from 'pino'
import type { Catalog } from '../../discovery/catalog/types.ts'
import type { TraefikProblem } from './problem.ts'
import { type Rendered, type RenderOptions, renderTraefik } from './render.ts'

/** What a poll is answered with. */
export interface TraefikDocument extends Rendered {
  /** Strong entity tag of the body, with its quotes. Equal on every node that serves the same bytes. */
  readonly etag: string
}

/** Keeps the rendered document and renders it again only when it is asked for after the catalogue has changed. */
export class TraefikView {
  readonly #options: RenderOptions
  readonly #catalog: Catalog
  readonly #log: Logger
  #index = -1
  #document: TraefikDocument | null = null

  constructor(options: RenderOptions, collaborators: { readonly catalog: Catalog; readonly log: Logger }) {
    this.#options = options
    this.#catalog = collaborators.catalog
    this.#log = collaborators.log
  }

  /** The document for the catalogue as it is now. A poll without a change in between costs a comparison. */
  document(): TraefikDocument {
    const { index } = this.#catalog
    if (this.#document !== null && this.#index === index) return this.#document
    const rendered = renderTraefik(this.#catalog, this.#options)
    this.#report(rendered.problems, this.#document?.problems ?? [])
    // The tag of unchanged bytes is kept: most changes of the catalogue do not touch the document.
    const etag = rendered.body === this.#document?.body ? this.#document.etag : entityTag(rendered.body)
    this.#document = { ...rendered, etag }
    this.#index = index
    return this.#document
  }

  /** Logs each problem once, when it appears. */
  #report(problems: readonly TraefikProblem[], before: readonly TraefikProblem[]): void {
    const known = new Set(before.map((problem) => problem.message))
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
