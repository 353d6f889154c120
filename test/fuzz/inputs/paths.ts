import fc from 'fast-check'
import type { Operation } from '../operations.ts'
import { type Request, request } from '../request.ts'
import { bytes, fill, goodTarget, KNOWN } from './values.ts'

const ATOMS: readonly string[] = [
  ...[
    'a',
    '/',
    '//',
    '///',
    '.',
    '..',
    '/./',
    '/../',
    '%2F',
    '%2e%2e',
    '%2e',
    '%5c',
    '\\',
    ';',
    ';a=b',
    '#',
    '%23',
  ],
  ...[
    '%',
    '%0',
    '%zz',
    '%%',
    '%00',
    '%0d%0a',
    '%20',
    '%25',
    '%3f',
    '?',
    '&',
    '=',
    '+',
    ':',
    '@',
    '*',
    '~',
    '|',
    '^',
  ],
  ...['\x00', '\x01', '\x7f', '\t', ' ', '\x80', '\xff', '%ff', '%80', '\xc3\xa9', '%C3%A9', '%c3', '%C3%28'],
  ...[
    '%ed%a0%80',
    '%f0%9f%92%a9',
    '%u0041',
    '%ef%bb%bf',
    '"',
    '<',
    '>',
    '{',
    '}',
    '[',
    ']',
    '`',
    "'",
    'x'.repeat(3000),
  ],
  ...['__proto__', 'constructor', ...KNOWN],
]

/** What a path may have where the description leaves it open. */
const hole: fc.Arbitrary<string> = fc
  .array(fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...ATOMS) }, { weight: 1, arbitrary: bytes }), {
    maxLength: 4,
  })
  .map((parts) => parts.join(''))

/** Ways to spell a whole target that differ from the usual one. */
const SPELLINGS: readonly ((target: string) => string)[] = [
  (target) => target,
  (target) => `/${target}`,
  (target) => `${target}/`,
  (target) => target.slice(1),
  (target) => target.toUpperCase(),
  (target) => `http://127.0.0.1:8500${target}`,
  (target) => `HTTP://other.example${target}`,
  (target) => `unix://${target}`,
  (target) => `//127.0.0.1${target}`,
  (target) => `/../..${target}`,
  (target) => `/.${target}`,
  (target) => `${target}?`,
  (target) => `${target}?#`,
  (target) => `${target}#x`,
  (target) => `${target};x=y`,
  (target) => target.replace('/v1', '/%761'),
  (target) => target.replaceAll('/', '//'),
  (target) => target.replaceAll('/', '%2F'),
  (target) => target.slice(0, -1),
  (target) => `${target}\xff`,
  (target) => `${target}%`,
  (target) => `${target}\x00`,
  () => '*',
  () => '',
  () => 'http:',
  () => 'http://',
  () => '127.0.0.1:8500',
  () => '?',
  () => '/?',
  (target) => `${target}/${'a/'.repeat(2000)}`,
  (target) => `${target}${'%41'.repeat(4000)}`,
]

/** Malformed and odd paths: what they leave open filled with anything, or spelled in an unusual way. */
export function paths({ method, path }: Operation): fc.Arbitrary<Request> {
  const holes = path.split('{').length - 1
  const filled =
    holes === 0
      ? fc.constant(path)
      : fc.array(hole, { minLength: holes, maxLength: holes }).map((texts) => fill(path, texts))
  const spelled = fc
    .tuple(goodTarget(path), fc.constantFrom(...SPELLINGS))
    .map(([target, spell]) => spell(target))
  const cut = fc.tuple(goodTarget(path), fc.nat(), fc.constantFrom(...ATOMS)).map(([target, at, atom]) => {
    const position = at % (target.length + 1)
    return target.slice(0, position) + atom + target.slice(position)
  })
  return fc
    .oneof(
      { weight: holes === 0 ? 0 : 3, arbitrary: filled },
      { weight: 2, arbitrary: spelled },
      { weight: 2, arbitrary: cut },
    )
    .map((target) => request(method, target))
}
