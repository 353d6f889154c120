import fc from 'fast-check'
import { utf8 } from '../request.ts'
import { SESSION_ID } from '../subject.ts'

/** Replaced by the index of the store when a request is sent: a blocking query with it has to wait. */
export const INDEX_NOW = '@index@'

/** Names of things there are, so that a part of what is sent finds something. */
export const KNOWN: readonly string[] = [
  ...['a', 'a/b', 'lock', 'web', 'ttl', 'n1', 'n2', 'peer-1', 'any', 'serfHealth', SESSION_ID],
]

/** Texts that numbers, durations, flags and names may be mistaken for. All texts here are bytes. */
export const ODD_TEXTS: readonly string[] = [
  ...[
    '',
    '0',
    '1',
    '-1',
    '+1',
    '00',
    '1.5',
    '1e3',
    '0x10',
    'NaN',
    'Infinity',
    '-Infinity',
    'null',
    'undefined',
  ],
  ...['true', 'false', 'TRUE', '[]', '{}', '[object Object]', ' ', ' 1', '1 ', '\t', '１'.normalize('NFKC')],
  ...[
    '9007199254740991',
    '9007199254740993',
    '18446744073709551615',
    '18446744073709551616',
    '1'.repeat(400),
  ],
  ...[
    '10s',
    '1h',
    '0s',
    '-5s',
    '1ms',
    '1ns',
    '9999999h',
    '.s',
    '1d',
    '10',
    '10 s',
    '1e3s',
    `${'9'.repeat(100)}s`,
  ],
  ...[
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    '..',
    '/',
    '//',
    '.',
    '*',
    '?',
    '#',
    '\\',
    "'",
    '"',
  ],
  ...[
    '\x00',
    '\x7f',
    '\xff',
    '\xc3\x28',
    '\xed\xa0\x80',
    '\xf0\x9f\x92\xa9',
    '\xe2\x80\xae',
    '\xef\xbb\xbf',
    '\r\n',
    '%',
  ],
  ...['dc1', 'nowhere', 'default', 'passing', 'key:value', ':', 'a:', 'web-1', `${'a'.repeat(5000)}`],
  ...[utf8('１２'), utf8('ı'), utf8('ﬀ'), '<script>', '{{7*7}}', '%s%n', "' OR 1=1 --", '../../etc/passwd'],
]

/** Any bytes, short. */
export const bytes: fc.Arbitrary<string> = fc
  .uint8Array({ maxLength: 12 })
  .map((array) => Buffer.from(array).toString('latin1'))

/** Something a client should not say where a value is wanted, or sometimes what it should. */
export const value: fc.Arbitrary<string> = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...ODD_TEXTS) },
  { weight: 3, arbitrary: fc.constantFrom(...KNOWN) },
  { weight: 1, arbitrary: bytes },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }).map((text) => utf8(text)) },
  { weight: 1, arbitrary: fc.bigInt({ min: -(2n ** 66n), max: 2n ** 66n }).map(String) },
)

/** Every byte that is no unreserved character, as a percent sequence. */
export function percentEncode(text: string): string {
  return text.replace(
    /[^A-Za-z0-9._~-]/g,
    (each) => `%${each.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`,
  )
}

/** The target of an operation with these bytes in place of what its path leaves open. */
export function fill(path: string, texts: readonly string[]): string {
  let next = 0
  return path.replace(/\{\w+\}/g, () => texts[next++] ?? 'a')
}

/** A target that reaches the operation. */
export function goodTarget(path: string): fc.Arbitrary<string> {
  const holes = path.split('{').length - 1
  return fc
    .array(fc.constantFrom(...KNOWN), { minLength: holes, maxLength: holes })
    .map((texts) => fill(path, texts))
}
