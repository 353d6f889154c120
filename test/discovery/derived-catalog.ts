import type {
  CatalogInstance,
  CatalogNode,
  CatalogSelector,
  CheckStatus,
  NodeCheck,
} from '../../discovery/catalog/types.ts'

/** The questions of a catalogue that follow from the others, for catalogues that a test writes itself. */
export abstract class DerivedCatalog {
  abstract readonly index: number
  abstract instances(service: string): readonly CatalogInstance[]
  abstract checks(): readonly NodeCheck[]
  abstract serviceIndex(service: string): number
  abstract services(): ReadonlyMap<string, readonly string[]>
  abstract nodes(): readonly CatalogNode[]

  spellings(kind: 'service' | 'node', name: string): readonly string[] {
    const names =
      kind === 'service' ? [...this.services().keys()] : this.nodes().map(({ record }) => record.name)
    return names.filter((known) => known.toLowerCase() === name.toLowerCase()).sort()
  }

  instancesTagged(service: string, tag: string): readonly CatalogInstance[] {
    return this.instances(service).filter((instance) => instance.service.tags.includes(tag))
  }

  checksIn(status: CheckStatus): readonly NodeCheck[] {
    return this.checks().filter(({ check }) => check.status === status)
  }

  checksOn(name: string): readonly NodeCheck[] {
    return this.checks().filter(({ node }) => node.record.name === name)
  }

  indexOf(selector: CatalogSelector): number {
    return selector.kind === 'service' ? this.serviceIndex(selector.name) : this.index
  }
}
