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
  /** What a declared check says about how to check it; nobody here runs it. */
  readonly definition?: Readonly<Record<string, unknown>>
}

/** Where others reach one port of an instance. */
export interface Endpoint {
  /** Unique in its instance, such as `80/tcp`. */
  readonly name: string
  readonly protocol: 'tcp' | 'udp'
  /** The port the program listens on in its container; equals `port` where there is no container. */
  readonly containerPort: number
  /** "" = the address of the instance. */
  readonly address: string
  /** 0 where `problem` is set. */
  readonly port: number
  /** Why nobody but its own host can reach it, for people to read. */
  readonly problem?: string
}

/** What an instance was read from; absent = it was registered through the API. */
export interface InstanceSource {
  readonly kind: 'docker' | 'file'
  /** Id of the container, or path of the file. */
  readonly id: string
  /** What people call it: the name of the container or of the file. */
  readonly name: string
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
  /** What its source says to views, such as `traefik.*` and `constellation.*`; by name. */
  readonly labels?: Readonly<Record<string, string>>
  /** Every port of it; absent = `port` alone. */
  readonly endpoints?: readonly Endpoint[]
  readonly source?: InstanceSource
  /** It says that it speaks the protocol of Consul's service mesh; only shown back. */
  readonly connectNative?: true
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
  /** Set on a node without an agent: what was declared about it besides. */
  readonly declared?: {
    /** UUID it was declared with; "" if none. */
    readonly uuid: string
    readonly taggedAddresses: Readonly<Record<string, string>>
  }
}

/**
 * What an operator or a program declared about a node: a decision, not a fact. It stands for a host without an agent, and adds
 * to what a host with an agent says about itself.
 */
export interface DeclaredNode {
  readonly name: string
  readonly uuid: string
  readonly address: string
  readonly taggedAddresses: Readonly<Record<string, string>>
  readonly meta: Readonly<Record<string, string>>
  /** False while only services or checks were declared: it is shown only where a member has the name. */
  readonly stands: boolean
  readonly services: ReadonlyMap<string, ServiceInstance>
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
  /** True for a node without an agent: nobody watches it. */
  readonly alive: boolean
  /** It is to get no new traffic. */
  readonly cordoned: boolean
  /** Of each of its checks and its instances' checks, by check id; absent = as the node. */
  readonly checkIndexes?: ReadonlyMap<string, Indexed>
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

/**
 * What a reader looks at, so that it is woken for nothing else. `nodes`: which there are and what they say about themselves;
 * `services`: names and tags; `checks`: every check; `node` and `service`: everything about one.
 */
export type CatalogSelector =
  | { readonly kind: 'all' | 'nodes' | 'services' | 'checks' }
  | { readonly kind: 'node' | 'service'; readonly name: string }

/** A check with the node it is about. */
export interface NodeCheck {
  readonly node: CatalogNode
  readonly check: HealthCheck
}

/** The read model of services: a function of every node's record and of who is alive. Lists are sorted by node name, then id. */
export interface Catalog {
  /** Rises with every change this node sees, and with every start of its agent. At least 1. */
  readonly index: number
  /** False for an index that another agent gave, or this one before it was started. */
  isOwnIndex(index: number): boolean
  nodes(): readonly CatalogNode[]
  node(name: string): CatalogNode | undefined
  /** Service name → union of tags, both sorted. */
  services(): ReadonlyMap<string, readonly string[]>
  instances(service: string): readonly CatalogInstance[]
  /** Those of `instances` that have the tag (exactly). */
  instancesTagged(service: string, tag: string): readonly CatalogInstance[]
  instancesOn(node: string): readonly CatalogInstance[]
  /** Names of services or nodes that are this one but for their case, sorted; itself among them if it is there. */
  spellings(kind: 'service' | 'node', name: string): readonly string[]
  /** By node name, then id; `serfHealth` first. */
  checks(): readonly NodeCheck[]
  /** Those of `checks` with this status. */
  checksIn(status: CheckStatus): readonly NodeCheck[]
  /** Those of one node; empty if it is unknown. */
  checksOn(node: string): readonly NodeCheck[]
  /** Index of the last change that touched this service in any spelling; of the last extinction for an unknown one. At least 1. */
  serviceIndex(service: string): number
  /** Index of the last change of what the selector names; of the last disappearance for what is unknown. At least 1. */
  indexOf(selector: CatalogSelector): number
  /** Fires once per change that matches; the case of names does not count. Returns the way to stop. */
  onChange(selector: CatalogSelector, listener: () => void): () => void
  /** True once this node has exchanged records with a peer, or there is none: it knows of no addresses, or found nobody for ten seconds. */
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
