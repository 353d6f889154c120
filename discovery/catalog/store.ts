import type { Logger } from 'pino'
import type { Member, Membership } from '../membership/types.ts'
import type { PeerId } from '../mesh/types.ts'
import { compareVersions } from './delta.ts'
import { compareText, joinInstance, type NodeView, nextView, shownRecord } from './node-view.ts'
import { ServiceIndex } from './service-index.ts'
import type {
  Catalog,
  CatalogInstance,
  CatalogNode,
  CatalogSelector,
  HealthCheck,
  NodeRecord,
} from './types.ts'

/** Records of nodes the membership does not know (yet): kept hidden for this long. */
const UNKNOWN_KEPT_MS = 60_000
const UNKNOWN_MAX = 256

/** What {@link CatalogStore} works with. */
export interface CatalogStoreCollaborators {
  readonly membership: Pick<Membership, 'members' | 'get' | 'onChange'>
  readonly log: Logger
}

/**
 * Every node's record joined with who is alive. A failed member stays, with its instances critical; one that left is not
 * shown. A member whose record has not arrived is shown empty.
 */
export class CatalogStore implements Catalog {
  readonly #membership: CatalogStoreCollaborators['membership']
  readonly #log: Logger
  readonly #records = new Map<PeerId, NodeRecord>()
  /** Since when a held record belongs to nobody the membership knows. */
  readonly #unknownSince = new Map<PeerId, number>()
  readonly #views = new Map<PeerId, NodeView>()
  readonly #idByName = new Map<string, PeerId>()
  readonly #services = new ServiceIndex(this.#views)
  readonly #listeners = new Set<() => void>()
  readonly #serviceListeners = new Map<string, Set<() => void>>()
  #stopFollowing: (() => void) | null = null
  #nodes: readonly CatalogNode[] | null = null
  #index = 1
  #synced = false

  constructor(collaborators: CatalogStoreCollaborators) {
    this.#membership = collaborators.membership
    this.#log = collaborators.log
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

  get synced(): boolean {
    return this.#synced
  }

  /** This node has exchanged records with a peer, or has none to exchange with. */
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

  checks(): readonly { readonly node: CatalogNode; readonly check: HealthCheck }[] {
    return this.nodes().flatMap((node) => {
      const own = [...node.record.checks.values()].sort((a, b) => compareText(a.id, b.id))
      const serf = this.#views.get(node.record.id)?.nodeChecks[0]
      return [...(serf ? [serf] : []), ...own].map((check) => ({ node, check }))
    })
  }

  serviceIndex(service: string): number {
    return this.#services.indexOf(service)
  }

  onChange(selector: CatalogSelector, listener: () => void): () => void {
    if (selector.kind === 'all') return subscribe(this.#listeners, listener, () => undefined)
    const { name } = selector
    const listeners = this.#serviceListeners.get(name) ?? new Set()
    this.#serviceListeners.set(name, listeners)
    return subscribe(listeners, listener, () => {
      if (listeners.size === 0 && this.#serviceListeners.get(name) === listeners) {
        this.#serviceListeners.delete(name)
      }
    })
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
    const before = this.#views.get(id) ?? null
    const shown = member && member.status !== 'left' ? member : undefined
    const record = shown ? shownRecord(shown, this.#records.get(id)) : null
    if (!before && !record) return
    const index = this.#index + 1
    const { view, visible, services } = nextView(before, record, shown?.status !== 'failed', index)
    this.#replace(id, before, view)
    if (!visible) return
    this.#index = index
    this.#services.stamp(services, index)
    this.#notify(services)
  }

  #replace(id: PeerId, before: NodeView | null, after: NodeView | null): void {
    this.#nodes = null
    const oldName = before?.node.record.name
    if (oldName !== undefined && this.#idByName.get(oldName) === id) this.#idByName.delete(oldName)
    if (after) {
      this.#views.set(id, after)
      this.#idByName.set(after.node.record.name, id)
    } else this.#views.delete(id)
    this.#services.update(id, before, after)
  }

  #viewOf(name: string): NodeView | undefined {
    const id = this.#idByName.get(name)
    return id === undefined ? undefined : this.#views.get(id)
  }

  #notify(services: ReadonlySet<string>): void {
    const listeners = [...this.#listeners]
    for (const name of services) listeners.push(...(this.#serviceListeners.get(name) ?? []))
    for (const listener of listeners) {
      try {
        listener()
      } catch (error) {
        this.#log.error({ err: error }, 'a listener of catalogue changes failed')
      }
    }
  }
}

/** Each subscription counts by itself, even when the same function subscribes twice. */
function subscribe(listeners: Set<() => void>, listener: () => void, after: () => void): () => void {
  const own = () => listener()
  listeners.add(own)
  return () => {
    listeners.delete(own)
    after()
  }
}
