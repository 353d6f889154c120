import fc from 'fast-check'
import { fieldsOf, type Operation, type Schema } from '../operations.ts'
import { type Request, request, utf8 } from '../request.ts'
import { SESSION_ID } from '../subject.ts'
import { bytes, goodTarget, KNOWN, ODD_TEXTS } from './values.ts'

/** JSON that is no value of the type a field has, as text. */
const ODD_JSON: readonly string[] = [
  ...[
    'null',
    'true',
    'false',
    '0',
    '-0',
    '-1',
    '1.5',
    '1e999',
    '-1e999',
    '1e-999',
    '9007199254740993',
    '9'.repeat(400),
  ],
  ...[
    '18446744073709551615',
    '18446744073709551616',
    '""',
    '"x"',
    '"0"',
    '"10s"',
    '"\\u0000"',
    '"\\ud800"',
    '"\\udfff\\ud800"',
  ],
  ...[
    '[]',
    '[null]',
    '[[]]',
    '["a"]',
    '[1]',
    '[{}]',
    '{}',
    '{"a":1}',
    '{"a":null}',
    '{"a":"b"}',
    '{"a":["b"]}',
    '{"a":{}}',
  ],
  ...[
    '{"__proto__":{"x":1}}',
    '{"constructor":{"prototype":{"x":1}}}',
    '{"__proto__":null}',
    '{"":""}',
    '{"toString":1}',
  ],
  ...[
    '"passing"',
    '"delete"',
    '"release"',
    '"set"',
    '"cas"',
    '"lock"',
    '"get-tree"',
    '"check-session"',
    '"unlock"',
    '"TTL"',
  ],
  ...[
    '"aGVsbG8="',
    '"aGVsbG8"',
    '"a-_b"',
    '"%%%"',
    '"=="',
    '"a"',
    `"${SESSION_ID}"`,
    '"http://127.0.0.1:1/"',
    '"127.0.0.1:1"',
  ],
  ...[
    `"${'y'.repeat(20_000)}"`,
    `[${'1,'.repeat(3000)}1]`,
    `${'['.repeat(3000)}${']'.repeat(3000)}`,
    '1000',
    '86400000000001',
  ],
  ...KNOWN.map((each) => JSON.stringify(each)),
]

/** Words that mean something in some field. */
const WORDS: readonly string[] = [
  ...['set', 'cas', 'lock', 'unlock', 'get', 'get-or-empty', 'get-tree', 'check-index', 'check-session'],
  ...[
    'check-not-exists',
    'delete',
    'delete-cas',
    'delete-tree',
    'release',
    '10s',
    '1h',
    'aGVsbG8=',
    'passing',
  ],
]

/** Bodies that are no JSON, or JSON that hurts. */
const HOSTILE: readonly string[] = [
  ...[
    '',
    ' ',
    '\x00',
    '\xff\xfe',
    '\xef\xbb\xbf{}',
    '{',
    '}',
    '[',
    '{"',
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,}',
    "{'a':1}",
    '{a:1}',
  ],
  ...[
    'nul',
    'NaN',
    'undefined',
    '{} {}',
    '{}x',
    '"',
    '"\\',
    '"\\u12',
    '"\\ud800"',
    '[1,]',
    '01',
    '+1',
    '.5',
    '/**/{}',
    '-',
  ],
  ...['{"__proto__":{"admin":true}}', '{"constructor":{"prototype":{"admin":true}}}', '[{"__proto__":[]}]'],
  ...[
    '{"a":1,"a":2,"A":3}',
    '{"Name":"a","name":"b","NAME":"c"}',
    '['.repeat(60_000),
    `${'{"a":'.repeat(50_000)}1`,
  ],
  ...[
    `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
    `"${'x'.repeat(600_000)}"`,
    `{"Name":"${'x'.repeat(60_000)}"}`,
    '9'.repeat(60_000),
  ],
  ...[
    `{${Array.from({ length: 4000 }, (_, i) => `"k${i}":${i}`).join()}}`,
    '\x1f\x8b\x08\x00\x00\x00\x00\x00',
    utf8('{"Name":"\u2028"}'),
  ],
]

/** JSON text for a schema: what it asks for, or something else. */
function jsonFor(schema: Schema, depth: number): fc.Arbitrary<string> {
  const odd = fc.constantFrom(...ODD_JSON)
  if (depth === 0) return odd
  const good = goodJson(schema, depth)
  return good === null ? odd : fc.oneof({ weight: 12, arbitrary: good }, { weight: 1, arbitrary: odd })
}

function goodJson(schema: Schema, depth: number): fc.Arbitrary<string> | null {
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum.map((each) => JSON.stringify(each)))
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((each) => jsonFor(each, depth - 1)))
  switch (schema.type) {
    case 'object':
      return objectFor(schema, depth)
    case 'array':
      return fc
        .array(jsonFor(schema.items ?? {}, depth - 1), { maxLength: 3 })
        .map((items) => `[${items.join()}]`)
    case 'integer':
    case 'number':
      return fc.constantFrom('0', '1', '80', '65535', '65536', '-1', '1.5', '1e3')
    case 'boolean':
      return fc.constantFrom('true', 'false')
    case 'string':
      return fc
        .oneof(fc.constantFrom(...KNOWN), fc.constantFrom(...WORDS), fc.constantFrom(...ODD_TEXTS), bytes)
        .map((text) => JSON.stringify(text))
    default:
      return null
  }
}

/** Some of the fields, each perhaps twice or under a name in another case. */
function objectFor(schema: Schema, depth: number): fc.Arbitrary<string> {
  const fields = Object.entries(schema.properties ?? {})
  const inner = schema.additionalProperties
  const open = typeof inner === 'object' ? inner : (Object.values(schema.patternProperties ?? {})[0] ?? {})
  const named = fields.map(([name, field]) =>
    fc
      .tuple(
        fc.constantFrom(name, name, name, name.toLowerCase(), name.toUpperCase()),
        jsonFor(field, depth - 1),
      )
      .map(([spelled, json]) => `${JSON.stringify(spelled)}:${json}`),
  )
  const other = fc
    .tuple(fc.constantFrom('a', '', '__proto__', 'constructor', 'x'.repeat(300)), jsonFor(open, depth - 1))
    .map(([name, json]) => `${JSON.stringify(name)}:${json}`)
  const member =
    named.length === 0 ? other : fc.oneof(...named.map((arbitrary) => ({ weight: 4, arbitrary })), other)
  return fc
    .array(member, { maxLength: Math.min(12, fields.length + 2) })
    .map((members) => `{${members.join()}}`)
}

/** The body with bytes cut out of it, put into it, or changed. */
function damaged(body: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.tuple(body, fc.nat(), fc.nat({ max: 8 }), bytes).map(([text, at, length, put]) => {
    const position = at % (text.length + 1)
    return text.slice(0, position) + put + text.slice(position + length)
  })
}

/**
 * Bodies: of the described shape with wrong types here and there, damaged, hostile, or any bytes. `all`: every schema of the interface,
 * for operations that describe none. `valid`: a body the operation takes, of which only spoiled copies are sent.
 */
export function bodies(
  { method, path, body }: Operation,
  { all, valid }: { readonly all: readonly Schema[]; readonly valid: string | null },
): fc.Arbitrary<Request> {
  const shaped = body === null ? fc.oneof(...all.map((each) => jsonFor(each, 5))) : jsonFor(body, 6)
  const names = [...new Set((body === null ? all : [body]).flatMap((each) => [...fieldsOf(each)]))]
  // Every field alone with a wrong value, beside the little that is required.
  const single = fc
    .tuple(fc.constantFrom(...names), fc.constantFrom(...ODD_JSON), fc.constantFrom('"Name":"web",', ''))
    .map(([name, json, required]) => `{${required}${JSON.stringify(name)}:${json}}`)
  const noise = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array).toString('latin1'))
  const text = fc.oneof(
    { weight: 5, arbitrary: shaped },
    { weight: 5, arbitrary: single },
    { weight: 2, arbitrary: fc.tuple(single, single).map((pair) => `[${pair.join()}]`) },
    { weight: 2, arbitrary: damaged(fc.oneof(shaped, single)) },
    { weight: 2, arbitrary: fc.constantFrom(...HOSTILE) },
    { weight: 1, arbitrary: noise },
    { weight: valid === null ? 0 : 4, arbitrary: damaged(fc.constant(valid ?? '')) },
  )
  return fc
    .tuple(
      goodTarget(path),
      text.map(utf8IfWide),
      fc.constantFrom('length' as const, 'length' as const, 'chunked' as const),
      fc.constantFrom('application/json', 'text/plain', '\xff', ''),
    )
    .map(([target, body, framing, type]) =>
      request(method, target, { body, framing, headers: [['Content-Type', type]] }),
    )
}

function utf8IfWide(text: string): string {
  return /[\u0100-\uffff]/.test(text) ? utf8(text) : text
}
