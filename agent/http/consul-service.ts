import type {
  Catalog,
  CatalogInstance,
  CatalogNode,
  CatalogSelector,
  CheckStatus,
  HealthCheck,
  NodeCheck,
  ServiceInstance,
} from '../../discovery/catalog/types.ts'
import type { Membership } from '../../discovery/membership/types.ts'
import { splitAddress } from './consul-shapes.ts'
import { instancesOf } from './lookups.ts'

/** Name and id of the service that stands for the agents themselves. */
export const CONSUL_SERVICE = 'consul'

const SEVERITY: Readonly<Record<CheckStatus, number>> = { passing: 0, warning: 1, critical: 2 }

/**
 * The catalogue as Consul's clients expect it: every agent also is an instance of the service `consul`, at the port that
 * `/v1/status/leader` and `/v1/agent/members` name, its mesh listener. A view and nothing more: no record has it, and neither DNS nor
 * Traefik's document sees it. What a node registered itself under that id goes first.
 */
export class ConsulCatalog implements Catalog {
  readonly #catalog: Catalog
  readonly #membership: Pick<Membership, 'get'>
  /** What was shown last, and the index of the catalogue when it was first seen. */
  #seen = { shown: '', index: 1 }

  constructor(catalog: Catalog, membership: Pick<Membership, 'get'>) {
    this.#catalog = catalog
    this.#membership = membership
  }

  get index(): number {
    return this.#catalog.index
  }

  isOwnIndex(index: number): boolean {
    return this.#catalog.isOwnIndex(index)
  }

  get synced(): boolean {
    return this.#catalog.synced
  }

  nodes(): readonly CatalogNode[] {
    return this.#catalog.nodes()
  }

  node(name: string): CatalogNode | undefined {
    return this.#catalog.node(name)
  }

  services(): ReadonlyMap<string, readonly string[]> {
    const services = this.#catalog.services()
    if (services.has(CONSUL_SERVICE) || !this.nodes().some(isAgent)) return services
    const named = [...services, [CONSUL_SERVICE, []] as const]
    return new Map(named.sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  instances(service: string): readonly CatalogInstance[] {
    const found = this.#catalog.instances(service)
    if (service !== CONSUL_SERVICE) return found
    const own = this.nodes().flatMap((node) => this.#own(node))
    if (found.length === 0) return own
    return [...found, ...own].sort((a, b) => (key(a) < key(b) ? -1 : 1))
  }

  instancesTagged(service: string, tag: string): readonly CatalogInstance[] {
    return this.#catalog.instancesTagged(service, tag)
  }

  spellings(kind: 'service' | 'node', name: string): readonly string[] {
    const found = this.#catalog.spellings(kind, name)
    if (kind === 'node' || !isConsul({ kind, name }) || found.includes(CONSUL_SERVICE)) return found
    return this.nodes().some(isAgent) ? [...found, CONSUL_SERVICE].sort() : found
  }

  instancesOn(name: string): readonly CatalogInstance[] {
    const found = this.#catalog.instancesOn(name)
    const node = this.#catalog.node(name)
    if (node === undefined) return found
    return [...found, ...this.#own(node)].sort((a, b) => (key(a) < key(b) ? -1 : 1))
  }

  checks(): readonly NodeCheck[] {
    return this.#catalog.checks()
  }

  checksIn(status: CheckStatus): readonly NodeCheck[] {
    return this.#catalog.checksIn(status)
  }

  checksOn(node: string): readonly NodeCheck[] {
    return this.#catalog.checksOn(node)
  }

  serviceIndex(service: string): number {
    const index = this.#catalog.serviceIndex(service)
    if (!isConsul({ kind: 'service', name: service })) return index
    const shown = JSON.stringify(
      instancesOf(this, service).map(({ node, service, checks }) => [node.modifyIndex, service.port, checks]),
    )
    // Nothing tells that just these changed: a look finds it, and every reader looks.
    if (shown !== this.#seen.shown) this.#seen = { shown, index: this.#catalog.index }
    return this.#seen.index
  }

  indexOf(selector: CatalogSelector): number {
    return isConsul(selector) ? this.serviceIndex(CONSUL_SERVICE) : this.#catalog.indexOf(selector)
  }

  onChange(selector: CatalogSelector, listener: () => void): () => void {
    if (!isConsul(selector)) return this.#catalog.onChange(selector, listener)
    const stops = (['nodes', 'services', 'checks'] as const).map((kind) =>
      this.#catalog.onChange({ kind }, listener),
    )
    return () => {
      for (const stop of stops) stop()
    }
  }

  /** The agent of a node as an instance; none for a node without an agent, or with a service of its own under the id. */
  #own(node: CatalogNode): CatalogInstance[] {
    const { record, createIndex, modifyIndex } = node
    if (!isAgent(node) || record.services.has(CONSUL_SERVICE)) return []
    const { port } = splitAddress(this.#membership.get(record.id)?.address ?? '')
    const checks = this.#catalog
      .checksOn(record.name)
      .map(({ check }) => check)
      .filter(({ serviceId }) => serviceId === '')
    return [{ node, service: instanceAt(port), checks, status: worst(checks), createIndex, modifyIndex }]
  }
}

function isAgent({ record }: CatalogNode): boolean {
  return record.declared === undefined
}

function isConsul(selector: CatalogSelector): boolean {
  return selector.kind === 'service' && selector.name.toLowerCase() === CONSUL_SERVICE
}

function instanceAt(port: number): ServiceInstance {
  return {
    id: CONSUL_SERVICE,
    name: CONSUL_SERVICE,
    tags: [],
    address: '',
    port,
    meta: {},
    weights: { passing: 1, warning: 1 },
    enableTagOverride: false,
    taggedAddresses: {},
  }
}

function worst(checks: readonly HealthCheck[]): CheckStatus {
  return checks.reduce<CheckStatus>(
    (status, check) => (SEVERITY[check.status] > SEVERITY[status] ? check.status : status),
    'passing',
  )
}

/** The order of every list of instances: by node, then by id. No name has a NUL. */
function key({ node, service }: CatalogInstance): string {
  return `${node.record.name}\0${service.id}`
}
