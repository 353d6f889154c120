import fc from 'fast-check'
import t from 'tap'
import { Type } from 'typebox'
import { compileFilter } from '../../../../agent/http/filter/compile.ts'
import { FilterError } from '../../../../agent/http/filter/errors.ts'
import { parseFilter } from '../../../../agent/http/filter/parse.ts'
import { shapeOf } from '../../../../agent/http/filter/shape.ts'

/** An expression twice: as text, and as what it is to mean, which the reference below works out its own way. */
type Meaning =
  | { readonly any: readonly Meaning[] }
  | { readonly every: readonly Meaning[] }
  | { readonly no: Meaning }
  | { readonly field: string; readonly key?: string; readonly relation: string; readonly value: string }

interface Sample {
  readonly Name?: string
  readonly Port?: number
  readonly Native?: boolean
  readonly Tags?: readonly string[]
  readonly Meta?: Readonly<Record<string, string>>
  readonly Checks?: readonly { readonly Status: string; readonly Tags: readonly string[] }[]
}

const SHAPE = shapeOf(
  Type.Object({
    Name: Type.String(),
    Port: Type.Integer(),
    Native: Type.Boolean(),
    Tags: Type.Array(Type.String()),
    Meta: Type.Record(Type.String(), Type.String()),
    Checks: Type.Array(Type.Object({ Status: Type.String(), Tags: Type.Array(Type.String()) })),
  }),
)
const WORDS = ['', 'a', 'b', 'ab', 'ba', 'a.b', 'a"b', 'a\\b', 'é', 'and', 'not', '1', 'true']
const KEYS = ['a', 'b', 'a.b', 'a-b', 'constructor']
const word = fc.constantFrom(...WORDS)

const sample: fc.Arbitrary<Sample> = fc.record(
  {
    Name: word,
    Port: fc.integer({ min: -2, max: 2 }),
    Native: fc.boolean(),
    Tags: fc.array(word, { maxLength: 3 }),
    Meta: fc.dictionary(fc.constantFrom(...KEYS), word, { maxKeys: 3 }),
    Checks: fc.array(fc.record({ Status: word, Tags: fc.array(word, { maxLength: 2 }) }), { maxLength: 3 }),
  },
  { requiredKeys: [] },
)

const TEXT = ['==', '!=', 'in', 'not in', 'is empty', 'is not empty', 'matches', 'not matches']
const LIST = ['in', 'not in', 'is empty', 'is not empty']
const comparison: fc.Arbitrary<Meaning> = fc.oneof(
  fc.record({ field: fc.constant('Name'), relation: fc.constantFrom(...TEXT), value: word }),
  fc.record({
    field: fc.constant('Meta'),
    key: fc.constantFrom(...KEYS),
    relation: fc.constantFrom(...TEXT),
    value: word,
  }),
  fc.record({ field: fc.constant('Checks.Status'), relation: fc.constantFrom(...TEXT), value: word }),
  fc.record({
    field: fc.constantFrom('Tags', 'Meta', 'Checks.Tags'),
    relation: fc.constantFrom(...LIST),
    value: word,
  }),
  fc.record({
    field: fc.constant('Port'),
    relation: fc.constantFrom('==', '!='),
    value: fc.constantFrom('-1', '0', '1', '2'),
  }),
  fc.record({
    field: fc.constant('Native'),
    relation: fc.constantFrom('==', '!='),
    value: fc.constantFrom('true', 'false', '1', '0'),
  }),
)
const { meaning } = fc.letrec<{ meaning: Meaning }>((tie) => ({
  meaning: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    comparison,
    fc.record({ any: fc.array(tie('meaning'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ every: fc.array(tie('meaning'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ no: tie('meaning') }),
  ),
}))

/** How a value is written: bare where it may be, quoted or in backticks, as the seed says. */
function written(value: string, seed: number): string {
  // `not in Tags` is a negation that went wrong.
  if (seed % 3 === 0 && value !== 'not' && /^[a-z][a-z.]*$/.test(value)) return value
  if (seed % 3 === 1) return `\`${value}\``
  return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}

function text(meaning: Meaning, seed: number): string {
  const gap = ' '.repeat(1 + (seed % 2))
  if ('any' in meaning)
    return `(${meaning.any.map((each, i) => text(each, seed + i)).join(`${gap}or${gap}`)})`
  if ('every' in meaning)
    return `(${meaning.every.map((each, i) => text(each, seed + i)).join(`${gap}and${gap}`)})`
  if ('no' in meaning) return `not${gap}${text(meaning.no, seed + 1)}`
  const { field, key, relation, value } = meaning
  const selector = key === undefined ? field : `${field}[${gap}"${key}"]`
  if (relation.startsWith('is ')) return `${selector}${gap}${relation}`
  if (relation.endsWith('in')) {
    if (seed % 2 === 0) return `${written(value, seed)}${gap}${relation}${gap}${selector}`
    return `${selector}${gap}${relation.replace('in', 'contains')}${gap}${written(value, seed)}`
  }
  return `${selector}${gap}${relation}${gap}${written(value, seed)}`
}

/** The meaning, worked out on the object without any compiling. */
function isSo(meaning: Meaning, object: Sample): boolean {
  if ('any' in meaning) return meaning.any.map((each) => isSo(each, object)).includes(true)
  if ('every' in meaning) return !meaning.every.map((each) => isSo(each, object)).includes(false)
  if ('no' in meaning) return !isSo(meaning.no, object)
  const { field, key, relation, value } = meaning
  if (field.startsWith('Checks.')) {
    const inner = field.slice('Checks.'.length) as 'Status' | 'Tags'
    return (object.Checks ?? []).filter((check) => compare(check[inner], relation, value)).length > 0
  }
  if (key !== undefined) {
    const found = new Map(Object.entries(object.Meta ?? {})).get(key)
    if (found === undefined) return ['!=', 'not in', 'is empty', 'not matches'].includes(relation)
    return compare(found, relation, value)
  }
  const zeros = { Name: '', Port: 0, Native: false, Tags: [], Meta: {} }
  const name = field as keyof typeof zeros
  return compare(object[name] ?? zeros[name], relation, value)
}

function compare(found: unknown, relation: string, value: string): boolean {
  if (relation === '!=') return !compare(found, '==', value)
  if (relation === 'is not empty') return !compare(found, 'is empty', value)
  if (relation.startsWith('not ')) return !compare(found, relation.slice(4), value)
  if (relation === '==') {
    if (typeof found === 'boolean') return found === (value === 'true' || value === '1')
    return typeof found === 'number' ? found === Number(value) : found === value
  }
  if (relation === 'matches') return new RegExp(value, 'u').test(String(found))
  const held = typeof found === 'string' ? found : Array.isArray(found) ? found : Object.keys(found as object)
  if (relation === 'is empty') return held.length === 0
  return held.indexOf(value) >= 0
}

/** A regular expression that two engines read the same way. */
function withPlainRegexes(meaning: Meaning): Meaning {
  if ('any' in meaning) return { any: meaning.any.map(withPlainRegexes) }
  if ('every' in meaning) return { every: meaning.every.map(withPlainRegexes) }
  if ('no' in meaning) return { no: withPlainRegexes(meaning.no) }
  if (!meaning.relation.endsWith('matches')) return meaning
  return { ...meaning, value: meaning.value.replaceAll('\\', '.') }
}

t.test('a filter means what it says', async () => {
  fc.assert(
    fc.property(meaning.map(withPlainRegexes), fc.nat(11), sample, (meaning, seed, object) => {
      const filter = text(meaning, seed)
      return compileFilter(parseFilter(filter), SHAPE)(object) === isSo(meaning, object)
    }),
    { numRuns: 3_000 },
  )
})

t.test('"and" binds closer than "or", and "not" closer than both', async () => {
  const term = fc.boolean()
  fc.assert(
    fc.property(
      fc.array(fc.tuple(term, fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 8 }),
      (row) => {
        const words = row.map(
          ([isTrue, isNegated, isOr], i) =>
            `${i === 0 ? '' : isOr ? ' or ' : ' and '}${isNegated ? 'not ' : ''}Name == ${isTrue ? 'a' : 'b'}`,
        )
        const groups: boolean[][] = []
        for (const [i, [isTrue, isNegated, isOr]] of row.entries()) {
          if (i === 0 || isOr) groups.push([])
          groups.at(-1)?.push(isTrue !== isNegated)
        }
        const expected = groups.some((group) => group.every(Boolean))
        return compileFilter(parseFilter(words.join('')), SHAPE)({ Name: 'a' }) === expected
      },
    ),
  )
})

t.test('junk is refused as a filter, or is one', async () => {
  const piece = fc.oneof(
    fc.constantFrom(
      '(',
      ')',
      '{',
      '}',
      '[',
      ']',
      '"',
      '`',
      '.',
      ',',
      '==',
      '!=',
      '=',
      '!',
      '\\',
      '/',
      '-',
      '_',
    ),
    fc.constantFrom(
      'not',
      'and',
      'or',
      'in',
      'is',
      'empty',
      'nil',
      'contains',
      'matches',
      'any',
      'all',
      'as',
    ),
    fc.constantFrom('Name', 'Meta', 'Tags', 'Checks', 'Checks.Status', 'Meta["a"]', '"/Meta/a"', '7', '-1.5'),
    fc.constantFrom('\u0000', '\ud800', '💥', '\n', '\u2028'),
    fc.string({ maxLength: 4 }),
  )
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 30 }),
      fc.constantFrom('', ' '),
      sample,
      (pieces, gap, object) => {
        try {
          return typeof compileFilter(parseFilter(pieces.join(gap)), SHAPE)(object) === 'boolean'
        } catch (error) {
          return error instanceof FilterError && !error.message.includes('undefined')
        }
      },
    ),
    { numRuns: 5_000 },
  )
})
