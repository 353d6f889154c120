import type { Member } from '../membership/types.ts'
import { sameEntry } from './delta.ts'
import { NODE_CORDON, SERF_HEALTH } from './shapes.ts'
import type {
  CatalogInstance,
  CatalogNode,
  CheckStatus,
  DeclaredNode,
  HealthCheck,
  Indexed,
  NodeRecord,
  ServiceInstance,
} from './types.ts'

/** A node as the store shows it: its record joined with the verdict, and the indexes of its parts. */
export interface NodeView {
  readonly node: CatalogNode
  /** By instance id. */
  readonly instances: ReadonlyMap<string, Indexed>
  /** `serfHealth`, the cordon, then the checks of the node by id. */
  readonly nodeChecks: readonly HealthCheck[]
}

/** What is shown of a node, before it has indexes. */
export interface ShownNode {
  readonly record: NodeRecord
  readonly alive: boolean
  readonly cordoned: boolean
  /** False for a node that was only declared. */
  readonly hasAgent: boolean
}

/** What a new view of a node changes. */
export interface ViewChange {
  /** Null: the node is not shown any more. */
  readonly view: NodeView | null
  /** Whether anything a reader can see is different. */
  readonly visible: boolean
  /** Whether the node itself is: it came or went, or its name, address, meta, verdict or cordon is another. */
  readonly nodeChanged: boolean
  /** Whether an instance came, went or is another. */
  readonly servicesChanged: boolean
  /** Names of the services that are touched, be it by a check. */
  readonly services: ReadonlySet<string>
}

const SEVERITY: Readonly<Record<CheckStatus, number>> = { passing: 0, warning: 1, critical: 2 }

/** The record to show for a member: its own, or an empty one until that has arrived (or while it claims another name). */
export function shownRecord(member: Member, record: NodeRecord | undefined): NodeRecord {
  if (record?.name === member.name) return record
  return {
    id: member.id,
    name: member.name,
    address: hostOf(member.address),
    version: { incarnation: 0, sequence: 0 },
    meta: {},
    services: new Map(),
    checks: new Map(),
  }
}

/** A record with what was declared in addition. What a node says about itself goes before what is declared under the same id. */
export function withDeclared(record: NodeRecord, declared: DeclaredNode | undefined): NodeRecord {
  if (declared === undefined || declared.services.size + declared.checks.size === 0) return record
  const services = new Map([...declared.services, ...record.services])
  const checks = new Map([...declared.checks, ...record.checks])
  for (const { id, serviceId } of checks.values()) {
    if (serviceId !== '' && !services.has(serviceId)) checks.delete(id)
  }
  return Object.freeze({ ...record, services, checks })
}

/** The record to show for a node that has no agent. */
export function declaredRecord(declared: DeclaredNode): NodeRecord {
  const { name, address, meta, uuid, taggedAddresses } = declared
  const alone: NodeRecord = {
    id: `declared:${name}`,
    name,
    address,
    version: { incarnation: 0, sequence: 0 },
    meta,
    services: new Map(),
    checks: new Map(),
    declared: { uuid, taggedAddresses },
  }
  return withDeclared(alone, declared)
}

/** The next view of a node, with `index` on what changed. `shown` null: it is not to be shown. */
export function nextView(before: NodeView | null, shown: ShownNode | null, index: number): ViewChange {
  const services = new Set<string>()
  const old = before?.node.record
  if (!shown) {
    for (const service of old?.services.values() ?? []) services.add(service.name)
    const gone = before !== null
    return { view: null, visible: gone, nodeChanged: gone, servicesChanged: services.size > 0, services }
  }
  const { record, alive, cordoned } = shown
  const nodeChanged =
    !before ||
    before.node.alive !== alive ||
    before.node.cordoned !== cordoned ||
    !sameNode(before.node.record, record)
  const nodeChecks = [
    ...(shown.hasAgent ? [serfHealth(alive)] : []),
    ...(cordoned ? [CORDON] : []),
    ...sorted(record.checks, (check) => check.serviceId === ''),
  ]
  const checksChanged = !before || !sameEntry(before.nodeChecks, nodeChecks)
  if (nodeChanged || checksChanged) {
    for (const service of old?.services.values() ?? []) services.add(service.name)
    for (const service of record.services.values()) services.add(service.name)
  }
  const servicesChanged = touchChangedServices(old, record, services)
  touchChangedChecks(old, record, services)
  const createIndex = before?.node.createIndex ?? index
  const modifyIndex = before && !nodeChanged ? before.node.modifyIndex : index
  const checkIndexes = nextCheckIndexes(before, nodeChecks, record, index)
  const view: NodeView = {
    node: Object.freeze({ record, alive, cordoned, checkIndexes, createIndex, modifyIndex }),
    instances: nextIndexes(old?.services, before?.instances, record.services, index),
    nodeChecks,
  }
  const visible = nodeChanged || checksChanged || services.size > 0
  return { view, visible, nodeChanged, servicesChanged, services }
}

/** An instance with everything that decides about it. */
export function joinInstance(view: NodeView, service: ServiceInstance, indexed: Indexed): CatalogInstance {
  const own = sorted(view.node.record.checks, (check) => check.serviceId === service.id)
  const checks = Object.freeze([...view.nodeChecks, ...own])
  return Object.freeze({
    node: view.node,
    service,
    checks,
    status: worst(checks),
    createIndex: indexed.createIndex,
    modifyIndex: indexed.modifyIndex,
  })
}

/** The order of every list: bytewise by text, the same on every node. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Host part of `host:port`; IPv6 without brackets. */
export function hostOf(address: string): string {
  const host = address.slice(0, Math.max(0, address.lastIndexOf(':'))) || address
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
}

const CORDON: HealthCheck = Object.freeze({
  id: NODE_CORDON,
  name: 'Node Cordoned',
  status: 'critical',
  notes: '',
  output: 'An operator decided that this node gets no new traffic',
  serviceId: '',
  type: '',
  interval: '',
  timeout: '',
})

function serfHealth(alive: boolean): HealthCheck {
  return {
    id: SERF_HEALTH,
    name: 'Serf Health Status',
    status: alive ? 'passing' : 'critical',
    notes: '',
    output: alive ? 'Agent alive and reachable' : 'Agent not live or unreachable',
    serviceId: '',
    type: '',
    interval: '',
    timeout: '',
  }
}

function sameNode(a: NodeRecord, b: NodeRecord): boolean {
  return (
    a.name === b.name &&
    a.address === b.address &&
    sameEntry(a.meta, b.meta) &&
    sameEntry(a.declared, b.declared)
  )
}

function sorted(
  checks: ReadonlyMap<string, HealthCheck>,
  accept: (check: HealthCheck) => boolean,
): HealthCheck[] {
  return [...checks.values()].filter(accept).sort((a, b) => compareText(a.id, b.id))
}

function worst(checks: readonly HealthCheck[]): CheckStatus {
  let status: CheckStatus = 'passing'
  for (const check of checks) if (SEVERITY[check.status] > SEVERITY[status]) status = check.status
  return status
}

/** The indexes of instances or checks: one that is as `old` holds it keeps its own. */
function nextIndexes(
  old: ReadonlyMap<string, unknown> | undefined,
  indexes: ReadonlyMap<string, Indexed> | undefined,
  entries: ReadonlyMap<string, unknown>,
  index: number,
): Map<string, Indexed> {
  const out = new Map<string, Indexed>()
  for (const [id, entry] of entries) {
    const known = indexes?.get(id)
    const same = known && sameEntry(old?.get(id), entry)
    out.set(id, same ? known : { createIndex: known?.createIndex ?? index, modifyIndex: index })
  }
  return out
}

/** The indexes of the checks of a node and of its instances, those that others say included. */
function nextCheckIndexes(
  before: NodeView | null,
  nodeChecks: readonly HealthCheck[],
  record: NodeRecord,
  index: number,
): ReadonlyMap<string, Indexed> {
  const indexes = before?.node.checkIndexes
  const saidBefore = saidByOthers(before?.nodeChecks ?? [])
  return new Map([
    ...nextIndexes(saidBefore, indexes, saidByOthers(nodeChecks), index),
    ...nextIndexes(before?.node.record.checks, indexes, record.checks, index),
  ])
}

function saidByOthers(checks: readonly HealthCheck[]): ReadonlyMap<string, HealthCheck> {
  const said = checks.filter(({ id }) => id === SERF_HEALTH || id === NODE_CORDON)
  return new Map(said.map((check) => [check.id, check]))
}

/** True if an instance came, went or is another. */
function touchChangedServices(
  old: NodeRecord | undefined,
  record: NodeRecord,
  touched: Set<string>,
): boolean {
  let changed = false
  for (const service of record.services.values()) {
    const previous = old?.services.get(service.id)
    if (sameEntry(previous, service)) continue
    changed = true
    touched.add(service.name)
    if (previous) touched.add(previous.name)
  }
  for (const previous of old?.services.values() ?? []) {
    if (record.services.has(previous.id)) continue
    changed = true
    touched.add(previous.name)
  }
  return changed
}

function touchChangedChecks(old: NodeRecord | undefined, record: NodeRecord, touched: Set<string>): void {
  const touch = (check: HealthCheck | undefined): void => {
    for (const side of [old, record]) {
      const service = check && side?.services.get(check.serviceId)
      if (service) touched.add(service.name)
    }
  }
  for (const check of record.checks.values()) {
    const previous = old?.checks.get(check.id)
    if (sameEntry(previous, check)) continue
    touch(check)
    touch(previous)
  }
  for (const previous of old?.checks.values() ?? []) if (!record.checks.has(previous.id)) touch(previous)
}
