import { dirname, isAbsolute, join, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { ComposeError } from './errors.ts'
import type { Variables } from './interpolate.ts'
import { mergeTrees, named } from './merge.ts'
import { readTree, type Tree, type UnsetVariable } from './tree.ts'

/** Where files and variables come from. */
export interface ComposeReader {
  /** The text of a file; null if it does not exist. Rejects for any other reason. */
  read(path: string): Promise<string | null>
  /** The environment; it wins over `.env`. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/** The files of one stack as one. */
export interface ComposeProject {
  /** `name:` of the files, else the folder of the first one in the form Compose gives it. */
  readonly name: string
  /** By name, after merges and `extends`; in the order of the files. */
  readonly services: ReadonlyMap<string, Tree & { readonly kind: 'map' }>
  /** What the engine calls a network, by its name in the files. */
  readonly networks: ReadonlyMap<string, string>
  readonly unset: readonly UnsetVariable[]
}

const DEPTH_MAX = 16

/**
 * Reads Compose files, each adding to the ones before, with `include` and `extends`; variables come from the environment, then
 * from `.env` beside the first file.
 * @throws ComposeError naming file and line
 */
export async function loadProject(files: readonly string[], reader: ComposeReader): Promise<ComposeProject> {
  const [first = ''] = files
  const dotEnv = await reader.read(join(dirname(first), '.env'))
  const fromFile = dotEnv === null ? {} : parseEnv(dotEnv)
  const variables: Variables = (name) => reader.env[name] ?? fromFile[name]
  const loader = new Loader(reader, variables)
  let root: Tree | null = null
  for (const file of files) {
    const tree = await loader.file(file, [])
    root = root === null ? tree : mergeTrees(root, tree)
  }
  const services = new Map<string, Tree & { readonly kind: 'map' }>()
  for (const [name, tree] of entriesOf(root, 'services')) {
    if (tree.kind !== 'map') throw new ComposeError(`${tree.where}: services.${name} is no mapping`)
    services.set(name, tree)
  }
  if (services.size === 0) throw new ComposeError(`${first}: there are no services in it`)
  const named = root?.kind === 'map' ? root.entries.get('name') : undefined
  const given = reader.env.COMPOSE_PROJECT_NAME ?? (named?.kind === 'scalar' ? String(named.value ?? '') : '')
  const folder = resolve(dirname(first)).split('/').at(-1) ?? ''
  const name = projectName(given === '' ? folder : given)
  const networks = new Map(
    [...entriesOf(root, 'networks')].map(([key, tree]) => [key, networkName(name, key, tree)]),
  )
  return { name, services, networks, unset: loader.unset }
}

function networkName(project: string, key: string, tree: Tree): string {
  const field = (name: string) => scalarText(tree.kind === 'map' ? tree.entries.get(name) : undefined)
  if (field('name') !== '') return field('name')
  return field('external') === 'true' ? key : `${project}_${key}`
}

/** The form Compose gives a project name: lower-case letters, digits, `-`, `_`; a letter or a digit first. */
function projectName(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9_-]/g, '')
    .replace(/^[_-]+/, '')
}

class Loader {
  readonly unset: UnsetVariable[] = []
  readonly #reader: ComposeReader
  readonly #variables: Variables
  readonly #trees = new Map<string, Tree>()

  constructor(reader: ComposeReader, variables: Variables) {
    this.#reader = reader
    this.#variables = variables
  }

  /** A file with what it includes; its services with what they extend. */
  async file(path: string, chain: readonly string[]): Promise<Tree> {
    const own = await this.#tree(path, chain)
    if (own.kind !== 'map') throw new ComposeError(`${own.where}: a Compose file is a mapping`)
    let all: Tree = { kind: 'map', where: own.where, entries: new Map() }
    for (const each of includesOf(own)) {
      const target = isAbsolute(each.path) ? each.path : join(dirname(path), each.path)
      all = mergeTrees(all, await this.file(target, [...chain, path]))
    }
    const services = new Map<string, Tree>()
    for (const [name] of entriesOf(own, 'services'))
      services.set(name, await this.#service(path, name, [...chain, path]))
    const entries = new Map(own.entries)
    const where = own.entries.get('services')?.where ?? own.where
    if (services.size > 0) entries.set('services', { kind: 'map', where, entries: services })
    return mergeTrees(all, { kind: 'map', where: own.where, entries })
  }

  async #service(path: string, name: string, chain: readonly string[]): Promise<Tree> {
    const found = entriesOf(await this.#tree(path, chain), 'services').get(name)
    if (found === undefined) throw new ComposeError(`${path}: there is no service ${name} in it`)
    if (found.kind !== 'map') return found
    const extending = found.entries.get('extends')
    if (extending === undefined) return found
    if (chain.length > DEPTH_MAX) {
      throw new ComposeError(`${extending.where}: services extend each other in a circle`)
    }
    const inner = extending.kind === 'map' ? extending.entries : new Map([['service', extending]])
    const base = scalarText(inner.get('service'))
    const file = scalarText(inner.get('file'))
    if (base === '') throw new ComposeError(`${extending.where}: extends needs the name of a service`)
    const from = file === '' ? path : isAbsolute(file) ? file : join(dirname(path), file)
    const entries = new Map(found.entries)
    entries.delete('extends')
    return mergeTrees(await this.#service(from, base, [...chain, path]), { ...found, entries })
  }

  async #tree(path: string, chain: readonly string[]): Promise<Tree> {
    if (chain.length > DEPTH_MAX) {
      throw new ComposeError(`${path}: files include each other in a circle`)
    }
    const known = this.#trees.get(path)
    if (known !== undefined) return known
    const text = await this.#reader.read(path)
    if (text === null) {
      const by = chain.at(-1)
      throw new ComposeError(
        `there is no file ${path}${by === undefined || by === path ? '' : `, which ${by} names`}`,
      )
    }
    const { tree, unset } = readTree(path, text, this.#variables)
    this.unset.push(...unset)
    this.#trees.set(path, tree)
    return tree
  }
}

function includesOf(tree: Tree): readonly { readonly path: string }[] {
  const include = tree.kind === 'map' ? tree.entries.get('include') : undefined
  if (include?.kind !== 'list') return []
  return include.items.flatMap((item) => {
    if (item.kind === 'scalar') return [{ path: String(item.value ?? '') }]
    const path = item.kind === 'map' ? item.entries.get('path') : undefined
    if (path?.kind === 'list') return path.items.map((each) => ({ path: scalarText(each) }))
    return [{ path: scalarText(path) }]
  })
}

/** The entries of one key of a mapping; none where it is missing or empty. @throws ComposeError where it is something else */
export function entriesOf(tree: Tree | null | undefined, key: string): ReadonlyMap<string, Tree> {
  const found = tree?.kind === 'map' ? tree.entries.get(key) : undefined
  if (found === undefined || (found.kind === 'scalar' && found.value === null)) return new Map()
  const list = named(found)
  if (list.kind !== 'map') throw new ComposeError(`${found.where}: ${key} is no mapping`)
  return list.entries
}

/** The text of a scalar; "" for anything else. */
export function scalarText(tree: Tree | undefined): string {
  return tree?.kind === 'scalar' && tree.value !== null ? String(tree.value) : ''
}
