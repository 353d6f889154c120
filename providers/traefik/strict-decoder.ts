import { type Json, type JsonObject, newObject } from './json.ts'
import { ALLOWED, parseBool, parseDuration, parseInteger } from './scalars.ts'
import { dynamicConfiguration, NEWEST_RELEASE } from './schema.ts'
import { isTooNew, type ScalarSchema, type Schema, type StructSchema } from './schema-node.ts'

/** Why Traefik would reject the whole document, or, as a warning, have no use for one object. */
export type DecodeCode =
  | 'NOT_A_MAP'
  | 'STANDALONE'
  | 'FIELD_NOT_FOUND'
  | 'TOO_NEW'
  | 'BAD_VALUE'
  | 'DUPLICATE'
  | 'KEY_TOO_LONG'
  | 'NO_TYPE'
  | 'EMPTY'

/** One finding, with the path of the element in the document. */
export interface DecodeIssue {
  readonly code: DecodeCode
  readonly path: readonly string[]
  readonly message: string
}

/** What Traefik makes of a document. */
export interface DecodeResult {
  /** False: Traefik rejects the document as a whole and keeps the one before. */
  readonly accepted: boolean
  /** Accepted, and so empty that every router of this provider goes away. */
  readonly empty: boolean
  readonly errors: readonly DecodeIssue[]
  readonly warnings: readonly DecodeIssue[]
  /** What was read, with canonical field names; durations are in milliseconds. */
  readonly value: JsonObject
}

/** Settings of the decoder. `release`: the Traefik to stand in for; default the newest. */
export interface DecodeOptions {
  readonly release?: string
}

/** yaml.v3 looks for the colon of a key within 1,024 characters. */
const KEY_CHARS_MAX = 1000
/** Separates list elements inside Traefik's decoder, so no element may hold it. */
const LIST_SEPARATOR = '║'

/** Decodes the text of a body. Traefik reads YAML; this reads the JSON that is all this product sends. */
export function decodeBody(body: string, options: DecodeOptions = {}): DecodeResult {
  if (body.trim() === '') return decodeDocument(null, options)
  let document: unknown
  try {
    document = JSON.parse(body)
  } catch {
    return rejected({ code: 'NOT_A_MAP', path: [], message: 'the body is not a JSON object' })
  }
  return decodeDocument(document, options)
}

/**
 * Decodes a document as strictly as Traefik's file decoder does (traefik/paerser `file`, `parser`): an unknown field,
 * an empty object or a value of the wrong kind anywhere rejects all of it; unknown keys at the root and nulls are skipped.
 */
export function decodeDocument(document: unknown, options: DecodeOptions = {}): DecodeResult {
  if (document !== null && (typeof document !== 'object' || Array.isArray(document))) {
    return rejected({ code: 'NOT_A_MAP', path: [], message: 'the body is not an object' })
  }
  const decoder = new Decoder(options.release ?? NEWEST_RELEASE)
  const known = Object.entries(document ?? {}).filter(([key]) =>
    dynamicConfiguration.fields.has(key.toLowerCase()),
  )
  const value = decoder.members(known, dynamicConfiguration, [])
  return {
    accepted: decoder.errors.length === 0,
    empty: decoder.errors.length === 0 && known.every(([, member]) => member === null),
    errors: decoder.errors,
    warnings: decoder.warnings,
    value,
  }
}

function rejected(issue: DecodeIssue): DecodeResult {
  return { accepted: false, empty: false, errors: [issue], warnings: [], value: newObject() }
}

type Path = readonly string[]

class Decoder {
  readonly errors: DecodeIssue[] = []
  readonly warnings: DecodeIssue[] = []
  readonly #release: string

  constructor(release: string) {
    this.#release = release
  }

  /** Fields of a struct. */
  members(entries: readonly (readonly [string, unknown])[], schema: StructSchema, path: Path): JsonObject {
    const result = newObject()
    const seen = new Set<string>()
    for (const [key, value] of entries) {
      if (value === null || value === undefined) continue
      const at = [...path, key]
      const field = schema.fields.get(key.toLowerCase())
      if (field === undefined || field.schema.labelOnly) {
        this.#error('FIELD_NOT_FOUND', at, `field not found, node: ${key}`)
        continue
      }
      if (isTooNew(field.schema, this.#release)) {
        this.#error(
          'TOO_NEW',
          at,
          `field not found, node: ${key} (known since Traefik ${field.schema.since})`,
        )
        continue
      }
      if (seen.has(field.name)) {
        this.#error('DUPLICATE', at, `${key} is there twice, written differently`)
        continue
      }
      seen.add(field.name)
      const decoded = this.#field(value, field.schema, at)
      if (decoded !== undefined) result[field.name] = decoded
    }
    return result
  }

  /** The value of a field, where an empty object counts as a mistake unless the field is tagged for it. */
  #field(value: unknown, schema: Schema, path: Path): Json | undefined {
    if (schema.kind !== 'struct' && schema.kind !== 'map') return this.#value(value, schema, path)
    const scalar = typeof value !== 'object' || value === null
    if (schema.allowEmpty && scalar) {
      const text = String(value)
      return text === '' || text.toLowerCase() === 'true' ? newObject() : undefined
    }
    if (!schema.allowEmpty && (scalar || entries(value).length === 0)) {
      this.#error('STANDALONE', path, `${path.at(-1)} cannot be a standalone element`)
      return undefined
    }
    return this.#value(value, schema, path)
  }

  #value(value: unknown, schema: Schema, path: Path): Json | undefined {
    switch (schema.kind) {
      case 'struct':
        if (!this.#isObject(value, path)) return undefined
        return this.members(entries(value), schema, path)
      case 'map':
        if (!this.#isObject(value, path)) return undefined
        return this.#map(value, schema.of, path)
      case 'list':
        return this.#list(value, schema.of, path)
      case 'any':
        return value as Json
      default:
        return this.#scalar(value, schema, path)
    }
  }

  #map(value: object, of: Schema, path: Path): JsonObject {
    const result = newObject()
    for (const [key, member] of entries(value)) {
      const at = [...path, key]
      if (key.length > KEY_CHARS_MAX) this.#error('KEY_TOO_LONG', at, `a key of ${key.length} characters`)
      if (of.kind === 'struct' && typeof member === 'object' && entries(member).length === 0) {
        const service = path.at(-1) === 'services'
        this.warnings.push({
          code: service ? 'NO_TYPE' : 'EMPTY',
          path: at,
          message: service ? `the service "${key}" does not have any type defined` : `${key} is empty`,
        })
      }
      const decoded = this.#value(member, of, at)
      if (decoded !== undefined) result[key] = decoded
    }
    return result
  }

  #list(value: unknown, of: Schema, path: Path): Json | undefined {
    const scalars = of.kind !== 'struct' && of.kind !== 'map'
    let items: readonly unknown[]
    if (Array.isArray(value)) items = value
    else if (scalars && typeof value !== 'object') items = value === '' ? [] : String(value).split(',')
    else {
      this.#error('BAD_VALUE', path, `${path.at(-1)} is not a list`)
      return undefined
    }
    const result: Json[] = []
    items.forEach((item, index) => {
      const at = [...path, `[${index}]`]
      if (typeof item === 'string' && item.includes(LIST_SEPARATOR)) {
        this.#error('BAD_VALUE', at, `an element of a list must not hold ${LIST_SEPARATOR}`)
        return
      }
      const decoded = this.#value(item, of, at)
      if (decoded !== undefined) result.push(decoded)
    })
    return result
  }

  #scalar(value: unknown, schema: ScalarSchema, path: Path): Json | undefined {
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
      this.#error('BAD_VALUE', path, `${path.at(-1)} is not ${ALLOWED[schema.kind]}`)
      return undefined
    }
    const text = String(value)
    const decoded = scalarOf(text, schema.kind)
    if (decoded === undefined || !text.isWellFormed()) {
      this.#error('BAD_VALUE', path, `${path.at(-1)} is not ${ALLOWED[schema.kind]}`)
      return undefined
    }
    return decoded
  }

  #isObject(value: unknown, path: Path): value is object {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return true
    this.#error('BAD_VALUE', path, `${path.at(-1)} is not an object`)
    return false
  }

  #error(code: DecodeCode, path: Path, message: string): void {
    this.errors.push({ code, path, message })
  }
}

function scalarOf(text: string, kind: ScalarSchema['kind']): Json | undefined {
  switch (kind) {
    case 'string':
      return text
    case 'bool':
      return parseBool(text)
    case 'int':
      return parseInteger(text)
    case 'duration':
      return parseDuration(text)
  }
}

/** Members of an object that are not null: those count as absent. */
function entries(value: unknown): [string, unknown][] {
  return Object.entries(value ?? {}).filter(([, member]) => member !== null && member !== undefined)
}
