import { FilterError } from './errors.ts'
import { type Expression, FILTER_LIMITS, type Path } from './expression.ts'
import { leafTest } from './leaf.ts'
import type { Shape } from './shape.ts'

/** Asks something of an object; `bound` are the values of the names that `any` and `all` gave. */
type Test = (root: unknown, bound: readonly unknown[]) => boolean

/** What a selector begins with: the object itself, or a bound name. */
interface Scope {
  readonly root: Shape
  readonly names: ReadonlyMap<string, { readonly shape: Shape; readonly slot: number }>
  readonly work: Work
  /** Whether this is within an `any` or `all`. */
  readonly isNested: boolean
}

/** What the question has cost so far, for the object it is asked of. */
interface Work {
  nestedElements: number
}

type Match = Extract<Expression, { readonly kind: 'match' }>
type Collection = Extract<Expression, { readonly kind: 'any' | 'all' }>

/**
 * Makes one question of an expression, for objects of this shape.
 * @throws FilterError `FLT_SELECTOR` for what the objects do not have, `FLT_OPERATOR`, `FLT_VALUE`, `FLT_REGEX`. The question itself
 * throws `FLT_WORK` when it is asked of an object whose collections within collections have too many elements.
 */
export function compileFilter(expression: Expression, shape: Shape): (object: unknown) => boolean {
  const work = { nestedElements: 0 }
  const test = compile(expression, { root: shape, names: new Map(), work, isNested: false })
  return (object) => {
    work.nestedElements = 0
    return test(object, [])
  }
}

function compile(expression: Expression, scope: Scope): Test {
  switch (expression.kind) {
    case 'or':
    case 'and': {
      const terms = expression.terms.map((term) => compile(term, scope))
      if (expression.kind === 'or') return (root, bound) => terms.some((term) => term(root, bound))
      return (root, bound) => terms.every((term) => term(root, bound))
    }
    case 'not': {
      const term = compile(expression.term, scope)
      return (root, bound) => !term(root, bound)
    }
    case 'match':
      return compileMatch(expression, scope)
    case 'any':
    case 'all':
      return compileCollection(expression, scope)
  }
}

function compileMatch(match: Match, scope: Scope): Test {
  const { shape, path, start } = resolve(match.path, scope)
  const ask = walk(shape, path, match)
  return (root, bound) => ask(start(root, bound))
}

/** Follows a path to its value. A list on the way stands for any of its elements. */
function walk(shape: Shape, path: Path, match: Match): (value: unknown) => boolean {
  const [name, ...rest] = path
  if (name === undefined) return leafTest(shape, match)
  switch (shape.kind) {
    case 'struct': {
      const field = shape.fields.get(name)
      if (field === undefined) throw unknownSelector(match.path)
      const ask = walk(field, rest, match)
      return (value) => ask(property(value, name))
    }
    case 'map': {
      const ask = walk(shape.element, rest, match)
      // What is not there equals nothing, is in nothing and is empty.
      const missing = (match.operator === 'empty' || match.operator === 'nil') !== match.isNegated
      return (value) => {
        const found = property(value, name)
        return found === undefined ? missing : ask(found)
      }
    }
    case 'list': {
      if (shape.element.kind !== 'struct' && shape.element.kind !== 'map') throw unknownSelector(match.path)
      const ask = walk(shape.element, path, match)
      return (value) => Array.isArray(value) && value.some(ask)
    }
    default:
      throw unknownSelector(match.path)
  }
}

function compileCollection(collection: Collection, scope: Scope): Test {
  const { shape, path, start } = resolve(collection.path, scope)
  const { shape: of, value: valueAt } = straight(shape, path, collection.path)
  if (of.kind !== 'list' && of.kind !== 'map') {
    throw new FilterError(
      'FLT_OPERATOR',
      `"${collection.kind}" wants a list or a map, which "${collection.path.join('.')}" is not`,
    )
  }
  const key: Shape = { kind: of.kind === 'list' ? 'number' : 'string' }
  const [first, second] = collection.names
  const names = new Map(scope.names)
  const slot = [...names.values()].reduce((next, name) => Math.max(next, name.slot + 1), 0)
  const isElementFirst = second === undefined && of.kind === 'list'
  if (first !== '_') names.set(first, { shape: isElementFirst ? of.element : key, slot })
  if (second !== undefined && second !== '_') names.set(second, { shape: of.element, slot: slot + 1 })
  const { root, work, isNested } = scope
  const term = compile(collection.term, { root, names, work, isNested: true })
  return (root, bound) => {
    const value = valueAt(start(root, bound))
    const entries: readonly (readonly [unknown, unknown])[] = Array.isArray(value)
      ? value.map((element, i) => [i, element])
      : Object.entries(value ?? {})
    const ask = ([at, element]: readonly [unknown, unknown]) => {
      if (isNested && ++work.nestedElements > FILTER_LIMITS.nestedElements) throw tooMuchWork()
      const values = bound.slice(0, slot)
      values[slot] = isElementFirst ? element : at
      values[slot + 1] = element
      return term(root, values)
    }
    return collection.kind === 'any' ? entries.some(ask) : entries.every(ask)
  }
}

/** A path that must not lead through a list. */
function straight(
  shape: Shape,
  path: Path,
  whole: Path,
): { readonly shape: Shape; readonly value: (object: unknown) => unknown } {
  let of = shape
  for (const name of path) {
    const next = of.kind === 'struct' ? of.fields.get(name) : of.kind === 'map' ? of.element : undefined
    if (next === undefined) throw unknownSelector(whole)
    of = next
  }
  return { shape: of, value: (object) => path.reduce(property, object) }
}

function resolve(path: Path, { root, names }: Scope) {
  const [first = '', ...rest] = path
  const bound = names.get(first)
  if (bound === undefined) return { shape: root, path, start: (object: unknown) => object }
  return {
    shape: bound.shape,
    path: rest,
    start: (_: unknown, values: readonly unknown[]) => values[bound.slot],
  }
}

function property(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  return (value as Readonly<Record<string, unknown>>)[name] ?? undefined
}

function tooMuchWork(): FilterError {
  const { nestedElements } = FILTER_LIMITS
  return new FilterError(
    'FLT_WORK',
    `it looks at more than ${nestedElements} elements of collections within collections`,
  )
}

function unknownSelector(path: Path): FilterError {
  return new FilterError('FLT_SELECTOR', `Selector "${path.join('.')}" is not valid`)
}
