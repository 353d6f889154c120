import { isAlias, isMap, isScalar, isSeq, LineCounter, type ParsedNode, parseDocument, visit } from 'yaml'
import { ConfigError, type ConfigProblem, quoteValue } from './errors.ts'
import { isSettingPath, keysOf, SETTING_PATHS, SETTINGS, type SettingPath } from './schema.ts'
import { suggest } from './suggest.ts'
import type { ListKind, MapKind, ScalarKind } from './values.ts'

/** A value and the place it came from, as the operator would name it. */
export interface FoundValue {
  readonly value: unknown
  readonly where: string
}

/** The settings of a file, and everything that is wrong in it. */
export interface FileSettings {
  readonly found: ReadonlyMap<SettingPath, FoundValue>
  readonly problems: readonly ConfigProblem[]
}

/**
 * Reads the settings out of the text of a YAML 1.2 file. Every bad key and value becomes a problem with its line.
 * @throws ConfigError `CFG_SYNTAX` when the text is not YAML; there is no point in judging half a file.
 */
export function readSettings(file: string, content: string): FileSettings {
  const lines = new LineCounter()
  // Duplicate keys are left to the walk below, which can say where the first one was.
  const document = parseDocument(content, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    stringKeys: true,
  })
  const broken: { readonly pos: readonly [number, number]; readonly message: string }[] = [
    ...document.errors,
    ...document.warnings,
  ]
  visit(document, {
    Alias(_, alias) {
      const at = alias.range?.[0] ?? 0
      if (alias.resolve(document) === undefined) {
        broken.push({ pos: [at, at], message: `there is no anchor &${alias.source} before it` })
      }
    },
  })
  if (broken.length > 0) {
    throw new ConfigError(
      'CFG_SYNTAX',
      broken.map((error) => {
        const position = lines.linePos(error.pos[0])
        return {
          where: `${file}:${Math.max(1, position.line)}`,
          key: null,
          what: `not valid YAML at column ${Math.max(1, position.col)}: ${error.message}`,
          allowed: null,
        }
      }),
    )
  }
  const found = new Map<SettingPath, FoundValue>()
  const problems: ConfigProblem[] = []
  const root = document.contents
  if (root !== null) walk('', root)
  return { found, problems }

  function where(node: { range?: readonly [number, number, number] | null } | null): string {
    return `${file}:${Math.max(1, lines.linePos(node?.range?.[0] ?? 0).line)}`
  }

  function problem(node: ParsedNode | null, key: string | null, what: string, allowed: string | null): void {
    problems.push({ where: where(node), key, what, allowed })
  }

  function walk(section: string, node: ParsedNode): void {
    const allowed = keysOf(section)
    if (isScalar(node) && node.value === null) return
    if (!isMap(node)) {
      const name = section === '' ? null : section
      problem(node, name, `${describe(node)} is not a mapping of settings`, allowed.join(', '))
      return
    }
    const firstLine = new Map<string, string>()
    for (const pair of node.items) {
      const keyNode = pair.key as ParsedNode
      const key = isScalar(keyNode) ? String(keyNode.value) : ''
      const fullPath = section === '' ? key : `${section}.${key}`
      const previous = firstLine.get(key)
      if (previous !== undefined) {
        problem(keyNode, fullPath, `given twice; the first one is on line ${previous}`, null)
        continue
      }
      firstLine.set(key, String(lines.linePos(keyNode.range?.[0] ?? 0).line))
      if (!allowed.includes(key)) {
        problem(keyNode, fullPath, unknownKey(key, allowed), allowed.join(', '))
        continue
      }
      enter(fullPath, keyNode, resolve(pair.value))
    }
  }

  function enter(fullPath: string, keyNode: ParsedNode, valueNode: ParsedNode | null): void {
    const isSection = keysOf(fullPath).length > 0
    const empty = valueNode === null || (isScalar(valueNode) && valueNode.value === null)
    if (isSettingPath(fullPath)) {
      // A provider is a switch and a section: `traefik: false`, or `traefik: { … }`, which switches it on.
      if (isSection && (empty || isMap(valueNode)))
        found.set(fullPath, { value: true, where: where(keyNode) })
      else take(fullPath, keyNode, valueNode)
    }
    if (isSection && !empty && (isMap(valueNode) || !isSettingPath(fullPath))) walk(fullPath, valueNode)
  }

  function take(settingPath: SettingPath, keyNode: ParsedNode, node: ParsedNode | null): void {
    const kind: ScalarKind<unknown> | ListKind<unknown> | MapKind<unknown> = SETTINGS[settingPath].kind
    const before = problems.length
    let value: unknown
    if (kind.shape === 'scalar') value = scalar(settingPath, kind, kind.allowed, keyNode, node)
    else if (node === null || (isScalar(node) && node.value === null)) return
    else if (kind.shape === 'list') value = sequence(settingPath, kind, node)
    else value = mapping(settingPath, kind, node)
    if (problems.length === before) found.set(settingPath, { value, where: where(keyNode) })
  }

  function scalar<T>(
    key: string,
    kind: ScalarKind<T>,
    allowed: string,
    keyNode: ParsedNode,
    node: ParsedNode | null,
  ): T | undefined {
    if (node === null || (isScalar(node) && node.value === null)) {
      problem(keyNode, key, 'has no value', allowed)
      return undefined
    }
    if (!isScalar(node)) {
      problem(node, key, `${describe(node)} is not a single value`, allowed)
      return undefined
    }
    try {
      return kind.fromYaml(node.value)
    } catch (error) {
      // The source shows 0x10 or 1e3 as it was written, not as YAML understood it.
      const shown = typeof node.value === 'string' ? quoteValue(node.value) : quoteSource(node.source)
      problem(node, key, `${shown} ${(error as Error).message}`, allowed)
      return undefined
    }
  }

  function sequence<T>(key: string, kind: ListKind<T>, node: ParsedNode): (T | undefined)[] {
    if (!isSeq(node)) {
      problem(node, key, `${describe(node)} is not a list`, kind.allowed)
      return []
    }
    return node.items.map((item) => scalar(key, kind.item, kind.item.allowed, item, resolve(item)))
  }

  function mapping<T>(key: string, kind: MapKind<T>, node: ParsedNode): Record<string, T | undefined> {
    if (!isMap(node)) {
      problem(node, key, `${describe(node)} is not a mapping`, kind.allowed)
      return {}
    }
    if (node.items.length > kind.entriesMax) {
      problem(node, key, `has ${node.items.length} entries`, kind.allowed)
      return {}
    }
    const entries = new Map<string, T | undefined>()
    for (const pair of node.items) {
      const keyNode = pair.key as ParsedNode
      const name = scalar(key, kind.key, kind.key.allowed, keyNode, keyNode)
      if (name === undefined) continue
      if (entries.has(name)) problem(keyNode, `${key}.${name}`, 'given twice', null)
      entries.set(
        name,
        scalar(`${key}.${name}`, kind.value, kind.value.allowed, keyNode, resolve(pair.value)),
      )
    }
    return Object.fromEntries(entries)
  }

  function resolve(node: ParsedNode | null): ParsedNode | null {
    return isAlias(node) ? ((node.resolve(document) as ParsedNode | undefined) ?? null) : node
  }
}

function unknownKey(key: string, allowed: readonly string[]): string {
  const near = suggest(key, allowed)
  if (near !== null) return `unknown key; did you mean "${near}"?`
  // A key that exists, one section up or down: `join:` at the top, `http.data_dir`.
  const elsewhere = SETTING_PATHS.find((settingPath) => settingPath.split('.').at(-1) === key)
  return elsewhere === undefined ? 'unknown key' : `unknown key; did you mean "${elsewhere}"?`
}

function describe(node: ParsedNode): string {
  if (isMap(node)) return 'a mapping'
  if (isSeq(node)) return 'a list'
  return isScalar(node) ? quoteValue(node.value) : 'an alias'
}

function quoteSource(source: string): string {
  return source.length > 80 ? `${source.slice(0, 76)}…` : source
}
