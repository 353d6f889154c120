/** What an element may carry besides its kind. */
interface Attributes {
  /** An empty object, `true` or `false` is a value here; anywhere else an empty object rejects the whole document. */
  readonly allowEmpty?: true
  /** First Traefik release that knows the field; an older one rejects the whole document. */
  readonly since?: string
  /** Known to labels only and gone from the document, such as the port of a server. */
  readonly labelOnly?: true
}

/** A value written as text in a label. `duration` is Go text or a number of seconds. */
export interface ScalarSchema extends Attributes {
  readonly kind: 'string' | 'bool' | 'int' | 'duration'
}

/** A list. Labels may write its first element under the name `single` ("server" for "servers[0]"). */
export interface ListSchema extends Attributes {
  readonly kind: 'list'
  readonly of: Schema
  readonly single?: string
}

/** Objects by a name the user chose. */
export interface MapSchema extends Attributes {
  readonly kind: 'map'
  readonly of: Schema
}

/** A field of a struct under its canonical name. */
export interface Field {
  readonly name: string
  readonly schema: Schema
}

/** An object with known fields. Traefik compares their names without regard to case: `fields` has them in lower case. */
export interface StructSchema extends Attributes {
  readonly kind: 'struct'
  readonly fields: ReadonlyMap<string, Field>
}

/** Anything: the configuration of a plugin. */
export interface AnySchema extends Attributes {
  readonly kind: 'any'
}

/** A node of the table that describes Traefik's dynamic configuration. */
export type Schema = ScalarSchema | ListSchema | MapSchema | StructSchema | AnySchema

/** Text. */
export const str: ScalarSchema = { kind: 'string' }
/** A boolean as Go's ParseBool reads it. */
export const bool: ScalarSchema = { kind: 'bool' }
/** A whole number. */
export const int: ScalarSchema = { kind: 'int' }
/** A duration. */
export const duration: ScalarSchema = { kind: 'duration' }
/** Free form. */
export const any: AnySchema = { kind: 'any' }

/** A list of `of`. */
export function list(of: Schema, single?: string): ListSchema {
  return single === undefined ? { kind: 'list', of } : { kind: 'list', of, single }
}

/** A list of text, in labels separated by commas. */
export const strs: ListSchema = list(str)

/** A map from names to `of`. */
export function map(of: Schema): MapSchema {
  return { kind: 'map', of }
}

/** A struct with these fields. */
export function struct(fields: Readonly<Record<string, Schema>>): StructSchema {
  return {
    kind: 'struct',
    fields: new Map(Object.entries(fields).map(([name, schema]) => [name.toLowerCase(), { name, schema }])),
  }
}

/** The same element, which may be empty. */
export function orEmpty<S extends Schema>(schema: S): S {
  return { ...schema, allowEmpty: true }
}

/** The same element, unknown to releases before `release`. */
export function since<S extends Schema>(release: string, schema: S): S {
  return { ...schema, since: release }
}

/** The same element, for labels only. */
export function labelOnly<S extends Schema>(schema: S): S {
  return { ...schema, labelOnly: true }
}

/** True if Traefik `release` ("3.4") lacks an element of `schema`. */
export function isTooNew(schema: Schema, release: string): boolean {
  return schema.since !== undefined && isOlder(release, schema.since)
}

/** True if Traefik `release` ("3.4") came before `other`. */
export function isOlder(release: string, other: string): boolean {
  return releaseNumber(release) < releaseNumber(other)
}

function releaseNumber(release: string): number {
  const [major = '0', minor = '0'] = release.split('.')
  return Number(major) * 1000 + Number(minor)
}
