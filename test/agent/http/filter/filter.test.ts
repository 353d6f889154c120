import t from 'tap'
import { Type } from 'typebox'
import { compileFilter } from '../../../../agent/http/filter/compile.ts'
import type { FilterError } from '../../../../agent/http/filter/errors.ts'
import { FILTER_LIMITS } from '../../../../agent/http/filter/expression.ts'
import { parseFilter } from '../../../../agent/http/filter/parse.ts'
import { shapeOf } from '../../../../agent/http/filter/shape.ts'

const SHAPE = shapeOf(
  Type.Object({
    Name: Type.String(),
    Status: Type.Union([Type.Literal('passing'), Type.Literal('critical')]),
    Port: Type.Integer(),
    Native: Type.Boolean(),
    Tags: Type.Array(Type.String()),
    Ports: Type.Array(Type.Integer()),
    Meta: Type.Record(Type.String(), Type.String()),
    Addresses: Type.Record(Type.String(), Type.Object({ Port: Type.Integer() })),
    Checks: Type.Array(Type.Object({ Status: Type.String(), Tags: Type.Array(Type.String()) })),
    Owner: Type.Union([Type.Null(), Type.Object({ Name: Type.String() })]),
    Kind: Type.String(),
  }),
)
const OBJECT = {
  Name: 'web',
  Status: 'passing',
  Port: 80,
  Native: true,
  Tags: ['prod', 'v1'],
  Ports: [80, 443],
  Meta: { env: 'qa', 'a-b': 'x', 'traefik.enable': 'true', 'with/slash': 'y', constructor: 'own' },
  Addresses: { lan: { Port: 8080 } },
  Checks: [
    { Status: 'passing', Tags: ['a'] },
    { Status: 'warning', Tags: [] },
  ],
  Owner: { Name: 'me' },
}

function ask(text: string): boolean {
  return compileFilter(parseFilter(text), SHAPE)(OBJECT)
}

function failure(text: string): string {
  try {
    return `no failure but ${ask(text)}`
  } catch (error) {
    const { name, code, message } = error as FilterError
    if (name !== 'FilterError') throw error
    const prefix = 'Failed to create boolean expression evaluator: '
    t.ok(message.startsWith(prefix), message)
    return `${code} ${message.slice(prefix.length)}`
  }
}

t.test('what is so and what is not', async (t) => {
  const so = [
    'Name == web',
    'Name == "web"',
    'Name == `web`',
    'Name != api',
    'Name==web',
    '  Name\n==\tweb  ',
    'Name matches "^w.b$"',
    'Name matches e',
    'Name not matches "^b"',
    'eb in Name',
    'x not in Name',
    'Name contains we',
    'Name not contains xx',
    'Kind == ""',
    'Kind is empty',
    'Name is not empty',
    'Status == passing',
    'Port == 80',
    'Port == "80"',
    'Port == "0x50"',
    'Port != 8080',
    'Native == true',
    'Native == 1',
    'Native != F',
    'v1 in Tags',
    '"v1" in Tags',
    'Tags contains prod',
    'v2 not in Tags',
    'Tags not contains v2',
    'Tags is not empty',
    '443 in Ports',
    'Meta.env == qa',
    'Meta["env"] == qa',
    'Meta["a-b"] == x',
    'Meta[ `traefik.enable` ] == "true"',
    '"/Meta/a-b" == x',
    '"/Meta/with~1slash" == y',
    'env in Meta',
    'Meta contains env',
    'Meta is not empty',
    'Meta.none is empty',
    'Meta.none != x',
    'x not in Meta.none',
    'Meta.none not matches "."',
    'Meta.env matches "^q"',
    'Addresses.lan.Port == 8080',
    'Addresses.none.Port != 8080',
    'Checks.Status == warning',
    'Checks.Status != passing',
    'Checks.Status == passing',
    'a in Checks.Tags',
    'Checks.Tags is empty',
    'Checks is not empty',
    'Owner.Name == me',
    'not Name == api',
    'not not Name == web',
    'not (Name == api and Port == 80)',
    'Name == api or Name == web',
    'Name == api and Name == api or Name == web',
    'Name == web or Name == api and Name == api',
    'not Name == api and Port == 80',
    '(Name == api or Name == web) and (Port == 80)',
    'not (not (Name == web))',
    'Tags is not nil',
    'Owner is not nil',
    'Addresses.none.Port != 1',
    'any Checks as c { c.Status == warning }',
    'any Checks as c { c.Status == passing and a in c.Tags }',
    'all Tags as tag { tag matches "^[pv]" }',
    'all Tags as i, tag { tag != "" and i != 2 }',
    'any Tags as (_, tag) { tag == v1 }',
    'any Meta as k { k == env }',
    'any Meta as k, v { k == env and v == qa }',
    'any Checks as c { any c.Tags as tag { tag == a and c.Status == passing } }',
    'any Addresses as k, v { v.Port == 8080 and Name == web }',
  ]
  for (const text of so) t.equal(ask(text), true, text)

  const not = [
    'Name == Web',
    'Port == 81',
    'Meta.none == x',
    'x in Meta.none',
    'Meta.none matches "."',
    'Meta.env is empty',
    'Checks.Status == critical',
    'not Checks.Status == warning',
    'toString in Meta',
    'Meta.toString != "" and Meta.toString == x',
    'constructor not in Meta',
    'any Checks as c { c.Status == warning and a in c.Tags }',
    'all Checks as c { c.Status == passing }',
    'v in Tags',
    'Name == api and (Name == web or Port == 80)',
  ]
  for (const text of not) t.equal(ask(text), false, text)
})

t.test('escapes and quotes', async (t) => {
  const matches = (text: string, name: string) => compileFilter(parseFilter(text), SHAPE)({ Name: name })
  t.ok(matches(String.raw`Name == "a\"b\\\t\u00e9\x41\101"`, 'a"b\\\té' + 'AA'))
  t.ok(matches('Name == `a\\d"`', 'a\\d"'))
  t.ok(matches('Name matches `^\\d+$`', '123'))
  t.ok(matches('Name == "/a/b"', '/a/b'), 'a value that looks like a pointer is itself')
  t.ok(matches('Name == us.east/1', 'us.east/1'))
  t.ok(matches('Name == -2.5', '-2.5'))
})

t.test('what is wrong is told with its place', async (t) => {
  const cases: [text: string, expected: string | RegExp][] = [
    ['', 'FLT_SYNTAX 1:1 (0): expected a selector or a value'],
    ['Name', /^FLT_SYNTAX 1:5 \(4\): expected an operator: ==, /],
    ['Name = x', /^FLT_SYNTAX 1:6 \(5\): expected an operator/],
    ['Name ==', /^FLT_SYNTAX 1:8 \(7\): expected a value/],
    ['Name == us-east', 'FLT_SYNTAX 1:11 (10): expected "and", "or" or the end'],
    ['Name == a Port == 1', 'FLT_SYNTAX 1:11 (10): expected "and", "or" or the end'],
    ['Name == a and\n  Port ==', /^FLT_SYNTAX 2:10 \(23\): expected a value/],
    ['(Name == a', 'FLT_SYNTAX 1:11 (10): the parenthesis at 0 is not closed'],
    ['Name == a)', 'FLT_SYNTAX 1:10 (9): expected "and", "or" or the end'],
    ['Name == "a', 'FLT_SYNTAX 1:9 (8): unterminated string'],
    ['Name == `a', 'FLT_SYNTAX 1:9 (8): unterminated string'],
    ['Name == "\\d"', /^FLT_SYNTAX 1:10 \(9\): invalid escape/],
    ['Name == "\\U00110000"', /^FLT_SYNTAX 1:10 \(9\): invalid escape/],
    ['"x" == "y"', 'FLT_SYNTAX 1:5 (4): expected "in" or "not in" after a value'],
    ['x in', 'FLT_SYNTAX 1:5 (4): expected a selector'],
    ['x in "y"', 'FLT_SYNTAX 1:6 (5): expected a selector'],
    ['Name is', 'FLT_SYNTAX 1:8 (7): expected "empty", "nil" or "not"'],
    ['Meta[env] == qa', 'FLT_SYNTAX 1:6 (5): expected a key in quotation marks'],
    ['Meta["env" == qa', 'FLT_SYNTAX 1:12 (11): expected "]"'],
    ['Meta. == qa', 'FLT_SYNTAX 1:7 (6): expected a name'],
    ['any Checks as c Status == x', 'FLT_SYNTAX 1:17 (16): expected "{"'],
    ['any Checks as c { c.Status == x', 'FLT_SYNTAX 1:32 (31): expected "}"'],
    ['NAME == web', 'FLT_SELECTOR Selector "NAME" is not valid'],
    ['Name.x == web', 'FLT_SELECTOR Selector "Name.x" is not valid'],
    ['Tags.x == web', 'FLT_SELECTOR Selector "Tags.x" is not valid'],
    ['Checks.None == x', 'FLT_SELECTOR Selector "Checks.None" is not valid'],
    ['Meta.a.b == x', 'FLT_SELECTOR Selector "Meta.a.b" is not valid'],
    ['__proto__ == x', /^FLT_SYNTAX/],
    ['constructor == x', 'FLT_SELECTOR Selector "constructor" is not valid'],
    ['any Checks as c { d.Status == x }', 'FLT_SELECTOR Selector "d.Status" is not valid'],
    ['any Checks.Tags as c { c == x }', 'FLT_SELECTOR Selector "Checks.Tags" is not valid'],
    ['any Name as c { c == x }', 'FLT_OPERATOR "any" wants a list or a map, which "Name" is not'],
    ['Tags == x', 'FLT_OPERATOR Invalid match operator "Equal" for selector "Tags"'],
    ['Tags != x', 'FLT_OPERATOR Invalid match operator "Not Equal" for selector "Tags"'],
    ['Port is not empty', 'FLT_OPERATOR Invalid match operator "Is Not Empty" for selector "Port"'],
    ['Name is nil', 'FLT_OPERATOR Invalid match operator "Is Nil" for selector "Name"'],
    ['Owner == x', 'FLT_OPERATOR Invalid match operator "Equal" for selector "Owner"'],
    ['x in Checks', 'FLT_OPERATOR Invalid match operator "In" for selector "Checks"'],
    ['Port matches 8', 'FLT_OPERATOR Invalid match operator "Matches" for selector "Port"'],
    ['Port == many', 'FLT_VALUE value "many" for selector "Port" is not a number'],
    ['x in Ports', 'FLT_VALUE value "x" for selector "Ports" is not a number'],
    ['Native == yes', 'FLT_VALUE value "yes" for selector "Native" is not true or false'],
    ['Name matches "("', /^FLT_REGEX failed to compile regular expression: /],
    ['Name matches "(?=a)"', /^FLT_REGEX failed to compile regular expression: /],
    ['Name matches "((a{1,100}){1,100}){1,100}"', /^FLT_REGEX failed to compile regular expression: /],
    [`Name matches ${'a'.repeat(513)}`, /^FLT_REGEX .*it has 513 characters, the limit is 512$/],
    ['a'.repeat(8_193), 'FLT_TOO_LARGE it has 8193 characters, the limit is 8192'],
  ]
  for (const [text, expected] of cases) t.match(failure(text), expected, text.slice(0, 40))
})

t.test('bounds of an expression', async (t) => {
  const { depth, comparisons } = FILTER_LIMITS
  const nested = (count: number) => `${'('.repeat(count)}Name == web${')'.repeat(count)}`
  t.equal(ask(nested(depth)), true)
  t.equal(failure(nested(depth + 1)), `FLT_TOO_LARGE it is nested deeper than ${depth}`)
  t.equal(ask(`${'not '.repeat(depth)}Name == web`), true)
  t.match(failure(`${'not '.repeat(depth + 1)}Name == web`), /^FLT_TOO_LARGE/)
  t.match(failure('('.repeat(FILTER_LIMITS.chars)), /^FLT_TOO_LARGE/)
  const many = (count: number) => Array(count).fill('Port == 80').join(' and ')
  t.equal(ask(many(comparisons)), true)
  t.equal(failure(many(comparisons + 1)), `FLT_TOO_LARGE it has more than ${comparisons} comparisons`)
  t.equal(ask(`${nested(depth)} and ${nested(depth)}`), true, 'what is closed does not count')
})

t.test('collections within each other are not looked through without end', async (t) => {
  const shape = shapeOf(Type.Object({ Tags: Type.Array(Type.String()) }))
  const nested = (depth: number) => {
    let text = `v1 == x${'}'.repeat(depth)}`
    for (let i = depth; i > 0; i--) text = `any Tags as v${i} {${text}`
    return compileFilter(parseFilter(text), shape)
  }
  const object = (tags: number) => ({ Tags: Array.from({ length: tags }, (_, i) => `tag ${i}`) })
  const two = nested(2)
  t.notOk(two(object(80)))
  t.notOk(two(object(80)), 'each object counts for itself')
  t.notOk(nested(1)(object(50_000)), 'one after the other is as much as there is')
  for (const test of [two, nested(10)])
    t.throws(() => test(object(128)), {
      code: 'FLT_WORK',
      message: `Failed to create boolean expression evaluator: it looks at more than ${FILTER_LIMITS.nestedElements} elements of collections within collections`,
    })
})

t.test('an expression that would keep a backtracking engine busy for ever is answered', async (t) => {
  const text = `${'a'.repeat(50_000)}!`
  for (const regex of ['^(a+)+$', '(a|a)*$x', '(a|aa)+$x', '(.*a){20}x', '^(([a-z])+.)+[A-Z]([a-z])+$']) {
    const matches = compileFilter(parseFilter(`Name matches "${regex}"`), SHAPE)
    t.equal(matches({ Name: text }), false, regex)
  }
})
