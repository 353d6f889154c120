import { isObject, type Json, type JsonObject, newObject } from './json.ts'
import { KnownObjects } from './known-objects.ts'
import { type DecodeIssue, type DecodeOptions, decodeDocument } from './strict-decoder.ts'

/** An object that was taken out because Traefik would have rejected the whole document for it. */
export interface Quarantined {
  /** "section.kind.name", or less when the fault lies higher up. */
  readonly key: string
  readonly issue: DecodeIssue
}

/**
 * The last gate: takes every object out that the strict decoder does not accept, and what becomes empty by that, until
 * the rest is accepted. One bad object would otherwise freeze the configuration of every service.
 */
export function gate(
  document: JsonObject,
  options: DecodeOptions = {},
  objects: KnownObjects = new KnownObjects(),
): { readonly document: JsonObject; readonly quarantined: readonly Quarantined[] } {
  const quarantined: Quarantined[] = []
  let current = prune(document)
  for (;;) {
    const rest = unknown(current, objects)
    const { errors } = decodeDocument(rest, options)
    if (errors.length === 0) {
      forEachObject(rest, (object) => objects.accept(object))
      return { document: current, quarantined }
    }
    const bad = new Map(errors.map((issue) => [JSON.stringify(issue.path.slice(0, 3)), issue]))
    // What was given stays as it is.
    if (quarantined.length === 0)
      current = mapKinds(current, (objects) => Object.assign(newObject(), objects))
    for (const issue of bad.values()) {
      const path = issue.path.slice(0, 3)
      quarantined.push({ key: path.join('.'), issue })
      remove(current, path)
    }
    current = prune(current)
  }
}

/** What of the document the decoder has not taken before. */
function unknown(document: JsonObject, known: KnownObjects): JsonObject {
  return prune(
    mapKinds(document, (objects) => {
      const rest = newObject()
      for (const name in objects) {
        const object = objects[name] as Json
        if (!isObject(object) || !known.isAccepted(object)) rest[name] = object
      }
      return rest
    }),
  )
}

/** The document with the objects of each kind replaced. Sections and kinds are copied, what is neither is kept as it is. */
function mapKinds(document: JsonObject, map: (objects: JsonObject) => JsonObject): JsonObject {
  const result = newObject()
  for (const [section, kinds] of Object.entries(document)) {
    result[section] = kinds
    if (!isObject(kinds)) continue
    const copy = newObject()
    result[section] = copy
    for (const [kind, objects] of Object.entries(kinds)) {
      copy[kind] = isObject(objects) ? map(objects) : objects
    }
  }
  return result
}

function forEachObject(document: JsonObject, visit: (object: JsonObject) => void): void {
  for (const kinds of Object.values(document)) {
    for (const objects of Object.values(isObject(kinds) ? kinds : {})) {
      for (const object of Object.values(isObject(objects) ? objects : {}))
        if (isObject(object)) visit(object)
    }
  }
}

/** Without sections and kinds that have nothing in them: as fields, Traefik rejects them. */
function prune(document: JsonObject): JsonObject {
  const result = newObject()
  for (const [section, kinds] of Object.entries(document)) {
    if (!isObject(kinds)) {
      result[section] = kinds
      continue
    }
    const kept = newObject()
    for (const [kind, objects] of Object.entries(kinds)) {
      if (!isObject(objects) || !isEmpty(objects)) kept[kind] = objects
    }
    if (!isEmpty(kept)) result[section] = kept
  }
  return result
}

function isEmpty(object: JsonObject): boolean {
  for (const _ in object) return false
  return true
}

function remove(document: JsonObject, path: readonly string[]): void {
  const [section = '', kind, name] = path
  const kinds = document[section]
  if (kind === undefined || !isObject(kinds)) {
    delete document[section]
    return
  }
  const objects = kinds[kind]
  if (name === undefined || !isObject(objects)) delete kinds[kind]
  else delete objects[name]
}
