import { canonicalJson, isObject, type JsonObject } from './json.ts'

/**
 * What is known about objects of the document ("section.kind.name") that are the same from one rendering to the next, so
 * that a change costs little more than what it touches. Objects in it must not be changed. For one release of Traefik.
 */
export class RenderCache {
  readonly #json = new WeakMap<JsonObject, string>()
  readonly #accepted = new WeakSet<JsonObject>()

  /** The canonical text of an object. */
  json(object: JsonObject): string {
    const known = this.#json.get(object)
    if (known !== undefined) return known
    const text = canonicalJson(object)
    this.#json.set(object, text)
    return text
  }

  /** The canonical text of a document: the bytes of `canonicalJson`. */
  documentJson(document: JsonObject): string {
    return members(document, (kinds) =>
      members(kinds, (objects) => members(objects, (object) => this.json(object))),
    )
  }

  isAccepted(object: JsonObject): boolean {
    return this.#accepted.has(object)
  }

  /** The strict decoder takes it. */
  accept(object: JsonObject): void {
    this.#accepted.add(object)
  }
}

function members(parent: JsonObject, text: (member: JsonObject) => string): string {
  const parts = Object.keys(parent)
    .sort()
    .map((key) => {
      const member = parent[key]
      return `${canonicalJson(key)}:${isObject(member) ? text(member) : canonicalJson(member ?? '')}`
    })
  return `{${parts.join(',')}}`
}
