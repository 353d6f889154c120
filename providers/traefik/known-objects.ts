import { canonicalJson, isObject, type JsonObject } from './json.ts'
import { type References, referencesOf } from './references.ts'

interface Known {
  name: string
  /** `"name":{...}` */
  member: string | undefined
  accepted: boolean
  references: References | undefined
}

/**
 * What is known about objects of the document that are the same from one rendering to the next. Objects in it must not be
 * changed, and are forgotten with their last user. For one release of Traefik.
 */
export class KnownObjects {
  readonly #known = new WeakMap<JsonObject, Known>()
  readonly #sorted = new Map<
    string,
    { readonly keys: readonly string[]; readonly sorted: readonly string[] }
  >()

  /** The canonical text of a document: the bytes of `canonicalJson`. */
  documentJson(document: JsonObject): string {
    return join(Object.keys(document).sort(), (section) => {
      const kinds = document[section] ?? ''
      if (!isObject(kinds)) return `${canonicalJson(section)}:${canonicalJson(kinds)}`
      const text = join(Object.keys(kinds).sort(), (kind) => {
        const objects = kinds[kind] ?? ''
        if (!isObject(objects)) return `${canonicalJson(kind)}:${canonicalJson(objects)}`
        const names = this.#sortedKeys(`${section}.${kind}`, objects)
        return `${canonicalJson(kind)}:${join(names, (name) => this.#member(name, objects[name] ?? ''))}`
      })
      return `${canonicalJson(section)}:${text}`
    })
  }

  isAccepted(object: JsonObject): boolean {
    return this.#known.get(object)?.accepted === true
  }

  /** The strict decoder takes it. */
  accept(object: JsonObject): void {
    this.#of(object).accepted = true
  }

  /** What an object of this kind refers to. */
  references(kind: string, object: JsonObject): References {
    const known = this.#of(object)
    known.references ??= referencesOf(kind, object)
    return known.references
  }

  #member(name: string, object: JsonObject[string]): string {
    if (!isObject(object)) return `${canonicalJson(name)}:${canonicalJson(object)}`
    const known = this.#of(object)
    if (known.member === undefined || known.name !== name) {
      known.name = name
      known.member = `${canonicalJson(name)}:${canonicalJson(object)}`
    }
    return known.member
  }

  /** Sorting thousands of names costs more than seeing that they are those of the last time. */
  #sortedKeys(path: string, object: JsonObject): readonly string[] {
    const keys = Object.keys(object)
    const last = this.#sorted.get(path)
    if (
      last !== undefined &&
      last.keys.length === keys.length &&
      keys.every((key, at) => key === last.keys[at])
    )
      return last.sorted
    const sorted = keys.toSorted()
    this.#sorted.set(path, { keys, sorted })
    return sorted
  }

  #of(object: JsonObject): Known {
    const known = this.#known.get(object)
    if (known !== undefined) return known
    const made: Known = { name: '', member: undefined, accepted: false, references: undefined }
    this.#known.set(object, made)
    return made
  }
}

function join(keys: readonly string[], member: (key: string) => string): string {
  return `{${keys.map(member).join(',')}}`
}
