import type { CatalogDigest, DigestedCatalog } from '../../../discovery/catalog/digest.ts'
import { CatalogError } from '../../../discovery/catalog/errors.ts'
import type {
  Catalog,
  CatalogInstance,
  CatalogNode,
  CatalogSelector,
  CheckStatus,
  HealthCheck,
  LocalCatalog,
  NodeRecord,
  ServiceInstance,
} from '../../../discovery/catalog/types.ts'
import type { CheckDefinition, HealthRunner } from '../../../discovery/health/types.ts'
import { type Coordinate, distanceS } from '../../../discovery/membership/core/coordinate.ts'
import { MembershipError } from '../../../discovery/membership/errors.ts'
import type { Member, Membership } from '../../../discovery/membership/types.ts'
import { DerivedCatalog } from '../../discovery/derived-catalog.ts'

const SEVERITY: Readonly<Record<CheckStatus, number>> = { passing: 0, warning: 1, critical: 2 }

/** A catalogue of this node (`n1`, writable) and one other (`n2`). */
export class FakeCatalog extends DerivedCatalog implements Catalog, DigestedCatalog, LocalCatalog {
  index = 20

  isOwnIndex(): boolean {
    return true
  }

  synced = true
  otherAlive = true
  /** Id of a check that does not fit. */
  tooLargeCheck = ''
  /** What was done to the local record, in order. */
  readonly journal: string[] = []
  readonly #services = new Map<string, ServiceInstance>()
  readonly #checks = new Map<string, HealthCheck>()
  readonly #serviceIndexes = new Map<string, number>()
  readonly #listeners = new Set<{ selector: CatalogSelector; listener: () => void }>()
  readonly other: { services: Map<string, ServiceInstance>; checks: Map<string, HealthCheck> } = {
    services: new Map(),
    checks: new Map(),
  }

  get watching(): number {
    return this.#listeners.size
  }

  async flush(): Promise<void> {}

  record(): NodeRecord {
    return {
      id: 'peer-1',
      name: 'n1',
      address: '10.0.0.1',
      version: { incarnation: 1, sequence: this.index },
      meta: { zone: 'a' },
      services: new Map(this.#services),
      checks: new Map(this.#checks),
    }
  }

  putService(service: ServiceInstance): void {
    this.journal.push(`service ${service.id}`)
    this.#services.set(service.id, service)
    this.#changed(service.name)
  }

  removeService(id: string): boolean {
    const service = this.#services.get(id)
    if (service === undefined) return false
    this.journal.push(`-service ${id}`)
    this.#services.delete(id)
    for (const check of [...this.#checks.values()]) if (check.serviceId === id) this.#checks.delete(check.id)
    this.#changed(service.name)
    return true
  }

  putCheck(check: HealthCheck): void {
    if (check.serviceId !== '' && !this.#services.has(check.serviceId)) {
      throw new CatalogError('CAT_UNKNOWN_SERVICE', 'no such service')
    }
    if (check.id === this.tooLargeCheck)
      throw new CatalogError('CAT_TOO_LARGE', `check ${check.id} does not fit`)
    this.journal.push(`check ${check.id} ${check.status}`)
    this.#checks.set(check.id, check)
    this.#changed(this.#services.get(check.serviceId)?.name)
  }

  removeCheck(id: string): boolean {
    const check = this.#checks.get(id)
    if (check === undefined) return false
    this.journal.push(`-check ${id}`)
    this.#checks.delete(id)
    this.#changed(this.#services.get(check.serviceId)?.name)
    return true
  }

  digest(): CatalogDigest {
    return { digest: 'c0ffee', records: 2 }
  }

  nodes(): readonly CatalogNode[] {
    const other: NodeRecord = {
      id: 'peer-2',
      name: 'n2',
      address: '10.0.0.2',
      version: { incarnation: 1, sequence: 1 },
      meta: { zone: 'b' },
      ...this.other,
    }
    return [
      { record: this.record(), alive: true, cordoned: false, createIndex: 3, modifyIndex: 4 },
      { record: other, alive: this.otherAlive, cordoned: false, createIndex: 5, modifyIndex: 6 },
    ]
  }

  node(name: string): CatalogNode | undefined {
    return this.nodes().find((node) => node.record.name === name)
  }

  services(): ReadonlyMap<string, readonly string[]> {
    const tags = new Map<string, Set<string>>()
    for (const { record } of this.nodes()) {
      for (const service of record.services.values()) {
        const union = tags.get(service.name) ?? new Set()
        tags.set(service.name, union)
        for (const tag of service.tags) union.add(tag)
      }
    }
    return new Map([...tags].sort().map(([name, union]) => [name, [...union].sort()]))
  }

  instances(service: string): readonly CatalogInstance[] {
    return this.nodes().flatMap((node) =>
      this.instancesOn(node.record.name).filter((instance) => instance.service.name === service),
    )
  }

  instancesOn(name: string): readonly CatalogInstance[] {
    const node = this.node(name)
    if (node === undefined) return []
    return [...node.record.services.values()].map((service) => {
      const checks = [...node.record.checks.values()].filter(
        (check) => check.serviceId === '' || check.serviceId === service.id,
      )
      const all = [serfHealth(node.alive), ...checks]
      const status = all.reduce<CheckStatus>(
        (worst, check) => (SEVERITY[check.status] > SEVERITY[worst] ? check.status : worst),
        'passing',
      )
      return { node, service, checks: all, status, createIndex: 10, modifyIndex: 11 }
    })
  }

  checks(): readonly { readonly node: CatalogNode; readonly check: HealthCheck }[] {
    return this.nodes().flatMap((node) =>
      [serfHealth(node.alive), ...node.record.checks.values()].map((check) => ({ node, check })),
    )
  }

  serviceIndex(service: string): number {
    return this.#serviceIndexes.get(service) ?? 1
  }

  onChange(selector: CatalogSelector, listener: () => void): () => void {
    const watcher = { selector, listener }
    this.#listeners.add(watcher)
    return () => this.#listeners.delete(watcher)
  }

  /** A change that touches no service. */
  touch(): void {
    this.#changed(undefined)
  }

  #changed(service: string | undefined): void {
    this.index += 1
    if (service !== undefined) this.#serviceIndexes.set(service, this.index)
    for (const { selector, listener } of [...this.#listeners]) {
      if (selector.kind !== 'service' || selector.name === service) listener()
    }
  }
}

function serfHealth(alive: boolean): HealthCheck {
  return {
    id: 'serfHealth',
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

/** Keeps definitions and writes reports; runs nothing by itself. */
export class FakeHealth implements HealthRunner {
  /** What keeping the definitions fails with. */
  failure: Error | null = null
  /** How often somebody waited for the definitions to be kept. */
  kept = 0
  readonly puts: CheckDefinition[] = []
  readonly #local: FakeCatalog
  readonly #definitions = new Map<string, CheckDefinition>()
  readonly #outputs = new Map<string, string>()

  constructor(local: FakeCatalog) {
    this.#local = local
  }

  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  async flush(): Promise<void> {
    if (this.failure !== null) throw this.failure
    this.kept++
  }

  put(definition: CheckDefinition): void {
    this.puts.push(definition)
    this.#local.journal.push(`run ${definition.id}`)
    this.#definitions.set(definition.id, definition)
  }

  remove(id: string): boolean {
    this.#local.journal.push(`stop ${id}`)
    this.#local.removeCheck(id)
    return this.#definitions.delete(id)
  }

  definitions(): readonly CheckDefinition[] {
    return [...this.#definitions.values()]
  }

  /** As the real one: a new output without a new status is not in the record at once. */
  output(id: string): string | undefined {
    return this.#definitions.has(id) ? (this.#outputs.get(id) ?? '') : undefined
  }

  report(id: string, status: CheckStatus, output: string): 'ok' | 'unknown' | 'not-ttl' {
    const definition = this.#definitions.get(id)
    if (definition === undefined) return 'unknown'
    if (definition.kind.type !== 'ttl') return 'not-ttl'
    const check = this.#local.record().checks.get(id)
    this.#outputs.set(id, output)
    if (check !== undefined && check.status !== status) this.#local.putCheck({ ...check, status, output })
    return 'ok'
  }
}

/** Two members, one of them failed, and a third that left. */
export class FakeMembership implements Membership {
  readonly #members: Member[] = [
    member('peer-1', 'n1', '10.0.0.1:7946', 'alive'),
    member('peer-2', 'n2', '[fd00::2]:7946', 'failed'),
    member('peer-3', 'n3', '10.0.0.3:7946', 'left'),
  ]

  /** One more member, alive, that tells this of itself. */
  add(id: string, name: string, meta: Member['meta']): void {
    this.#members.push({ ...member(id, name, `10.0.0.9:7946`, 'alive'), meta })
  }

  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  async leave(): Promise<void> {}
  members(): readonly Member[] {
    return this.#members
  }
  get(id: string): Member | undefined {
    return this.#members.find((each) => each.id === id)
  }
  local(): Member {
    return member('peer-1', 'n1', '10.0.0.1:7946', 'alive')
  }
  seeds(): readonly [] {
    return []
  }

  setMeta(): void {}
  /** What was asked for, in order. */
  readonly forced: string[] = []
  forceLeave(member: string, { prune = false } = {}): void {
    const known = this.#members.find(({ id, name }) => id === member || name === member)
    if (!known) throw new MembershipError('MBR_UNKNOWN_MEMBER', `no member is ${member}`)
    if (known.status === 'alive') throw new MembershipError('MBR_MEMBER_LIVES', `${member} is alive`)
    this.forced.push(prune ? `${member} prune` : member)
  }
  /** Where the members are; nowhere until a test puts them somewhere. */
  readonly places = new Map<string, Coordinate>()
  coordinate(id: string): Coordinate | null {
    return this.places.get(id) ?? null
  }
  rttMs(a: string, b: string): number | null {
    const [from, to] = [this.places.get(a), this.places.get(b)]
    if (!from || !to) return null
    return a === b ? 0 : distanceS(from, to) * 1000
  }
  onChange(): () => void {
    return () => {}
  }
  onEvent(): () => void {
    return () => {}
  }
}

function member(id: string, name: string, address: string, status: Member['status']): Member {
  return { id, name, address, status, incarnation: 4, meta: id === 'peer-1' ? { http: '10.0.0.1:8500' } : {} }
}
