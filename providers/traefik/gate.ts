import { isObject, type Json, type JsonObject, newObject } from './json.ts'
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
): { readonly document: JsonObject; readonly quarantined: readonly Quarantined[] } {
  const quarantined: Quarantined[] = []
  let current = prune(document)
  for (;;) {
    const { errors } = decodeDocument(current, options)
    if (errors.length === 0) return { document: current, quarantined }
    const bad = new Map(errors.map((issue) => [JSON.stringify(issue.path.slice(0, 3)), issue]))
    for (const issue of bad.values()) {
      const path = issue.path.slice(0, 3)
      quarantined.push({ key: path.join('.'), issue })
      remove(current, path)
    }
    current = prune(current)
  }
}

/** A copy without sections and kinds that have nothing in them: as fields, Traefik rejects them. */
function prune(document: JsonObject): JsonObject {
  const result = newObject()
  for (const [section, kinds] of Object.entries(document)) {
    if (!isObject(kinds)) {
      result[section] = kinds
      continue
    }
    const kept = Object.entries(kinds).filter(([, objects]) => !isObject(objects) || size(objects) > 0)
    if (kept.length > 0) {
      result[section] = Object.assign(
        newObject(),
        Object.fromEntries(kept.map(([kind, objects]) => [kind, copy(objects)])),
      )
    }
  }
  return result
}

function copy(value: Json): Json {
  return isObject(value) ? Object.assign(newObject(), value) : value
}

function size(object: JsonObject): number {
  return Object.keys(object).length
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
