import type { Catalog, CatalogInstance } from '../catalog/types.ts'

/** The instances of a service that may be answered with, and what else there is of it. */
export interface Found {
  readonly healthy: readonly CatalogInstance[]
  /** With the tag, in whatever state. */
  readonly all: readonly CatalogInstance[]
  /** No instance has the tag, but one that ends with it behind a dot. */
  readonly aboveTag: boolean
}

const NONE: Found = { healthy: [], all: [], aboveTag: false }

/**
 * Chooses instances by service and tag. A choice is kept until the service changes: the catalogue gives the same list until then, and
 * the choice goes with the list. Only choices that found something are kept, so there are no more than the service has tags.
 */
export class InstanceChooser {
  readonly #catalog: Catalog
  readonly #onlyPassing: boolean
  #kept = new WeakMap<readonly CatalogInstance[], Map<string, Found>>()

  constructor(catalog: Catalog, onlyPassing: boolean) {
    this.#catalog = catalog
    this.#onlyPassing = onlyPassing
  }

  /** @param service and `tag` in lower case; "" is no tag. Services whose names differ in case only are one: DNS cannot tell them apart. */
  choose(service: string, tag: string): Found {
    const found = this.#catalog
      .spellings('service', service)
      .map((name) => this.#chosen(this.#catalog.instances(name), tag))
    if (found.length <= 1) return found[0] ?? NONE
    return {
      healthy: found.flatMap(({ healthy }) => healthy),
      all: found.flatMap(({ all }) => all),
      aboveTag: found.some(({ aboveTag }) => aboveTag),
    }
  }

  #chosen(instances: readonly CatalogInstance[], tag: string): Found {
    const kept = this.#kept.get(instances)?.get(tag)
    if (kept !== undefined) return kept
    const all = tag === '' ? instances : instances.filter((instance) => hasTag(instance, tag))
    const found: Found = {
      all,
      healthy: all.filter(
        ({ status }) => status === 'passing' || (status === 'warning' && !this.#onlyPassing),
      ),
      aboveTag: all.length === 0 && instances.some((instance) => hasTagBelow(instance, tag)),
    }
    if (all.length > 0) {
      const choices = this.#kept.get(instances) ?? new Map<string, Found>()
      this.#kept.set(instances, choices.set(tag, found))
    }
    return found
  }
}

function hasTag({ service }: CatalogInstance, tag: string): boolean {
  return service.tags.some((other) => other.toLowerCase() === tag)
}

function hasTagBelow({ service }: CatalogInstance, tag: string): boolean {
  return service.tags.some((other) => other.toLowerCase().endsWith(`.${tag}`))
}
