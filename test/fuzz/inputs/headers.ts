import fc from 'fast-check'
import type { Operation } from '../operations.ts'
import { type Request, request } from '../request.ts'
import { bytes, goodTarget, value } from './values.ts'

const NAMES: readonly string[] = [
  ...[
    'Host',
    'Content-Type',
    'Accept',
    'Accept-Encoding',
    'Accept-Version',
    'Authorization',
    'X-Consul-Token',
  ],
  ...['Origin', 'Sec-Fetch-Site', 'Expect', 'Range', 'If-None-Match', 'If-Match', 'Cookie', 'Cache-Control'],
  ...['Content-Encoding', 'X-HTTP-Method-Override', 'Forwarded', 'X-Forwarded-For', 'Via', 'TE', 'Trailer'],
  ...[
    'Last-Event-ID',
    'User-Agent',
    'Referer',
    'Date',
    'Keep-Alive',
    'Proxy-Connection',
    '__proto__',
    'constructor',
  ],
]

const PARTICULAR: readonly (readonly [name: string, value: string])[] = [
  ['Expect', '100-continue'],
  ['Expect', '200-maybe'],
  ['Expect', ''],
  ['Upgrade', 'websocket'],
  ['Upgrade', 'h2c'],
  ['Connection', 'close, upgrade'],
  ['Connection', 'close, x-consul-token'],
  ['Authorization', 'Bearer'],
  ['Authorization', `Bearer ${'a'.repeat(4000)}`],
  ['Authorization', 'Basic Og=='],
  ['Content-Type', 'application/json; charset=\xff'],
  ['Content-Type', ';'],
  ['Content-Type', 'multipart/form-data; boundary=x'],
  ['Content-Type', 'application/x-www-form-urlencoded'],
  ['Content-Encoding', 'gzip'],
  ['Accept', 'text/event-stream'],
  ['Accept', 'a/b;q=2, */*;q=nan'],
  ['Sec-Fetch-Site', 'cross-site'],
  ['Host', ''],
  ['Host', 'a:b:c'],
  ['Host', 'evil.example'],
  ['X-Long', 'x'.repeat(9000)],
  ['X-Longer', 'x'.repeat(40_000)],
]

function isHeaderByte(each: string): boolean {
  return each === '\t' || (each >= ' ' && each !== '\x7f')
}

/** Headers that are odd, huge, repeated, or ask for what HTTP servers may do and this one does not. */
export function headers({ method, path }: Operation): fc.Arbitrary<Request> {
  const named = fc.tuple(
    fc.constantFrom(...NAMES),
    // What ends a line, or is no byte of a header, belongs to the framing.
    fc.oneof(value, bytes).map((text) => [...text].filter(isHeaderByte).join('')),
  )
  const each = fc.oneof(named, fc.constantFrom(...PARTICULAR))
  const several = fc.array(each, { minLength: 1, maxLength: 5 })
  const many = fc.integer({ min: 50, max: 3000 }).map((count) => {
    return Array.from({ length: count }, (_, i) => [`X-${i}`, ''] as const)
  })
  return fc
    .tuple(
      goodTarget(path),
      fc.oneof({ weight: 12, arbitrary: several }, { weight: 1, arbitrary: many }),
      fc.constantFrom('', 'x', '{}'),
      fc.constantFrom('length' as const, 'chunked' as const),
    )
    .map(([target, list, body, framing]) =>
      request(method, target, { headers: list, body: method === 'GET' ? '' : body, framing }),
    )
}

const METHODS: readonly string[] = [
  ...[
    'GET',
    'PUT',
    'POST',
    'DELETE',
    'PATCH',
    'HEAD',
    'OPTIONS',
    'TRACE',
    'CONNECT',
    'PROPFIND',
    'PURGE',
    'QUERY',
  ],
  ...[
    'M-SEARCH',
    'LINK',
    'SOURCE',
    'get',
    'Put',
    '',
    'FOO',
    'G\x00T',
    'G ET',
    `${'A'.repeat(2000)}`,
    'PRI',
    '\xff',
  ],
]

/** Every method, known or not, on the path of an operation. */
export function methods({ path }: Operation): fc.Arbitrary<Request> {
  return fc
    .tuple(goodTarget(path), fc.constantFrom(...METHODS), fc.constantFrom('', 'x', '{}'))
    .map(([target, method, body]) => request(method, target, { body }))
}
