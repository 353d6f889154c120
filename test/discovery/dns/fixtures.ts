import type {
  Catalog,
  CatalogInstance,
  CatalogNode,
  CheckStatus,
  ServiceInstance,
} from '../../../discovery/catalog/types.ts'
import { DerivedCatalog } from '../derived-catalog.ts'

/** A node and what runs on it. */
export interface NodeSpec {
  readonly name: string
  readonly address: string
  readonly alive?: boolean
  /** It has no agent. */
  readonly declared?: boolean
  readonly meta?: Readonly<Record<string, string>>
  readonly services?: readonly (Partial<ServiceInstance> & { readonly status?: CheckStatus })[]
}

/** A fixed catalogue. */
export class FakeCatalog extends DerivedCatalog implements Catalog {
  readonly index = 42
  synced = true
  readonly #nodes: readonly CatalogNode[]
  readonly #instances: readonly CatalogInstance[]

  constructor(specs: readonly NodeSpec[]) {
    super()
    const indexed = { createIndex: 1, modifyIndex: 1 }
    const nodes: CatalogNode[] = []
    const instances: CatalogInstance[] = []
    for (const spec of specs) {
      const services = new Map<string, ServiceInstance>()
      const node: CatalogNode = {
        ...indexed,
        alive: spec.alive ?? true,
        cordoned: false,
        record: {
          id: `peer-${spec.name}`,
          name: spec.name,
          address: spec.address,
          version: { incarnation: 1, sequence: 1 },
          meta: spec.meta ?? {},
          services,
          checks: new Map(),
          ...(spec.declared === true ? { declared: { uuid: '', taggedAddresses: {} } } : {}),
        },
      }
      nodes.push(node)
      for (const { status, ...part } of spec.services ?? []) {
        const service: ServiceInstance = {
          id: part.name ?? 'web',
          name: 'web',
          tags: [],
          address: '',
          port: 80,
          meta: {},
          weights: { passing: 1, warning: 1 },
          enableTagOverride: false,
          taggedAddresses: {},
          ...part,
        }
        services.set(service.id, service)
        instances.push({ ...indexed, node, service, checks: [], status: status ?? 'passing' })
      }
    }
    this.#nodes = nodes
    this.#instances = instances
  }

  nodes(): readonly CatalogNode[] {
    return this.#nodes
  }

  isOwnIndex(): boolean {
    return true
  }

  node(name: string): CatalogNode | undefined {
    return this.#nodes.find(({ record }) => record.name === name)
  }

  services(): ReadonlyMap<string, readonly string[]> {
    return new Map(this.#instances.map(({ service }) => [service.name, service.tags]))
  }

  instances(name: string): readonly CatalogInstance[] {
    return this.#instances.filter(({ service }) => service.name === name)
  }

  instancesOn(name: string): readonly CatalogInstance[] {
    return this.#instances.filter(({ node }) => node.record.name === name)
  }

  checks(): [] {
    return []
  }

  serviceIndex(): number {
    return this.index
  }

  onChange(): () => void {
    return () => undefined
  }
}
