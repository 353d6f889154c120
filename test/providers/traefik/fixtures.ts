import type {
  Catalog,
  CatalogInstance,
  CatalogNode,
  CheckStatus,
  Endpoint,
  ServiceInstance,
} from '../../../discovery/catalog/types.ts'
import { DerivedCatalog } from '../../discovery/derived-catalog.ts'

/** The part of an instance a test cares about. */
export interface InstanceSpec {
  readonly node?: string
  readonly alive?: boolean
  readonly nodeAddress?: string
  readonly id?: string
  readonly service?: string
  readonly address?: string
  readonly port?: number
  readonly status?: CheckStatus
  /** Given as tags `key=value`. */
  readonly labels?: Readonly<Record<string, string>>
  readonly tags?: readonly string[]
  readonly meta?: Readonly<Record<string, string>>
  /** Labels of its source, such as a container. */
  readonly own?: Readonly<Record<string, string>>
  readonly endpoints?: readonly Endpoint[]
  readonly cordoned?: boolean
}

let created = 0

export function instance(spec: InstanceSpec): CatalogInstance {
  const service: ServiceInstance = {
    id: spec.id ?? spec.service ?? 'web',
    name: spec.service ?? 'web',
    tags: [
      ...(spec.tags ?? []),
      ...Object.entries(spec.labels ?? {}).map(([key, value]) => `${key}=${value}`),
    ],
    address: spec.address ?? '',
    port: spec.port ?? 8080,
    meta: spec.meta ?? {},
    weights: { passing: 1, warning: 1 },
    enableTagOverride: false,
    taggedAddresses: {},
    ...(spec.own === undefined ? {} : { labels: spec.own }),
    ...(spec.endpoints === undefined ? {} : { endpoints: spec.endpoints }),
  }
  const name = spec.node ?? 'n1'
  created += 1
  const node: CatalogNode = {
    record: {
      id: `peer-${name}`,
      name,
      address: spec.nodeAddress ?? '10.0.0.1',
      version: { incarnation: 1, sequence: created },
      meta: {},
      services: new Map([[service.id, service]]),
      checks: new Map(),
    },
    alive: spec.alive ?? true,
    cordoned: spec.cordoned ?? false,
    createIndex: created,
    modifyIndex: created,
  }
  return {
    node,
    service,
    checks: [],
    status: spec.status ?? 'passing',
    createIndex: created,
    modifyIndex: created,
  }
}

/** A catalogue of these instances, in the order given. `set` replaces them and raises the index. */
export class FakeCatalog extends DerivedCatalog implements Catalog {
  index = 1
  readonly synced = true
  reads = 0
  #instances: readonly CatalogInstance[]

  constructor(instances: readonly CatalogInstance[]) {
    super()
    this.#instances = instances
  }

  set(instances: readonly CatalogInstance[]): void {
    this.#instances = instances
    this.index += 1
  }

  nodes(): readonly CatalogNode[] {
    return this.#instances.map(({ node }) => node)
  }

  isOwnIndex(): boolean {
    return true
  }

  node(name: string): CatalogNode | undefined {
    return this.nodes().find(({ record }) => record.name === name)
  }

  services(): ReadonlyMap<string, readonly string[]> {
    this.reads += 1
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
