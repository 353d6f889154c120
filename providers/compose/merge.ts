import type { Tree } from './tree.ts'

/** Lists of a service that a later file replaces instead of adding to. */
const REPLACED = new Set(['command', 'entrypoint', 'test'])
/** Lists whose entries are also written as `name=value`: they merge by name. */
const NAMED = new Set(['labels', 'environment', 'annotations', 'sysctls', 'extra_hosts', 'args'])

/**
 * What two files say together: mappings merge, lists add up without repeating themselves, everything else is replaced.
 * `!override` replaces, `!reset` takes away. (docs.docker.com, Compose file reference, "Merge")
 */
export function mergeTrees(base: Tree, over: Tree, key = ''): Tree {
  if (over.tag === '!override') return over
  if (NAMED.has(key)) return mergeEntries(named(base), named(over))
  if (REPLACED.has(key)) return over
  if (base.kind === 'map' && over.kind === 'map') return mergeEntries(base, over)
  if (base.kind === 'list' && over.kind === 'list') {
    const known = new Set(base.items.map(textOf))
    return { ...over, items: [...base.items, ...over.items.filter((item) => !known.has(textOf(item)))] }
  }
  return over
}

function mergeEntries(base: Tree, over: Tree): Tree {
  if (base.kind !== 'map' || over.kind !== 'map') return over
  const entries = new Map(base.entries)
  for (const [name, tree] of over.entries) {
    const before = entries.get(name)
    if (tree.tag === '!reset') entries.delete(name)
    else entries.set(name, before === undefined ? tree : mergeTrees(before, tree, name))
  }
  return { kind: 'map', where: base.where, entries }
}

/** A list of `name=value` as the mapping it stands for. */
export function named(tree: Tree): Tree {
  if (tree.kind !== 'list') return tree
  const entries = new Map<string, Tree>()
  for (const item of tree.items) {
    const text = item.kind === 'scalar' ? String(item.value ?? '') : ''
    const at = text.indexOf('=')
    const name = at < 0 ? text : text.slice(0, at)
    entries.set(name, { kind: 'scalar', where: item.where, value: at < 0 ? '' : text.slice(at + 1) })
  }
  return { kind: 'map', where: tree.where, entries }
}

function textOf(tree: Tree): string {
  return JSON.stringify(plain(tree))
}

/** A tree without its places. */
export function plain(tree: Tree): unknown {
  if (tree.kind === 'scalar') return tree.value
  if (tree.kind === 'list') return tree.items.map(plain)
  return Object.fromEntries([...tree.entries].map(([name, inner]) => [name, plain(inner)]))
}
