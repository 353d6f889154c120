import type { Catalog, CatalogNode, NodeRecord } from '../catalog/types.ts'
import { addressToHex } from './address.ts'

/**
 * Finds nodes and services by what the catalogue does not order them by: parts of their names, and addresses. Follows the
 * catalogue when somebody asks, and then looks only at records that are new.
 */
export class NameIndex {
  readonly #catalog: Catalog
  readonly #seen = new Map<string, CatalogNode>()
  /** Ids of nodes by name in lower case. */
  readonly #nodes = new CountedSets()
  /** By what is behind a dot of a name: "rack" for "n2.rack". */
  readonly #aboveNodes = new CountedSets()
  readonly #aboveServices = new CountedSets()
  /** By address in hex, as `addressToHex` writes it. */
  readonly #nodesAt = new CountedSets()
  readonly #servicesAt = new CountedSets()
  #index = 0

  constructor(catalog: Catalog) {
    this.#catalog = catalog
  }

  /** @param name in lower case */
  node(name: string): CatalogNode | undefined {
    return this.#catalog.node(name) ?? this.#find(this.#nodes, name)[0]
  }

  /** True if the name of a node ends with this, behind a dot. */
  isAboveNode(name: string): boolean {
    this.#follow()
    return this.#aboveNodes.get(name).length > 0
  }

  /** True if the name of a service ends with this, behind a dot. */
  isAboveService(name: string): boolean {
    this.#follow()
    return this.#aboveServices.get(name).length > 0
  }

  /** Nodes with this address, in the order of their names. */
  nodesAt(hex: string): readonly CatalogNode[] {
    return this.#find(this.#nodesAt, hex)
  }

  /** Names of services of which an instance was registered with this address. */
  servicesAt(hex: string): readonly string[] {
    this.#follow()
    return this.#servicesAt.get(hex)
  }

  #find(sets: CountedSets, key: string): CatalogNode[] {
    this.#follow()
    const found = sets.get(key).flatMap((id) => this.#seen.get(id) ?? [])
    return found.sort((a, b) => (a.record.name < b.record.name ? -1 : 1))
  }

  #follow(): void {
    if (this.#index === this.#catalog.index) return
    this.#index = this.#catalog.index
    const gone = new Set(this.#seen.keys())
    for (const node of this.#catalog.nodes()) {
      const { id } = node.record
      const before = this.#seen.get(id)
      gone.delete(id)
      this.#seen.set(id, node)
      if (before?.record === node.record) continue
      if (before !== undefined) this.#change(before.record, -1)
      this.#change(node.record, 1)
    }
    for (const id of gone) {
      const before = this.#seen.get(id)
      if (before !== undefined) this.#change(before.record, -1)
      this.#seen.delete(id)
    }
  }

  #change(record: NodeRecord, by: 1 | -1): void {
    const lower = record.name.toLowerCase()
    this.#nodes.change(lower, record.id, by)
    for (const suffix of suffixes(lower)) this.#aboveNodes.change(suffix, record.id, by)
    const hex = addressToHex(record.address)
    if (hex !== null) this.#nodesAt.change(hex, record.id, by)
    for (const { name, address } of record.services.values()) {
      for (const suffix of suffixes(name.toLowerCase())) this.#aboveServices.change(suffix, name, by)
      const own = address === '' ? null : addressToHex(address)
      if (own !== null) this.#servicesAt.change(own, name, by)
    }
  }
}

/** Sets of text by key, which know how often each text was put into them. */
class CountedSets {
  readonly #sets = new Map<string, Map<string, number>>()

  get(key: string): string[] {
    return [...(this.#sets.get(key)?.keys() ?? [])].sort()
  }

  change(key: string, value: string, by: 1 | -1): void {
    const set = this.#sets.get(key) ?? new Map<string, number>()
    const count = (set.get(value) ?? 0) + by
    if (count > 0) set.set(value, count)
    else set.delete(value)
    if (set.size > 0) this.#sets.set(key, set)
    else this.#sets.delete(key)
  }
}

function suffixes(name: string): string[] {
  const found: string[] = []
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1))
    found.push(name.slice(dot + 1))
  return found
}
