import { createHash } from 'node:crypto'
import { isIPv4, isIPv6 } from 'node:net'
import type {
  CatalogInstance,
  CatalogNode,
  HealthCheck,
  Indexed,
  NodeRecord,
  ServiceInstance,
} from '../../discovery/catalog/types.ts'
import type { Member, MemberStatus } from '../../discovery/membership/types.ts'

/** The only datacenter there is. */
export const DATACENTER = 'dc1'

/** The version of Consul whose interface this is; clients compare it. Ours is in Revision. */
export const CONSUL_VERSION = '1.16.4'

/** Namespace of the node ids below; drawn once, never to change. */
const NODE_ID_NAMESPACE = Buffer.from('6f1c0b8e2a9d4e57b3c45d1f7a86e092', 'hex')

/** Statuses of a member in Consul's numbers: 1 alive, 3 left, 4 failed. A suspect counts as alive. */
const MEMBER_STATUS: Readonly<Record<MemberStatus, number>> = { alive: 1, suspect: 1, left: 3, failed: 4 }

/** The node id shown to Consul's clients: a UUID (RFC 9562 version 5) derived from the identity of the node. */
export function nodeUuid(peerId: string): string {
  const hash = createHash('sha1').update(NODE_ID_NAMESPACE).update(peerId).digest()
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x50, 6)
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8)
  const hex = hash.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    '-',
  )
}

/**
 * The node id of a record: the one a declared node was given, or derived. That of a declared node follows from its name, so
 * every agent says the same: clients such as Traefik tell instances apart by it.
 */
export function nodeIdOf(record: NodeRecord): string {
  return record.declared?.uuid || nodeUuid(record.id)
}

/** Host and port of `host:port` or `[ipv6]:port`; port 0 if there is none. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(':')
  if (at < 0) return { host: address, port: 0 }
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) || 0 }
}

/** What every answer about a node begins with. */
function nodeFields(record: NodeRecord) {
  return {
    ID: nodeIdOf(record),
    Node: record.name,
    Address: record.address,
    Datacenter: DATACENTER,
    TaggedAddresses: taggedNodeAddresses(record),
  }
}

/** The meta of a node with what every node of Consul has. */
export function nodeMeta({ meta }: Pick<NodeRecord, 'meta'>): Readonly<Record<string, string>> {
  return { 'consul-network-segment': '', ...meta }
}

/** A node, as in catalog/nodes. */
export function nodeJson(node: CatalogNode) {
  const { record } = node
  return {
    ...nodeFields(record),
    Meta: nodeMeta(record),
    CreateIndex: node.createIndex,
    ModifyIndex: node.modifyIndex,
  }
}

/** A service as its own agent shows it. */
export function agentServiceJson(service: ServiceInstance) {
  const native = service.connectNative === true ? { Connect: connectJson(service) } : {}
  return { ...serviceJson(service), ...native, Datacenter: DATACENTER }
}

/** A service in the catalogue. */
export function nodeServiceJson(service: ServiceInstance, indexed: Indexed) {
  return {
    ...serviceJson(service),
    Proxy: { Mode: '', MeshGateway: {}, Expose: {} },
    Connect: connectJson(service),
    PeerName: '',
    CreateIndex: indexed.createIndex,
    ModifyIndex: indexed.modifyIndex,
  }
}

/** A service joined flat with its node, as in catalog/service. */
export function serviceNodeJson(instance: CatalogInstance) {
  const { service } = instance
  const { record } = instance.node
  const tagged = taggedServiceAddresses(service)
  return {
    ...nodeFields(record),
    NodeMeta: nodeMeta(record),
    ServiceKind: '',
    ServiceID: service.id,
    ServiceName: service.name,
    ServiceTags: service.tags,
    ServiceAddress: service.address,
    ...(tagged === null ? {} : { ServiceTaggedAddresses: tagged }),
    ServiceWeights: weightsJson(service),
    ServiceMeta: service.meta,
    ServicePort: service.port,
    ServiceSocketPath: '',
    ServiceEnableTagOverride: service.enableTagOverride,
    ServiceProxy: { Mode: '', MeshGateway: {}, Expose: {} },
    ServiceConnect: connectJson(service),
    ServiceLocality: null,
    CreateIndex: instance.createIndex,
    ModifyIndex: instance.modifyIndex,
  }
}

/** A check. The name and tags of its service come from the record of its node. */
export function checkJson(record: NodeRecord, check: HealthCheck, indexed: Indexed) {
  const service = check.serviceId === '' ? undefined : record.services.get(check.serviceId)
  return {
    Node: record.name,
    CheckID: check.id,
    Name: check.name,
    Status: check.status,
    Notes: check.notes,
    Output: check.output,
    ServiceID: check.serviceId,
    ServiceName: service?.name ?? '',
    ServiceTags: service?.tags ?? [],
    Type: check.type,
    Interval: check.interval,
    Timeout: check.timeout,
    ExposedPort: 0,
    Definition: check.definition ?? {},
    CreateIndex: indexed.createIndex,
    ModifyIndex: indexed.modifyIndex,
  }
}

/** A check of a node of the catalogue, or of one of its instances. */
export function nodeCheckJson(node: CatalogNode, check: HealthCheck) {
  return checkJson(node.record, check, node.checkIndexes?.get(check.id) ?? node)
}

/** An instance with its node and checks, as in health/service. */
export function serviceEntryJson(instance: CatalogInstance) {
  return {
    Node: nodeJson(instance.node),
    Service: nodeServiceJson(instance.service, instance),
    Checks: instance.checks.map((check) => nodeCheckJson(instance.node, check)),
  }
}

/** A member, as in agent/members. Every node is a server to Consul's clients. */
export function memberJson(member: Member, options: { readonly version: string; readonly expect: number }) {
  const { host, port } = splitAddress(member.address)
  return {
    Name: member.name,
    Addr: host,
    Port: port,
    Tags: {
      role: 'consul',
      dc: DATACENTER,
      id: nodeUuid(member.id),
      vsn: '2',
      vsn_min: '2',
      vsn_max: '3',
      build: `${CONSUL_VERSION}:${options.version}`,
      port: String(port),
      raft_vsn: '3',
      segment: '',
      acls: '0',
      expect: String(options.expect),
    },
    Status: MEMBER_STATUS[member.status],
    ProtocolMin: 1,
    ProtocolMax: 5,
    ProtocolCur: 2,
    DelegateMin: 2,
    DelegateMax: 5,
    DelegateCur: 4,
  }
}

function serviceJson(service: ServiceInstance) {
  const tagged = taggedServiceAddresses(service)
  return {
    ID: service.id,
    Service: service.name,
    Tags: service.tags,
    Meta: service.meta,
    Port: service.port,
    Address: service.address,
    ...(tagged === null ? {} : { TaggedAddresses: tagged }),
    Weights: weightsJson(service),
    EnableTagOverride: service.enableTagOverride,
  }
}

function connectJson({ connectNative }: ServiceInstance) {
  return connectNative === true ? { Native: true } : {}
}

function weightsJson({ weights }: ServiceInstance) {
  return { Passing: weights.passing, Warning: weights.warning }
}

function taggedServiceAddresses(service: ServiceInstance) {
  const entries = Object.entries(service.taggedAddresses)
  if (entries.length === 0) return null
  return Object.fromEntries(
    entries.map(([name, { address, port }]) => [name, { Address: address, Port: port }]),
  )
}

function taggedNodeAddresses({ address, declared }: NodeRecord): Record<string, string> {
  const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : null
  return {
    lan: address,
    wan: address,
    ...(family === null ? {} : { [`lan_${family}`]: address, [`wan_${family}`]: address }),
    ...declared?.taggedAddresses,
  }
}
