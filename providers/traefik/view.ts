import { createHash } from 'node:crypto'
import type { Logger } from 'pino'
import type { Catalog, CatalogInstance } from '../../discovery/catalog/types.ts'
import { Guard, type GuardClock, type GuardOptions } from './guard.ts'
import { type Contribution, contributionOf } from './instance.ts'
import type { TraefikProblem } from './problem.ts'
import { type Remembered, standIns, textToRemember } from './remembered.ts'
import {
  instancesOf,
  type Rendered,
  type RenderOptions,
  type RenderVariant,
  renderContributions,
} from './render.ts'
import { RenderCache } from './render-cache.ts'
import { Settling } from './settling.ts'

/** What a poll is answered with. */
export interface TraefikDocument extends Rendered {
  /** Strong entity tag of the body, with its quotes. Equal on every node that serves the same bytes. */
  readonly etag: string
  /** Load balancers that keep servers they have lost, because too many lost theirs at once. */
  readonly held: readonly string[]
}

/** Settings of the view. */
export interface TraefikViewOptions {
  readonly render: RenderOptions
  readonly guard: GuardOptions
  /** How long after a change the next one waits. */
  readonly settleMs: number
}

/** What {@link TraefikView} reads. */
export interface TraefikViewCollaborators {
  readonly catalog: Pick<Catalog, 'index' | 'services' | 'instances' | 'node'>
  readonly log: Logger
  readonly clock: GuardClock
  /** `node.priority` by name of the node; 100 where it is missing. */
  readonly priorities?: () => ReadonlyMap<string, number>
  /** Services whose routers outlive their instances. */
  readonly memory?: { readonly version: number; readonly remembered: ReadonlyMap<string, Remembered> }
}

/** Documents for Traefiks that say on which node they run, kept at once. */
const VARIANTS_MAX = 256
/** Fewer missing services than this are no reason for distrust. */
const MISSING_MIN = 3

interface Variant {
  readonly settling: Settling<Served>
  inputs: string
  next: Served
}

type Served = TraefikDocument & { readonly document: Rendered['trace']['document'] }

/** Keeps what was rendered and renders again only when it is asked for after something has changed. */
export class TraefikView {
  readonly #with: TraefikViewCollaborators
  readonly #guard: Guard
  readonly #variants = new Map<string, Variant>()
  #options: TraefikViewOptions
  #read = new WeakMap<CatalogInstance, Contribution>()
  #gone = new WeakMap<Remembered, readonly Contribution[]>()
  #texts = new WeakMap<readonly CatalogInstance[], string | null>()
  #cache = new RenderCache()
  #generation = 0
  #inputs = ''
  #guarded: { readonly contributions: readonly Contribution[]; readonly held: readonly string[] } = {
    contributions: [],
    held: [],
  }
  #toRemember: { readonly index: string; readonly texts: ReadonlyMap<string, string> } | null = null
  #problems: readonly TraefikProblem[] = []

  constructor(options: TraefikViewOptions, collaborators: TraefikViewCollaborators) {
    this.#options = options
    this.#with = collaborators
    this.#guard = new Guard(options.guard, collaborators.clock)
  }

  /** Takes other settings. */
  configure(options: TraefikViewOptions): void {
    this.#options = options
    this.#guard.configure(options.guard)
    this.#read = new WeakMap()
    this.#gone = new WeakMap()
    this.#texts = new WeakMap()
    this.#cache = new RenderCache()
    this.#generation += 1
  }

  /**
   * The document for the catalogue as it is now. A poll without a change in between costs a comparison.
   * @param local name of the node the poller runs on; one that is not known changes nothing
   */
  document(local?: string): TraefikDocument {
    const { settling, next } = this.#variant(local)
    return settling.take(next, this.#options.settleMs, this.#with.clock.now())
  }

  /** What the document is about to be, for people: `document` may lag behind it until a burst of changes is over. */
  current(): TraefikDocument {
    return this.#variant(undefined).next
  }

  #variant(local: string | undefined): Variant {
    const priorities = this.#with.priorities?.() ?? new Map<string, number>()
    this.#refresh()
    const known = local !== undefined && this.#with.catalog.node(local) !== undefined ? local : undefined
    const key = known ?? ''
    const inputs = `${this.#inputs} ${JSON.stringify([...priorities])}`
    const before = this.#variants.get(key)
    const variant: Variant =
      before?.inputs === inputs
        ? before
        : {
            inputs,
            settling: before?.settling ?? new Settling(),
            next: this.#render(before?.next, {
              priorities,
              ...(known === undefined ? {} : { local: known }),
            }),
          }
    this.#keep(key, variant)
    return variant
  }

  /**
   * Text to remember by service name, of the services in the catalogue that have routes; the same map while nothing has
   * changed.
   */
  toRemember(): ReadonlyMap<string, string> {
    const index = `${this.#generation} ${this.#with.catalog.index}`
    if (this.#toRemember?.index === index) return this.#toRemember.texts
    const texts = new Map<string, string>()
    for (const service of this.#with.catalog.services().keys()) {
      const text = this.#textOf(this.#with.catalog.instances(service))
      if (text !== null) texts.set(service, text)
    }
    this.#toRemember = { index, texts }
    return texts
  }

  /** The catalogue hands out the same list while nothing has changed about a service. */
  #textOf(instances: readonly CatalogInstance[]): string | null {
    const known = this.#texts.get(instances)
    if (known !== undefined) return known
    const text = textToRemember(instances.map((instance) => this.#contribute(instance)))
    this.#texts.set(instances, text)
    return text
  }

  /**
   * Names of services that ought to be in the catalogue and are not, if they are more than may vanish at once. Right after
   * a start that says that this node has not heard of everybody yet.
   */
  missing(): readonly string[] {
    const remembered = [...(this.#with.memory?.remembered.values() ?? [])].filter(({ leaving }) => !leaving)
    const present = this.#with.catalog.services()
    const missing = remembered.filter(({ name }) => !present.has(name))
    const { percent } = this.#options.guard
    const tooMany = missing.length >= MISSING_MIN && missing.length * 100 > percent * remembered.length
    return tooMany ? missing.map(({ name }) => name) : []
  }

  /** Reads the catalogue if it has changed, or if a hold is over. */
  #refresh(): void {
    const { catalog, memory } = this.#with
    const inputs = `${this.#generation} ${catalog.index} ${memory?.version ?? 0}`
    const base = this.#inputs.split('|', 1)[0]
    if (base === inputs && !this.#guard.isDue) return
    const held = this.#guarded.held.length
    this.#guarded = this.#guard.apply(this.#contributions())
    if (this.#guarded.held.length > 0 && held === 0) {
      const first = this.#guarded.held.slice(0, 10)
      this.#with.log.warn(
        { count: this.#guarded.held.length, first },
        'many services lost all servers at once; held back',
      )
    }
    // A hold that ends changes what is rendered although nothing else has changed.
    this.#inputs = `${inputs}|${this.#guarded.held.length}`
  }

  #contributions(): readonly Contribution[] {
    const { catalog, memory } = this.#with
    const present = catalog.services()
    const gone = [...(memory?.remembered.values() ?? [])].filter(({ name }) => !present.has(name))
    return [
      ...instancesOf(catalog).map((instance) => this.#contribute(instance)),
      ...gone.flatMap((each) => this.#contributeGone(each)),
    ]
  }

  #render(before: Served | undefined, variant: RenderVariant): Served {
    const { contributions, held } = this.#guarded
    const rendered = renderContributions(contributions, this.#options.render, {
      ...variant,
      cache: this.#cache,
    })
    // The tag of unchanged bytes is kept: most changes of the catalogue do not touch the document.
    const etag = rendered.body === before?.body ? before.etag : entityTag(rendered.body)
    this.#report(rendered.problems)
    return { ...rendered, etag, held, document: rendered.trace.document }
  }

  #keep(key: string, variant: Variant): void {
    this.#variants.delete(key)
    this.#variants.set(key, variant)
    for (const oldest of this.#variants.keys()) {
      if (this.#variants.size <= VARIANTS_MAX) break
      this.#variants.delete(oldest)
    }
  }

  #contribute(instance: CatalogInstance): Contribution {
    const known = this.#read.get(instance)
    if (known !== undefined) return known
    const contribution = contributionOf(instance, this.#options.render)
    this.#read.set(instance, contribution)
    return contribution
  }

  #contributeGone(service: Remembered): readonly Contribution[] {
    const known = this.#gone.get(service)
    if (known !== undefined) return known
    const excluded = 'it is gone; its routers stay for a while'
    const contributions = standIns(service).map(
      (instance): Contribution => ({
        ...contributionOf(instance, this.#options.render),
        excluded,
        gone: true,
      }),
    )
    this.#gone.set(service, contributions)
    return contributions
  }

  /** Logs each problem once, when it appears. */
  #report(problems: readonly TraefikProblem[]): void {
    if (problems.length === 0 && this.#problems.length === 0) return
    const known = new Set(this.#problems.map((problem) => problem.message))
    this.#problems = problems
    for (const problem of problems) {
      if (known.has(problem.message)) continue
      const { code, service, node, instance, label } = problem
      this.#with.log.warn({ code, service, node, instance, label }, problem.message)
    }
  }
}

function entityTag(body: string): string {
  return `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
}
