/** A JSON value without null. */
export type Json = string | number | boolean | readonly Json[] | JsonObject

/** A JSON object. Made by `newObject`, so that a key such as `__proto__` is a key like any other. */
export interface JsonObject {
  [key: string]: Json
}

/** An object without a prototype. */
export function newObject(): JsonObject {
  return Object.create(null) as JsonObject
}

/** True for an object that is not a list. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The object below `key`, made if it is missing. @throws TypeError if something else is there. */
export function childObject(parent: JsonObject, key: string): JsonObject {
  const child = parent[key]
  if (child === undefined) {
    const made = newObject()
    parent[key] = made
    return made
  }
  if (!isObject(child)) throw new TypeError(`${key} is not an object`)
  return child
}

/** True for values of the same {@link canonicalJson}. */
export function sameJson(a: Json, b: Json): boolean {
  if (a === b) return true
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, at) => sameJson(item, b[at] as Json))
  }
  if (!isObject(a) || !isObject(b)) return false
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  return keys.every((key) => {
    const other = b[key]
    return other !== undefined && sameJson(a[key] as Json, other)
  })
}

/**
 * Compact JSON with sorted keys: equal values give equal bytes. What a YAML reader would refuse or fold, although JSON
 * allows it raw (DEL, C1 controls, U+2028, U+2029, U+FEFF, U+FFFE, U+FFFF), is escaped: Traefik reads the body as YAML.
 */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (isObject(value)) {
    const members = Object.keys(value)
      .sort()
      .map((key) => `${text(key)}:${canonicalJson(value[key] ?? '')}`)
    return `{${members.join(',')}}`
  }
  return typeof value === 'string' ? text(value) : JSON.stringify(value)
}

function text(value: string): string {
  return JSON.stringify(value).replace(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
