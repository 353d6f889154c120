import { FilterError } from './errors.ts'
import type { Expression } from './expression.ts'
import { regexTest } from './regex.ts'
import type { Shape } from './shape.ts'

type Match = Extract<Expression, { readonly kind: 'match' }>

/** Consul's names of the operators, as its errors have them. */
const NAMES: Readonly<Record<Match['operator'], string>> = {
  equal: 'Equal',
  in: 'In',
  empty: 'Is Empty',
  matches: 'Matches',
  nil: 'Is Nil',
}
const TRUE: ReadonlySet<string> = new Set(['1', 't', 'T', 'true', 'TRUE', 'True'])
const FALSE: ReadonlySet<string> = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False'])

/**
 * The question a comparison asks of the value its selector leads to; undefined is the zero value.
 * @throws FilterError `FLT_OPERATOR` if such a value cannot be asked that, `FLT_VALUE`, `FLT_REGEX`
 */
export function leafTest(shape: Shape, match: Match): (value: unknown) => boolean {
  const ask = positiveTest(shape, match)
  if (ask === null) {
    const { operator, isNegated, path } = match
    const [first, ...rest] = NAMES[operator].split(' ')
    const name = !isNegated ? NAMES[operator] : first === 'Is' ? `Is Not ${rest.join(' ')}` : `Not ${first}`
    throw new FilterError('FLT_OPERATOR', `Invalid match operator "${name}" for selector "${path.join('.')}"`)
  }
  return match.isNegated ? (value) => !ask(value) : ask
}

function positiveTest(
  shape: Shape,
  { operator, value: wanted, path }: Match,
): ((value: unknown) => boolean) | null {
  const selector = path.join('.')
  switch (shape.kind) {
    case 'string':
      if (operator === 'equal') return (value) => (value ?? '') === wanted
      if (operator === 'in') return (value) => String(value ?? '').includes(wanted)
      if (operator === 'empty') return (value) => (value ?? '') === ''
      if (operator === 'matches') {
        const test = regexTest(wanted)
        return (value) => test(String(value ?? ''))
      }
      return null
    case 'number': {
      if (operator !== 'equal') return null
      const number = numberOf(wanted, selector)
      return (value) => (value ?? 0) === number
    }
    case 'boolean': {
      if (operator !== 'equal') return null
      const boolean = booleanOf(wanted, selector)
      return (value) => (value ?? false) === boolean
    }
    case 'list':
      if (operator === 'empty') return (value) => !Array.isArray(value) || value.length === 0
      if (operator === 'nil') return isNil
      if (operator === 'in') return elementTest(shape.element, wanted, selector)
      return null
    case 'map':
      if (operator === 'empty') return (value) => Object.keys(value ?? {}).length === 0
      if (operator === 'nil') return isNil
      if (operator === 'in') return (value) => Object.hasOwn(value ?? {}, wanted)
      return null
    case 'struct':
      return operator === 'nil' ? isNil : null
  }
}

function isNil(value: unknown): boolean {
  return value === undefined || value === null
}

function elementTest(element: Shape, wanted: string, selector: string): ((value: unknown) => boolean) | null {
  if (element.kind !== 'string' && element.kind !== 'number' && element.kind !== 'boolean') return null
  const sought =
    element.kind === 'string'
      ? wanted
      : element.kind === 'number'
        ? numberOf(wanted, selector)
        : booleanOf(wanted, selector)
  return (value) => Array.isArray(value) && value.includes(sought)
}

function numberOf(text: string, selector: string): number {
  if (!/^[+-]?(?:\d+(?:\.\d+)?|0x[0-9a-f]+)$/i.test(text)) throw unfit(text, selector, 'a number')
  return Number(text)
}

function booleanOf(text: string, selector: string): boolean {
  if (!TRUE.has(text) && !FALSE.has(text)) throw unfit(text, selector, 'true or false')
  return TRUE.has(text)
}

function unfit(text: string, selector: string, wanted: string): FilterError {
  return new FilterError('FLT_VALUE', `value "${text}" for selector "${selector}" is not ${wanted}`)
}
