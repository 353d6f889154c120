// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax of Compose looks like it
import fc from 'fast-check'
import t from 'tap'
import { ComposeError } from '../../../providers/compose/errors.ts'
import { interpolate } from '../../../providers/compose/interpolate.ts'

const values: Record<string, string> = { HOST: 'a.example', EMPTY: '', A1_b: 'x' }
const of = (text: string) => interpolate(text, (name) => values[name])

t.test('every form Compose knows', async (t) => {
  const cases: readonly (readonly [source: string, text: string, ...unset: string[]])[] = [
    ['', ''],
    ['plain', 'plain'],
    ['$HOST/x', 'a.example/x'],
    ['$A1_b-c', 'x-c'],
    ['${HOST}x', 'a.examplex'],
    ['$$HOST', '$HOST'],
    ['$${HOST}', '${HOST}'],
    ['$$$HOST', '$a.example'],
    ['$MISSING!', '!', 'MISSING'],
    ['${MISSING}', '', 'MISSING'],
    ['${MISSING:-d}', 'd'],
    ['${EMPTY:-d}', 'd'],
    ['${EMPTY-d}', ''],
    ['${MISSING-d}', 'd'],
    ['${HOST:-$MISSING}', 'a.example'],
    ['${MISSING:-${HOST}}', 'a.example'],
    ['${MISSING:-${ALSO:-z}}y', 'zy'],
    ['${MISSING:-${ALSO}}', '', 'ALSO'],
    ['${HOST:+set}', 'set'],
    ['${EMPTY:+set}', ''],
    ['${EMPTY+set}', 'set'],
    ['${MISSING+set}', ''],
    ['${HOST:?must be set}', 'a.example'],
    ['${EMPTY?must be set}', ''],
    ['Host(`$HOST`)', 'Host(`a.example`)'],
    ['a}b', 'a}b'],
  ]
  for (const [source, text, ...unset] of cases) t.same(of(source), { text, unset }, source)
})

t.test('what is wrong is said', async (t) => {
  const wrong = (source: string, message: RegExp) => {
    t.throws(() => of(source), { code: 'CMP_UNREADABLE', message })
  }
  wrong('${MISSING:?say where}', /^the variable MISSING is required and not set: say where$/)
  wrong('${EMPTY:?}', /^the variable EMPTY is required and not set$/)
  wrong('5 $', /write "\$\$" for a dollar sign/)
  wrong('$1', /write "\$\$" for a dollar sign/)
  wrong('${}', /not followed by the name/)
  wrong('${HOST', /"\$\{HOST" has no closing "\}"/)
  wrong('${HOST!x}', /has no closing/)
  wrong('${MISSING:-'.repeat(40), /nested too deep/)
})

t.test('any text is read or refused, and text without a dollar sign stays as it is', async () => {
  const pieces = fc.array(
    fc.oneof(fc.constantFrom('$', '{', '}', ':-', '-', '?', '+', 'HOST', 'MISSING', '$$'), fc.string()),
  )
  fc.assert(
    fc.property(pieces, (parts) => {
      const source = parts.join('')
      try {
        const { text } = of(source)
        return source.includes('$') || text === source
      } catch (error) {
        return error instanceof ComposeError
      }
    }),
  )
})
