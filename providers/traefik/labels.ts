import { formatGoDuration } from '../../discovery/health/duration.ts'
import { LabelError } from './errors.ts'
import { type Json, type JsonObject, newObject } from './json.ts'
import { ALLOWED, parseBool, parseDuration, parseInteger } from './scalars.ts'
import { dynamicConfiguration, NEWEST_RELEASE } from './schema.ts'
import {
  isTooNew,
  type ListSchema,
  type ScalarSchema,
  type Schema,
  type StructSchema,
} from './schema-node.ts'

/** Labels by name, such as "traefik.http.routers.web.rule". */
export type Labels = ReadonlyMap<string, string>

const SECTIONS: ReadonlySet<string> = new Set(['http', 'tcp', 'udp'])
/** A part of a label becomes a key, and Traefik's YAML reader gives up on keys of 1,024 characters. */
const LABEL_CHARS_MAX = 1000
const PREFIX = 'traefik.'

/** A segment of a label's path. `label` is one label that goes through it, for messages. */
interface Node {
  readonly name: string
  readonly label: string
  value?: string
  readonly children: Map<string, Node>
}

/** True if the label configures a router, service or middleware. */
export function isConfigLabel(label: string): boolean {
  const [root, section = ''] = label.toLowerCase().split('.', 2)
  return root === 'traefik' && SECTIONS.has(section)
}

/** True if the label is one of Traefik's. */
export function isTraefikLabel(label: string): boolean {
  return label.toLowerCase().startsWith(PREFIX)
}

/** A label left out because the Traefik that is written for does not know its field. */
export interface TooNew {
  readonly label: string
  /** First release that knows it. */
  readonly since: string
}

/** How to read labels. */
export interface ParseOptions {
  /** Traefik to write for, such as "3.4"; default the newest known. */
  readonly release?: string
  /** Is told about each field that this release lacks; it is left out. */
  readonly onTooNew?: (found: TooNew) => void
}

interface Target {
  readonly release: string
  readonly onTooNew: (found: TooNew) => void
}

/**
 * Reads the `traefik.http`, `traefik.tcp` and `traefik.udp` labels into the shape of the dynamic configuration, with
 * the grammar of Traefik's own providers: names of fields without regard to case, `a,b` or `[0]` for lists, `server.x` for
 * the first server, an empty value or `true` for an element that may be empty. Only what a label names is in the result;
 * durations come out as Go text. A field that the release lacks is left out, and the rest read.
 * @throws LabelError for the first label (in sorted order) that Traefik would not take.
 */
export function parseLabels(labels: Labels, options: ParseOptions = {}): JsonObject {
  const root: Node = { name: 'traefik', label: 'traefik', children: new Map() }
  for (const label of [...labels.keys()].filter(isConfigLabel).sort())
    insert(root, label, labels.get(label) ?? '')
  const target = { release: options.release ?? NEWEST_RELEASE, onTooNew: options.onTooNew ?? (() => {}) }
  return fields(root, dynamicConfiguration, target)
}

function insert(root: Node, label: string, value: string): void {
  if (!label.isWellFormed() || !value.isWellFormed()) {
    throw new LabelError(label.toWellFormed(), 'must be valid Unicode text')
  }
  if (label.length > LABEL_CHARS_MAX) {
    throw new LabelError(`${label.slice(0, 80)}…`, `must not be longer than ${LABEL_CHARS_MAX} characters`)
  }
  let node = root
  for (const name of segments(label).slice(1)) {
    const key = name.toLowerCase()
    let child = node.children.get(key)
    if (child === undefined) {
      child = { name, label, children: new Map() }
      node.children.set(key, child)
    }
    node = child
  }
  node.value = value
}

/** "a.b[0].c" → a, b, [0], c. */
function segments(label: string): string[] {
  return label.split('.').flatMap((segment) => {
    if (segment === '') throw new LabelError(label, 'has an empty part: two dots in a row, or one at the end')
    if (segment.startsWith('[')) throw new LabelError(label, 'has a part that begins with "[": write name[0]')
    const open = segment.indexOf('[')
    if (open === -1 || !segment.endsWith(']')) return [segment]
    return [segment.slice(0, open), segment.slice(open)]
  })
}

function fields(node: Node, schema: StructSchema, target: Target): JsonObject {
  const result = newObject()
  for (const child of node.children.values()) {
    const { field, single } = lookUp(child, schema)
    if (isTooNew(field.schema, target.release)) {
      for (const label of labelsBelow(child)) target.onTooNew({ label, since: field.schema.since ?? '' })
      continue
    }
    if (result[field.name] !== undefined) {
      throw new LabelError(child.label, `gives ${field.name} twice: use either ${child.name} or the list`)
    }
    const value = single
      ? [structValue(child, (field.schema as ListSchema).of as StructSchema, target) ?? newObject()]
      : fill(child, field.schema, target)
    if (value !== undefined) result[field.name] = value
  }
  return result
}

function labelsBelow(node: Node): string[] {
  const below = [...node.children.values()].flatMap(labelsBelow)
  return node.value === undefined ? below : [node.label, ...below]
}

function lookUp(node: Node, schema: StructSchema) {
  const name = node.name.toLowerCase()
  const field = schema.fields.get(name)
  if (field !== undefined) return { field, single: false }
  for (const candidate of schema.fields.values()) {
    if (candidate.schema.kind === 'list' && candidate.schema.single === name) {
      return { field: candidate, single: true }
    }
  }
  const allowed = [...schema.fields.values()].map(({ name, schema }) =>
    schema.kind === 'list' && schema.single !== undefined ? schema.single : name,
  )
  throw new LabelError(
    node.label,
    `has no field ${JSON.stringify(node.name)}; allowed are ${allowed.join(', ')}`,
  )
}

function fill(node: Node, schema: Schema, target: Target): Json | undefined {
  switch (schema.kind) {
    case 'struct':
      return structValue(node, schema, target)
    case 'map': {
      needChildren(node)
      const result = newObject()
      for (const child of node.children.values()) {
        const value = fill(child, schema.of, target)
        if (value !== undefined) result[child.name] = value
      }
      return Object.keys(result).length === 0 ? undefined : result
    }
    case 'list':
      return listValue(node, schema, target)
    case 'any':
      return anyValue(node)
    default:
      return scalar(leaf(node), node.label, schema)
  }
}

function structValue(node: Node, schema: StructSchema, target: Target): JsonObject | undefined {
  if (schema.allowEmpty && node.value !== undefined) {
    const value = node.value.toLowerCase()
    if (value !== '' && value !== 'true' && value !== 'false') {
      throw new LabelError(node.label, `must be true or false, or have fields: ${names(schema)}`)
    }
    if (value === 'false') return undefined
  } else {
    needChildren(node, schema)
  }
  const result = fields(node, schema, target)
  return Object.keys(result).length === 0 && !schema.allowEmpty ? undefined : result
}

function listValue(node: Node, schema: ListSchema, target: Target): Json | undefined {
  if (node.children.size > 0) {
    const indexed = [...node.children.values()].map((child) => {
      const index = /^\[([0-9]{1,4})\]$/.exec(child.name)?.[1]
      if (index === undefined || node.value !== undefined) {
        throw new LabelError(child.label, `must be written as ${node.name}[0], ${node.name}[1] …`)
      }
      return { index: Number(index), child }
    })
    return indexed
      .sort((a, b) => a.index - b.index)
      .map(({ child }) => fill(child, schema.of, target))
      .filter((item) => item !== undefined)
  }
  const { of } = schema
  if (of.kind === 'struct' || of.kind === 'map' || of.kind === 'list' || of.kind === 'any') {
    throw new LabelError(node.label, `must be written as ${node.name}[0].<field>`)
  }
  const text = leaf(node)
  if (text.trim() === '') return undefined
  if (text.includes('║')) throw new LabelError(node.label, 'must not hold the character ║')
  return text.split(',').map((item) => scalar(item.trim(), node.label, of))
}

function anyValue(node: Node): Json {
  if (node.children.size === 0) return node.value ?? ''
  const children = [...node.children.values()]
  if (children.every((child) => /^\[[0-9]{1,4}\]$/.test(child.name))) {
    return children.sort((a, b) => Number(a.name.slice(1, -1)) - Number(b.name.slice(1, -1))).map(anyValue)
  }
  const result = newObject()
  for (const child of children) result[child.name] = anyValue(child)
  return result
}

function scalar(text: string, label: string, schema: ScalarSchema): Json {
  let value: Json | undefined = text
  if (schema.kind === 'bool') value = parseBool(text)
  if (schema.kind === 'int') value = parseInteger(text)
  if (schema.kind === 'duration') {
    const ms = parseDuration(text)
    value = ms === undefined ? undefined : formatGoDuration(ms)
  }
  if (value === undefined) throw new LabelError(label, `must be ${ALLOWED[schema.kind]}`)
  return value
}

function leaf(node: Node): string {
  if (node.children.size > 0)
    throw new LabelError(node.label, `is too long: ${node.name} takes a value, not fields`)
  return node.value ?? ''
}

function needChildren(node: Node, schema?: StructSchema): void {
  if (node.value === undefined && node.children.size > 0) return
  const wanted = schema === undefined ? 'a name and a field' : `a field: ${names(schema)}`
  throw new LabelError(node.label, `cannot stand alone, it needs ${wanted}`)
}

function names(schema: StructSchema): string {
  return [...schema.fields.values()].map(({ name }) => name).join(', ')
}
