import type { Logger } from 'pino'
import type { Member, Membership } from '../membership/types.ts'
import type { PeerId } from '../mesh/types.ts'
import { CheckIndex, checksOf } from './check-index.ts'
import { compareVersions, sameEntry } from './delta.ts'
import { type CatalogDigest, type DigestedCatalog, digestOf } from './digest.ts'
import {
  compareText,
  declaredRecord,
  joinInstance,
  type NodeView,
  nextView,
  type ShownNode,
  shownRecord,
  type ViewChange,
  withDeclared,
} from './node-view.ts'
import { COUNTED, isOfRun, type RunIndexes } from './run-indexes.ts'
import { ServiceIndex } from './service-index.ts'
import { Spellings } from './spellings.ts'
import { Subscriptions } from './subscriptions.ts'
import type {
  Catalog,
  CatalogInstance,
  CatalogNode,
  CatalogSelector,
  CheckStatus,
  DeclaredNode,
  NodeCheck,
  NodeRecord,
} from './types.ts'

/** Records of nodes the membership does not know (yet): kept hidden for this long. */
const UNKNOWN_KEPT_MS = 60_000
const UNKNOWN_MAX = 256

/** What {@link CatalogStore} works with. */
export interface CatalogStoreCollaborators {
  readonly membership: Pick<Membership, 'members' | 'get' | 'onChange'>
  readonly log: Logger
  /** Counted from 1 if not given. */
  readonly indexes?: RunIndexes
}

/**
 * Every node's record joined with who is alive, what was declared and who is cordoned. A failed member stays, with its
 * instances critical; one that left is not shown. A member whose record has not arrived is shown empty.
 */
export class CatalogStore implements Catalog, DigestedCatalog {
  readonly #membership: CatalogStoreCollaborators['membership']
  readonly #records = new Map<PeerId, NodeRecord>()
  /** Since when a held record belongs to nobody the membership knows. */
  readonly #unknownSince = new Map<PeerId, number>()
  readonly #views = new Map<PeerId, NodeView>()
  readonly #idByName = new Map<string, PeerId>()
  readonly #nodeSpellings = new Spellings()
  readonly #services: ServiceIndex
  readonly #checks = new CheckIndex(() =>
    this.nodes().flatMap((node) => this.#viewOf(node.record.name) ?? []),
  )
  /** By name of the node. */
  readonly #declared = new Map<string, DeclaredNode>()
  /** Names of declared nodes that had an agent, which left or was forgotten: nothing said since tells that they live. */
  readonly #outlived = new Set<string>()
  /** Index of the last change of each shown node, by name. */
  readonly #nodeIndexes = new Map<string, number>()
  readonly #run: RunIndexes
  readonly #indexes: { nodes: number; services: number; checks: number; lost: number }
  readonly #subscriptions: Subscriptions
  #cordoned: ReadonlySet<PeerId> = new Set()
  #stopFollowing: (() => void) | null = null
  #nodes: readonly CatalogNode[] | null = null
  #index: number
  #synced = false

  constructor(collaborators: CatalogStoreCollaborators) {
    this.#membership = collaborators.membership
    this.#subscriptions = new Subscriptions(collaborators.log)
    this.#run = collaborators.indexes ?? COUNTED
    const { first } = this.#run
    this.#services = new ServiceIndex(this.#views, first)
    this.#indexes = { nodes: first, services: first, checks: first, lost: first }
    this.#index = first
  }

  /** Follows the membership. */
  start(): void {
    if (this.#stopFollowing) return
    this.#stopFollowing = this.#membership.onChange((member, previous) => this.#follow(member, previous))
    for (const member of this.#membership.members()) this.#refresh(member.id, member)
  }

  stop(): void {
    this.#stopFollowing?.()
    this.#stopFollowing = null
  }

  get index(): number {
    return this.#index
  }

  isOwnIndex(index: number): boolean {
    return isOfRun(this.#run, index)
  }

  get synced(): boolean {
    return this.#synced
  }

  /** This node has exchanged records with a peer, or there is none to exchange with. */
  markSynced(): void {
    this.#synced = true
  }

  nodes(): readonly CatalogNode[] {
    this.#nodes ??= Object.freeze(
      [...this.#views.values()]
        .map((view) => view.node)
        .sort((a, b) => compareText(a.record.name, b.record.name)),
    )
    return this.#nodes
  }

  node(name: string): CatalogNode | undefined {
    return this.#viewOf(name)?.node
  }

  services(): ReadonlyMap<string, readonly string[]> {
    return this.#services.names()
  }

  instances(service: string): readonly CatalogInstance[] {
    return this.#services.instances(service)
  }

  instancesTagged(service: string, tag: string): readonly CatalogInstance[] {
    return this.#services.tagged(service, tag)
  }

  instancesOn(node: string): readonly CatalogInstance[] {
    const view = this.#viewOf(node)
    if (!view) return []
    const out: CatalogInstance[] = []
    for (const service of view.node.record.services.values()) {
      const indexed = view.instances.get(service.id)
      if (indexed) out.push(joinInstance(view, service, indexed))
    }
    return out.sort((a, b) => compareText(a.service.id, b.service.id))
  }

  spellings(kind: 'service' | 'node', name: string): readonly string[] {
    return kind === 'service' ? this.#services.spellings(name) : this.#nodeSpellings.of(name)
  }

  checks(): readonly NodeCheck[] {
    return this.#checks.all()
  }

  checksIn(status: CheckStatus): readonly NodeCheck[] {
    return this.#checks.in(status)
  }

  checksOn(node: string): readonly NodeCheck[] {
    const view = this.#viewOf(node)
    return view ? checksOf(view) : []
  }

  serviceIndex(service: string): number {
    return this.#services.indexOf(service)
  }

  indexOf(selector: CatalogSelector): number {
    switch (selector.kind) {
      case 'all':
        return this.#index
      case 'service':
        return this.#services.indexOf(selector.name)
      case 'node':
        return this.#nodeIndexOf(selector.name)
      default:
        return this.#indexes[selector.kind]
    }
  }

  onChange(selector: CatalogSelector, listener: () => void): () => void {
    return this.#subscriptions.add(selector, listener)
  }

  /** Calls `listener` with the names of the services that each change touched. Returns the way to stop. */
  onServices(listener: (names: ReadonlySet<string>) => void): () => void {
    return this.#subscriptions.addServices(listener)
  }

  /** The record held of a node, shown or not. */
  held(id: PeerId): NodeRecord | undefined {
    return this.#records.get(id)
  }

  /** Records of the nodes the membership knows and that did not leave. */
  known(): NodeRecord[] {
    return [...this.#records.values()].filter((record) => {
      const status = this.#membership.get(record.id)?.status
      return status !== undefined && status !== 'left'
    })
  }

  /** Of the records {@link known}. */
  digest(): CatalogDigest {
    const records = this.known()
    return {
      digest: digestOf(records.map(({ id, version }) => ({ id, ...version }))),
      records: records.length,
    }
  }

  /** Takes a record that is newer than the one held. False if it is not, or if there is no room for an unknown node. */
  put(record: NodeRecord, now: number): boolean {
    const before = this.#records.get(record.id)
    if (before && compareVersions(record.version, before.version) <= 0) return false
    if (!this.#membership.get(record.id)) {
      if (!this.#unknownSince.has(record.id)) {
        if (this.#unknownSince.size >= UNKNOWN_MAX) return false
        this.#unknownSince.set(record.id, now)
      }
    }
    this.#records.set(record.id, record)
    this.#refresh(record.id, this.#membership.get(record.id))
    return true
  }

  /** Names of the declared nodes whose agent left or was forgotten, and about which nothing was declared since. */
  get outlived(): ReadonlySet<string> {
    return this.#outlived
  }

  /** Takes what is declared about the node of that name now; null: nothing any more. */
  declare(name: string, declared: DeclaredNode | null): void {
    if (declared) this.#declared.set(name, declared)
    else this.#declared.delete(name)
    this.#outlived.delete(name)
    const holder = this.#membership
      .members()
      .find((member) => member.name === name && member.status !== 'left')
    if (holder) this.#refresh(holder.id, holder)
    else this.#refreshDeclared(name)
  }

  /** Takes the ids of all nodes that are to get no new traffic. */
  setCordoned(ids: ReadonlySet<PeerId>): void {
    const before = this.#cordoned
    this.#cordoned = ids
    for (const id of new Set([...before, ...ids])) {
      if (before.has(id) !== ids.has(id)) this.#refresh(id, this.#membership.get(id))
    }
  }

  /** Drops the records of nodes the membership has forgotten, or never heard of. */
  prune(now: number): void {
    for (const id of [...this.#records.keys()]) {
      if (this.#membership.get(id)) {
        this.#unknownSince.delete(id)
        continue
      }
      const since = this.#unknownSince.get(id) ?? now
      this.#unknownSince.set(id, since)
      if (now - since < UNKNOWN_KEPT_MS) continue
      this.#records.delete(id)
      this.#unknownSince.delete(id)
      this.#refresh(id, undefined)
    }
  }

  #follow(member: Member, previous: Member | undefined): void {
    this.#unknownSince.delete(member.id)
    const current = this.#membership.get(member.id)
    const same = previous && current?.status === previous.status && current.name === previous.name
    // A new address or incarnation alone changes nothing here once the record itself has arrived.
    if (!same || !this.#records.has(member.id)) this.#refresh(member.id, current)
  }

  #refresh(id: PeerId, member: Member | undefined): void {
    const name = this.#views.get(id)?.node.record.name
    this.#show(id, this.#shown(id, member))
    for (const touched of new Set([name, member?.name])) {
      if (touched === undefined || !this.#declared.has(touched)) continue
      if (this.#views.has(id)) this.#outlived.delete(touched)
      else if (touched === name) this.#outlived.add(touched)
      this.#refreshDeclared(touched)
    }
  }

  #shown(id: PeerId, member: Member | undefined): ShownNode | null {
    if (!member || member.status === 'left') return null
    const record = withDeclared(shownRecord(member, this.#records.get(id)), this.#declared.get(member.name))
    return { record, alive: member.status !== 'failed', cordoned: this.#cordoned.has(id), hasAgent: true }
  }

  /** A declared node is shown under its name while no member has it; as failed if one had it until it was gone. */
  #refreshDeclared(name: string): void {
    const declared = this.#declared.get(name)
    const id = `declared:${name}`
    const holder = this.#idByName.get(name)
    const isShown = declared?.stands === true && (holder === undefined || holder === id)
    const hadAgent = this.#outlived.has(name)
    this.#show(
      id,
      isShown
        ? { record: declaredRecord(declared), alive: !hadAgent, cordoned: false, hasAgent: hadAgent }
        : null,
    )
  }

  #show(id: PeerId, shown: ShownNode | null): void {
    const before = this.#views.get(id) ?? null
    if (!before && !shown) return
    const index = this.#index + this.#run.step
    const change = nextView(before, shown, index)
    this.#replace(id, before, change)
    if (change.visible) this.#stamp(before, change, index)
  }

  #replace(id: PeerId, before: NodeView | null, { view: after, services }: ViewChange): void {
    this.#nodes = null
    this.#checks.forget()
    const oldName = before?.node.record.name
    if (oldName !== undefined && this.#idByName.get(oldName) === id) {
      this.#idByName.delete(oldName)
      this.#nodeSpellings.delete(oldName)
    }
    if (after) {
      this.#views.set(id, after)
      this.#idByName.set(after.node.record.name, id)
      this.#nodeSpellings.add(after.node.record.name)
    } else this.#views.delete(id)
    this.#services.update(id, before, after, services)
  }

  #stamp(before: NodeView | null, change: ViewChange, index: number): void {
    const names = new Set<string>()
    for (const view of [before, change.view]) if (view) names.add(view.node.record.name)
    const checks = !before || !change.view || !sameChecks(before, change.view) || change.servicesChanged
    this.#index = index
    if (change.nodeChanged) this.#indexes.nodes = index
    // Who asks for the services of some nodes only looks at the meta of nodes as well.
    const services = change.servicesChanged || change.nodeChanged
    if (services) this.#indexes.services = index
    if (checks) this.#indexes.checks = index
    for (const name of names) {
      if (this.#idByName.has(name)) this.#nodeIndexes.set(name, index)
      else {
        this.#nodeIndexes.delete(name)
        this.#indexes.lost = index
      }
    }
    this.#services.stamp(change.services, index)
    this.#subscriptions.notify({
      nodes: change.nodeChanged,
      services,
      checks,
      nodeNames: names,
      serviceNames: change.services,
    })
  }

  #nodeIndexOf(name: string): number {
    const [other = name] = this.#nodeSpellings.of(name)
    return this.#nodeIndexes.get(name) ?? this.#nodeIndexes.get(other) ?? this.#indexes.lost
  }

  #viewOf(name: string): NodeView | undefined {
    const id = this.#idByName.get(name)
    return id === undefined ? undefined : this.#views.get(id)
  }
}

function sameChecks(a: NodeView, b: NodeView): boolean {
  return sameEntry(a.nodeChecks, b.nodeChecks) && sameEntry(a.node.record.checks, b.node.record.checks)
}
