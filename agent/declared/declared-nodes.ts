import type { Logger } from 'pino'
import { Gauge, type Registry } from 'prom-client'
import type { ChangePosition, ConsensusClient, KvEntry, StateView } from '../../consensus/client.ts'
import { textToKey } from '../../consensus/state/keys.ts'
import { CatalogError } from '../../discovery/catalog/errors.ts'
import type { DeclaredNode, HealthCheck, ServiceInstance } from '../../discovery/catalog/types.ts'
import { DECLARED_PREFIX, type DeclaredKey, parseDeclaredKey } from './keys.ts'
import { type DeclaredHost, decodeCheck, decodeHost, decodeService } from './values.ts'

/** What {@link DeclaredNodes} works with. */
export interface DeclaredNodesCollaborators {
  readonly client: Pick<ConsensusClient, 'read' | 'watch'>
  readonly catalog: { declare(name: string, declared: DeclaredNode | null): void }
  readonly log: Logger
  readonly metrics?: Registry
}

interface Parts {
  host: DeclaredHost | null
  readonly services: Map<string, ServiceInstance>
  readonly checks: Map<string, HealthCheck>
}

const PREFIX = textToKey(DECLARED_PREFIX)
const BATCH = 1024
const RETRY_MS = 500

/**
 * Carries what is declared about nodes out of the replicated state into the catalogue of this node. Every node does it for
 * itself, so declared services are found without a leader as well.
 */
export class DeclaredNodes {
  readonly #with: DeclaredNodesCollaborators
  readonly #parts = new Map<string, Parts>()
  /** Keys whose value cannot be read, each complained about once. */
  readonly #damaged = new Set<string>()
  #position: ChangePosition | null = null
  #stopWatching: (() => void) | null = null
  #retry: NodeJS.Timeout | null = null
  #following: Promise<void> = Promise.resolve()

  constructor(collaborators: DeclaredNodesCollaborators) {
    this.#with = collaborators
    if (collaborators.metrics === undefined) return
    const { metrics } = collaborators
    const nodes = () => this.#parts.size
    const damaged = () => this.#damaged.size
    new Gauge({
      name: 'constellation_catalog_declared_nodes',
      help: 'Nodes about which something is declared.',
      registers: [metrics],
      collect() {
        this.set(nodes())
      },
    })
    new Gauge({
      name: 'constellation_catalog_declarations_unreadable',
      help: 'Keys below constellation/catalog/ whose value is no declaration.',
      registers: [metrics],
      collect() {
        this.set(damaged())
      },
    })
  }

  async start(): Promise<void> {
    if (this.#stopWatching !== null) return
    this.#stopWatching = this.#with.client.watch({ kind: 'prefix', prefix: PREFIX }, () => this.#next())
    this.#next()
    await this.#following
  }

  async stop(): Promise<void> {
    this.#stopWatching?.()
    this.#stopWatching = null
    if (this.#retry !== null) clearTimeout(this.#retry)
    await this.#following
  }

  /** Resolves when the catalogue shows what this node has applied by now. */
  settled(): Promise<void> {
    return this.#following
  }

  #next(): void {
    this.#following = this.#following.then(async () => {
      if (this.#stopWatching === null) return
      try {
        const { view } = await this.#with.client.read('stale')
        for (const name of this.#follow(view)) this.#declare(name)
      } catch (error) {
        this.#with.log.warn({ err: error }, 'what is declared could not be read; trying again')
        if (this.#retry !== null) clearTimeout(this.#retry)
        this.#retry = setTimeout(() => this.#next(), RETRY_MS)
      }
    })
  }

  /** Brings the parts up to the view. Answers the names of the nodes that something changed about. */
  #follow(view: StateView): Set<string> {
    const touched = new Set<string>()
    while (this.#position !== null) {
      const step = view.kvChanges(this.#position, PREFIX, BATCH)
      if (step === null) break
      this.#position = step.position
      for (const { key, entry } of step.changes) this.#apply(key, entry, touched)
      if (step.changes.length < BATCH) return touched
    }
    for (const name of this.#parts.keys()) touched.add(name)
    this.#parts.clear()
    this.#damaged.clear()
    for (const entry of view.kvList(PREFIX)) this.#apply(entry.key, entry, touched)
    this.#position = { index: view.appliedIndex, ordinal: null }
    return touched
  }

  #apply(key: string, entry: KvEntry | null, touched: Set<string>): void {
    const about = parseDeclaredKey(key)
    if (about === null) return
    touched.add(about.node)
    const parts = this.#parts.get(about.node) ?? { host: null, services: new Map(), checks: new Map() }
    this.#parts.set(about.node, parts)
    remove(parts, about)
    this.#damaged.delete(key)
    try {
      if (entry !== null) put(parts, about, entry.value)
    } catch (error) {
      if (!(error instanceof CatalogError || error instanceof SyntaxError || error instanceof TypeError))
        throw error
      this.#damaged.add(key)
      this.#with.log.warn(
        { err: error, key },
        'a key below constellation/catalog/ is no declaration and is ignored',
      )
    }
    if (parts.host === null && parts.services.size + parts.checks.size === 0) this.#parts.delete(about.node)
  }

  #declare(name: string): void {
    const parts = this.#parts.get(name)
    this.#with.catalog.declare(name, parts === undefined ? null : declaredNode(name, parts))
  }
}

function declaredNode(name: string, { host, services, checks }: Parts): DeclaredNode {
  return {
    ...(host ?? { uuid: '', address: '', taggedAddresses: {}, meta: {} }),
    name,
    stands: host !== null,
    services: new Map(services),
    checks: new Map(checks),
  }
}

function remove(parts: Parts, about: DeclaredKey): void {
  if (about.kind === 'node') parts.host = null
  else if (about.kind === 'service') parts.services.delete(about.id)
  else parts.checks.delete(about.id)
}

function put(parts: Parts, about: DeclaredKey, value: Uint8Array): void {
  if (about.kind === 'node') parts.host = decodeHost(value)
  else if (about.kind === 'service') parts.services.set(about.id, { ...decodeService(value), id: about.id })
  else parts.checks.set(about.id, { ...decodeCheck(value), id: about.id })
}
