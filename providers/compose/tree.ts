import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  type Scalar,
  type YAMLMap,
} from 'yaml'
import { ComposeError } from './errors.ts'
import { interpolate, type Variables } from './interpolate.ts'

/** A value of a Compose file with the place it stands at, `file:line`. */
export type Tree = { readonly where: string; readonly tag?: '!reset' | '!override' } & (
  | { readonly kind: 'scalar'; readonly value: string | number | boolean | null }
  | { readonly kind: 'list'; readonly items: readonly Tree[] }
  | { readonly kind: 'map'; readonly entries: ReadonlyMap<string, Tree> }
)

/** A variable without a value, where it was read. */
export interface UnsetVariable {
  readonly name: string
  readonly where: string
}

const DEPTH_MAX = 64
/** A file of a few kilobytes can name the same list again and again; this many values are more than any stack has. */
const VALUES_MAX = 200_000

/**
 * Reads a YAML text with anchors and `<<`; variables in values (not in keys) are replaced.
 * @throws ComposeError naming file and line
 */
export function readTree(
  file: string,
  content: string,
  variables: Variables,
): { readonly tree: Tree; readonly unset: readonly UnsetVariable[] } {
  const lines = new LineCounter()
  const document = parseDocument(content, {
    lineCounter: lines,
    prettyErrors: false,
    logLevel: 'silent',
  })
  const [broken] = document.errors
  if (broken !== undefined) throw new ComposeError(`${at(broken.pos[0])}: not valid YAML: ${broken.message}`)
  const unset: UnsetVariable[] = []
  let values = 0
  if (document.contents === null)
    return { tree: { kind: 'map', where: `${file}:1`, entries: new Map() }, unset }
  return { tree: read(document.contents, 0), unset }

  function at(offset: number): string {
    return `${file}:${Math.max(1, lines.linePos(offset).line)}`
  }

  /** @param place where it is said to stand; default where it begins */
  function read(node: ParsedNode | null, depth: number, place?: string): Tree {
    const where = place ?? (node?.range ? at(node.range[0]) : `${file}:1`)
    values += 1
    if (depth > DEPTH_MAX || values > VALUES_MAX) throw new ComposeError(`${where}: nested too deep`)
    if (isAlias(node)) {
      const target = node.resolve(document)
      if (target === undefined)
        throw new ComposeError(`${where}: there is no anchor &${node.source} before it`)
      return read(target as ParsedNode, depth + 1, where)
    }
    const tag = tagOf(node)
    if (isMap(node))
      return { kind: 'map', where, ...tag, entries: readEntries(node as YAMLMap, depth, where) }
    if (isSeq(node)) {
      return {
        kind: 'list',
        where,
        ...tag,
        items: node.items.map((item) => read(item as ParsedNode, depth + 1)),
      }
    }
    return { kind: 'scalar', where, ...tag, value: isScalar(node) ? readScalar(node, where) : null }
  }

  function tagOf(node: ParsedNode | null): { readonly tag?: '!reset' | '!override' } {
    if (node?.tag === '!reset') return { tag: '!reset' }
    return node?.tag === '!override' ? { tag: '!override' } : {}
  }

  function readEntries(map: YAMLMap, depth: number, where: string): Map<string, Tree> {
    const entries = new Map<string, Tree>()
    const inherited = new Map<string, Tree>()
    for (const { key, value } of map.items) {
      const name = isScalar(key) ? String(key.value) : ''
      const range = isScalar(key) ? key.range : null
      const tree = read(value as ParsedNode | null, depth + 1, range ? at(range[0]) : where)
      if (name !== '<<') {
        entries.set(name, tree)
        continue
      }
      for (const source of tree.kind === 'list' ? tree.items : [tree]) {
        if (source.kind !== 'map') throw new ComposeError(`${tree.where}: << needs a mapping`)
        for (const [each, inner] of source.entries) if (!inherited.has(each)) inherited.set(each, inner)
      }
    }
    for (const [name, tree] of inherited) if (!entries.has(name)) entries.set(name, tree)
    return entries
  }

  function readScalar({ value }: Scalar, where: string): string | number | boolean | null {
    if (typeof value === 'string') {
      try {
        const { text, unset: missing } = interpolate(value, variables)
        unset.push(...missing.map((name) => ({ name, where })))
        return text
      } catch (error) {
        if (error instanceof ComposeError) throw new ComposeError(`${where}: ${error.message}`)
        throw error
      }
    }
    if (typeof value === 'number' || typeof value === 'boolean' || value === null) return value
    return String(value)
  }
}
