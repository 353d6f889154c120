import type { PeerId } from '../mesh/types.ts'
import { compareText, joinInstance, type NodeView } from './node-view.ts'
import { Spellings } from './spellings.ts'
import type { CatalogInstance, ServiceInstance } from './types.ts'

interface Group {
  /** Of the last change that touched the service. */
  index: number
  readonly byNode: Map<PeerId, Set<string>>
  instances: readonly CatalogInstance[] | null
  tags: readonly string[] | null
  /** Built at the first question about a tag. */
  byTag: ReadonlyMap<string, readonly CatalogInstance[]> | null
}

const NONE: readonly CatalogInstance[] = Object.freeze([])

/** Instances by service name: a lookup costs what it returns, and nothing while the service does not change. */
export class ServiceIndex {
  readonly #views: ReadonlyMap<PeerId, NodeView>
  readonly #groups = new Map<string, Group>()
  readonly #spellings = new Spellings()
  readonly #firstIndex: number
  #extinctionIndex: number
  #all: ReadonlyMap<string, readonly string[]> | null = null

  /**
   * @param views the views of the shown nodes, kept up to date by the owner of this index
   * @param firstIndex of what has not changed yet
   */
  constructor(views: ReadonlyMap<PeerId, NodeView>, firstIndex: number) {
    this.#views = views
    this.#firstIndex = firstIndex
    this.#extinctionIndex = firstIndex
  }

  /** Follows a node from one view to the next; only the services in `touched` are different. */
  update(id: PeerId, before: NodeView | null, after: NodeView | null, touched: ReadonlySet<string>): void {
    if (touched.size === 0) return
    for (const service of services(before)) if (touched.has(service.name)) this.#remove(id, service)
    for (const service of services(after)) if (touched.has(service.name)) this.#add(id, service)
  }

  /** Stamps the services a change touched. One without instances is extinct, and its name forgotten. */
  stamp(touched: Iterable<string>, index: number): void {
    for (const name of touched) {
      const group = this.#groups.get(name)
      if (!group || group.byNode.size === 0) {
        this.#groups.delete(name)
        this.#spellings.delete(name)
        this.#extinctionIndex = index
      }
      // Who reads a service reads all its spellings.
      for (const spelling of this.#spellings.of(name)) {
        const sibling = this.#groups.get(spelling)
        if (sibling) sibling.index = index
      }
    }
  }

  /** Index of the last change of a service in any spelling; of the last extinction for an unknown one. */
  indexOf(name: string): number {
    const [spelling] = this.#spellings.of(name)
    return (spelling === undefined ? undefined : this.#groups.get(spelling)?.index) ?? this.#extinctionIndex
  }

  /** Every spelling of a name, sorted. */
  spellings(name: string): readonly string[] {
    return this.#spellings.of(name)
  }

  /** Instances sorted by node name, then id. */
  instances(name: string): readonly CatalogInstance[] {
    const group = this.#groups.get(name)
    if (!group) return []
    group.instances ??= Object.freeze(this.#join(group))
    return group.instances
  }

  /** Instances that have the tag, in the same order. */
  tagged(name: string, tag: string): readonly CatalogInstance[] {
    const group = this.#groups.get(name)
    if (!group) return NONE
    group.byTag ??= byTag(this.instances(name))
    return group.byTag.get(tag) ?? NONE
  }

  /** Service name → tags, both sorted. */
  names(): ReadonlyMap<string, readonly string[]> {
    this.#all ??= new Map([...this.#groups.keys()].sort(compareText).map((name) => [name, this.#tags(name)]))
    return this.#all
  }

  #join(group: Group): CatalogInstance[] {
    const out: CatalogInstance[] = []
    for (const [nodeId, ids] of group.byNode) {
      const view = this.#views.get(nodeId)
      for (const id of ids) {
        const service = view?.node.record.services.get(id)
        const indexed = view?.instances.get(id)
        if (view && service && indexed) out.push(joinInstance(view, service, indexed))
      }
    }
    return out.sort(compareInstances)
  }

  #tags(name: string): readonly string[] {
    const group = this.#groups.get(name)
    if (!group) return []
    group.tags ??= Object.freeze(
      [...new Set(this.instances(name).flatMap((instance) => instance.service.tags))].sort(compareText),
    )
    return group.tags
  }

  #add(nodeId: PeerId, service: ServiceInstance): void {
    const group = this.#groups.get(service.name) ?? {
      index: this.#firstIndex,
      byNode: new Map<PeerId, Set<string>>(),
      instances: null,
      tags: null,
      byTag: null,
    }
    this.#groups.set(service.name, group)
    this.#spellings.add(service.name)
    const ids = group.byNode.get(nodeId) ?? new Set<string>()
    group.byNode.set(nodeId, ids.add(service.id))
    this.#forget(group)
  }

  #remove(nodeId: PeerId, service: ServiceInstance): void {
    const group = this.#groups.get(service.name)
    const ids = group?.byNode.get(nodeId)
    if (!group || !ids) return
    ids.delete(service.id)
    if (ids.size === 0) group.byNode.delete(nodeId)
    this.#forget(group)
  }

  #forget(group: Group): void {
    group.instances = null
    group.tags = null
    group.byTag = null
    this.#all = null
  }
}

/** By name of the node, then id. */
export function compareInstances(a: CatalogInstance, b: CatalogInstance): number {
  return compareText(a.node.record.name, b.node.record.name) || compareText(a.service.id, b.service.id)
}

function byTag(instances: readonly CatalogInstance[]): ReadonlyMap<string, readonly CatalogInstance[]> {
  const out = new Map<string, CatalogInstance[]>()
  for (const instance of instances) {
    for (const tag of new Set(instance.service.tags)) {
      const tagged = out.get(tag)
      if (tagged === undefined) out.set(tag, [instance])
      else tagged.push(instance)
    }
  }
  return out
}

function services(view: NodeView | null): Iterable<ServiceInstance> {
  return view?.node.record.services.values() ?? []
}
