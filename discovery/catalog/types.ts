import type { PeerId } from '../mesh/types.ts'

/** State of a check; also of an instance: the worst of its checks. */
export type CheckStatus = 'passing' | 'warning' | 'critical'

/** A health check and its last result. */
export interface HealthCheck {
  readonly id: string
  readonly name: string
  readonly status: CheckStatus
  readonly notes: string
  /** Cut to 4,096 characters. */
  readonly output: string
  /** Id of the service instance it belongs to; "" for a check of the node. */
  readonly serviceId: string
  readonly type: string
  /** As registered, Go duration text; "" if none. */
  readonly interval: string
  readonly timeout: string
}

/** One copy of a service on one node. */
export interface ServiceInstance {
  /** Unique on its node. */
  readonly id: string
  readonly name: string
  readonly tags: readonly string[]
  /** "" = the address of its node. */
  readonly address: string
  readonly port: number
  readonly meta: Readonly<Record<string, string>>
  readonly weights: { readonly passing: number; readonly warning: number }
  readonly enableTagOverride: boolean
  readonly taggedAddresses: Readonly<Record<string, { readonly address: string; readonly port: number }>>
}

/** Orders the records of one owner: a restart raises the incarnation, each change the sequence. Never a wall clock. */
export interface RecordVersion {
  readonly incarnation: number
  readonly sequence: number
}

/** Everything one node says about what runs on it. Written by that node only. */
export interface NodeRecord {
  readonly id: PeerId
  readonly name: string
  /** Host part of its mesh address: what a service with no address of its own is reached by. */
  readonly address: string
  readonly version: RecordVersion
  readonly meta: Readonly<Record<string, string>>
  /** By instance id. */
  readonly services: ReadonlyMap<string, ServiceInstance>
  /** By check id. */
  readonly checks: ReadonlyMap<string, HealthCheck>
}

/** Create and modify index of an object in this node's catalogue. Local to the node; they start again after a restart. */
export interface Indexed {
  readonly createIndex: number
  readonly modifyIndex: number
}

/** A node of the catalogue, with the verdict of the membership (`alive` includes suspect). */
export interface CatalogNode extends Indexed {
  readonly record: NodeRecord
  readonly alive: boolean
}

/** An instance joined with its node and every check that decides about it. */
export interface CatalogInstance extends Indexed {
  readonly node: CatalogNode
  readonly service: ServiceInstance
  /** Node checks, `serfHealth` first, then the instance's own, sorted by id. */
  readonly checks: readonly HealthCheck[]
  /** Worst status of `checks`. */
  readonly status: CheckStatus
}

/** What changed, for a subscriber that wants less than everything. */
export type CatalogSelector = { readonly kind: 'all' } | { readonly kind: 'service'; readonly name: string }

/** The read model of services: a function of every node's record and of who is alive. Lists are sorted by node name, then id. */
export interface Catalog {
  /** Counts every change this node has seen. At least 1. */
  readonly index: number
  nodes(): readonly CatalogNode[]
  node(name: string): CatalogNode | undefined
  /** Service name → union of tags, both sorted. */
  services(): ReadonlyMap<string, readonly string[]>
  instances(service: string): readonly CatalogInstance[]
  instancesOn(node: string): readonly CatalogInstance[]
  checks(): readonly { readonly node: CatalogNode; readonly check: HealthCheck }[]
  /** Index of the last change that touched this service; of the last extinction for an unknown one. At least 1. */
  serviceIndex(service: string): number
  /** Fires once per change that matches. Returns the way to stop. */
  onChange(selector: CatalogSelector, listener: () => void): () => void
  /** True once this node has exchanged records with a peer, or has none to exchange with. */
  readonly synced: boolean
}

/** This node's own record: the only one it may write. Every change is stamped, kept on disk and gossiped. */
export interface LocalCatalog {
  record(): NodeRecord
  putService(service: ServiceInstance): void
  /** Removes the instance and its checks. False if unknown. */
  removeService(id: string): boolean
  putCheck(check: HealthCheck): void
  removeCheck(id: string): boolean
  /** Resolves when every registration so far is on disk. @throws CatalogError `CAT_FILE_FAILED` */
  flush(): Promise<void>
}
