import type { TSchema } from 'typebox'

/** What kind of value is where in an object: what a selector is checked against. */
export type Shape =
  | { readonly kind: 'string' | 'boolean' | 'number' }
  /** A value that is absent is its zero value, as in Go. */
  | { readonly kind: 'struct'; readonly fields: ReadonlyMap<string, Shape> }
  | { readonly kind: 'map' | 'list'; readonly element: Shape }

const NOTHING: Shape = { kind: 'struct', fields: new Map() }

interface JsonSchema {
  readonly type?: string
  readonly const?: unknown
  readonly anyOf?: readonly JsonSchema[]
  readonly items?: JsonSchema
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly patternProperties?: Readonly<Record<string, JsonSchema>>
}

/** The shape of what a schema describes. Of a union the first kind that is not null counts. */
export function shapeOf(schema: TSchema): Shape {
  return read(schema as JsonSchema)
}

function read(schema: JsonSchema): Shape {
  if (schema.anyOf !== undefined) return read(schema.anyOf.find(({ type }) => type !== 'null') ?? {})
  const type = schema.type ?? typeof schema.const
  if (type === 'string' || type === 'boolean') return { kind: type }
  if (type === 'integer' || type === 'number') return { kind: 'number' }
  if (type === 'array') return { kind: 'list', element: read(schema.items ?? {}) }
  if (type !== 'object') return NOTHING
  const [values] = Object.values(schema.patternProperties ?? {})
  if (values !== undefined) return { kind: 'map', element: read(values) }
  return {
    kind: 'struct',
    fields: new Map(Object.entries(schema.properties ?? {}).map(([name, field]) => [name, read(field)])),
  }
}
