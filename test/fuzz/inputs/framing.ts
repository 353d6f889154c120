import fc from 'fast-check'
import type { Operation } from '../operations.ts'
import { encode, request } from '../request.ts'
import { goodTarget } from './values.ts'

const LENGTHS: readonly string[] = [
  ...[
    '-1',
    '+5',
    '0x5',
    '5, 5',
    '5,6',
    '5;',
    '',
    ' ',
    '1e1',
    '05',
    '5 5',
    '99999999999999999999',
    '9'.repeat(300),
  ],
  ...['0', '4', '6', '100', '3000000', '5000000000', 'NaN', '\xb2'],
]
const CODINGS: readonly string[] = [
  ...[
    'chunked',
    'Chunked',
    ' chunked ',
    'xchunked',
    'chunked, chunked',
    'gzip, chunked',
    'chunked, gzip',
    'gzip',
  ],
  ...['identity', '', 'chunked\x0b', 'chunked;q=1', '"chunked"', 'deflate, identity, chunked'],
]
const CHUNKS: readonly string[] = [
  ...[
    '5\r\nhello\r\n0\r\n\r\n',
    '5\r\nhello',
    '5\nhello\n0\n\n',
    '6\r\nhello\r\n0\r\n\r\n',
    '4\r\nhello\r\n0\r\n\r\n',
  ],
  ...[
    '-5\r\nhello\r\n0\r\n\r\n',
    '0x5\r\nhello\r\n0\r\n\r\n',
    'ffffffffffffffff\r\nhello',
    '5;a=b\r\nhello\r\n0\r\n\r\n',
  ],
  ...[
    `5;${'x'.repeat(40_000)}\r\nhello\r\n0\r\n\r\n`,
    '5\r\nhello\r\n0\r\nX: y\r\n\r\n',
    '5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n',
  ],
  ...[
    '\r\n',
    '',
    'zz\r\n\r\n',
    '5 \r\nhello\r\n0\r\n\r\n',
    '5\r\nhello0\r\n\r\n',
    `5\r\nhello\r\n0\r\n${'X: y\r\n'.repeat(5000)}\r\n`,
  ],
]

type Edit = (head: readonly string[], body: string) => string

/** Ways to spoil a request: its lines without their ends, its body. */
const EDITS: readonly Edit[] = [
  (head, body) => `${head.join('\n')}\n\n${body}`,
  (head, body) => `${head.join('\r')}\r\r${body}`,
  (head, body) => `\r\n\r\n${head.join('\r\n')}\r\n\r\n${body}`,
  (head, body) => `${head.join('\r\n')}\r\n folded: line\r\n\r\n${body}`,
  (head, body) => `${head.join('\r\n')}\r\nX : space\r\n\r\n${body}`,
  (head, body) => `${head.join('\r\n')}\r\nX: a\x00b\r\n\r\n${body}`,
  (head, body) => `${head.join('\r\n')}\r\nX: a\rb\r\n\r\n${body}`,
  (head, body) => `${head.join('\r\n')}\r\nX\r\n\r\n${body}`,
  (head, body) => `${head.join('\r\n')}\r\n: y\r\n\r\n${body}`,
  (head, body) => `${head.join('\r\n')}\r\n\xff\xfe: y\r\n\r\n${body}`,
  (head) => head.join('\r\n'),
  (head) => `${head.join('\r\n')}\r\n`,
  (head) => `${head[0]}\r\n\r\n`,
  (head) => `${head[0]?.replace(' HTTP/1.1', '')}\r\n\r\n`,
  (head) => `${head[0]?.replace('1.1', '1.0')}\r\n\r\n`,
  (head) => `${head[0]?.replace('1.1', '0.9')}\r\n\r\n`,
  (head) => `${head[0]?.replace('HTTP/1.1', 'HTTP/9.9')}\r\n\r\n`,
  (head) => `${head[0]?.replace('HTTP/1.1', 'http/1.1')}\r\n\r\n`,
  (head) => `${head[0]?.replaceAll(' ', '\t')}\r\n\r\n`,
  () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00',
  () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  () => '\x13/multistream/1.0.0\n',
  (head, body) => `${head.join('\r\n')}\r\n\r\n${body}GARBAGE`,
  (head, body) => `${head.join('\r\n')}\r\n\r\n${body}GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n`,
]

/** Requests whose end cannot be told, or only in two ways, and bytes that are no request at all. */
export function framing({ method, path }: Operation): fc.Arbitrary<Buffer> {
  const lengths = fc.array(
    fc.constantFrom(...LENGTHS).map((text) => ['Content-Length', text] as const),
    { minLength: 1, maxLength: 2 },
  )
  const codings = fc.constantFrom(...CODINGS).map((text) => [['Transfer-Encoding', text] as const])
  const both = fc.tuple(lengths, codings).map(([a, b]) => [...a, ...b])
  const bodies = fc.oneof(fc.constant('hello'), fc.constantFrom(...CHUNKS))
  const declared = fc
    .tuple(goodTarget(path), fc.oneof(lengths, codings, both), bodies)
    .map(([target, headers, body]) => encode(request(method, target, { headers, body, framing: 'none' })))
  const spoiled = fc.tuple(goodTarget(path), fc.constantFrom(...EDITS)).map(([target, edit]) => {
    const whole = encode(request(method, target, { body: method === 'GET' ? '' : 'hello' })).toString(
      'latin1',
    )
    const at = whole.indexOf('\r\n\r\n')
    return Buffer.from(edit(whole.slice(0, at).split('\r\n'), whole.slice(at + 4)), 'latin1')
  })
  const noise = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
  return fc.oneof(
    { weight: 5, arbitrary: declared },
    { weight: 5, arbitrary: spoiled },
    { weight: 1, arbitrary: noise },
  )
}
