import fc from 'fast-check'

/** Values of no type a field has, or of its type and beyond its bounds. All can be written as JSON. */
const ODD: readonly unknown[] = [
  ...[null, true, '', 'x', '\ud800', '\u0000', 'x'.repeat(5000), '__proto__', 'constructor', '{}', '[1]'],
  ...[0, -1, 1.5, 2 ** 53, 2 ** 50 + 1, 1e308, [], [null], [[]], {}, { length: 3 }, { toString: 1 }],
  ...[JSON.parse('{"__proto__":{"id":"b"}}'), Array.from({ length: 9000 }, (_, i) => i)],
]
const NAMES = ['__proto__', 'constructor', 'toString', 'format', 'id', 'new field', '']

/** A step into a text that is JSON itself. */
const INSIDE = Symbol('inside')
type Path = readonly (string | number | typeof INSIDE)[]

type Change = (value: unknown) => unknown

const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...ODD).map((odd) => () => odd) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }).map((odd) => () => odd) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(...NAMES), fc.constantFrom(...ODD))
      .map(([name, odd]) => (value: unknown) => {
        if (Array.isArray(value)) return [...value, value[0] ?? odd]
        if (typeof value !== 'object' || value === null) return typeof value === 'string' ? `${value} ` : odd
        return Object.fromEntries([...Object.entries(value), [name, odd]])
      }),
  },
  {
    weight: 1,
    arbitrary: fc.nat().map((at) => (value: unknown) => {
      if (Array.isArray(value)) return value.filter((_, i) => i !== at % Math.max(1, value.length))
      if (typeof value === 'number') return value + 1
      if (typeof value !== 'object' || value === null) return undefined
      const entries = Object.entries(value)
      return Object.fromEntries(entries.filter((_, i) => i !== at % Math.max(1, entries.length)))
    }),
  },
)

function inside(text: unknown): unknown {
  if (typeof text !== 'string' || !text.startsWith('{')) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function places(value: unknown, path: Path, out: Path[]): Path[] {
  out.push(path)
  const nested = inside(value)
  if (nested !== undefined) places(nested, [...path, INSIDE], out)
  if (typeof value !== 'object' || value === null) return out
  for (const [name, item] of Object.entries(value)) places(item, [...path, name], out)
  return out
}

function changed(value: unknown, [step, ...rest]: Path, how: Change): unknown {
  if (step === undefined) return how(value)
  if (step === INSIDE) return JSON.stringify(changed(inside(value), rest, how)) ?? ''
  if (Array.isArray(value)) {
    return value.map((item, i) => (String(i) === String(step) ? changed(item, rest, how) : item))
  }
  return Object.fromEntries(
    Object.entries(value as object).map(([name, item]) => [
      name,
      name === step ? changed(item, rest, how) : item,
    ]),
  )
}

/** JSON messages with one or two things in them changed, however deep, also in texts that are JSON themselves. */
export function spoiledJson(valid: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const spoils = fc.array(fc.tuple(fc.nat(), change), { minLength: 1, maxLength: 2 })
  return fc.tuple(fc.constantFrom(...valid), spoils).map(([bytes, list]) => {
    let value: unknown = JSON.parse(Buffer.from(bytes).toString())
    for (const [at, how] of list) {
      const all = places(value, [], [])
      value = changed(value, all[at % all.length] ?? [], how)
    }
    return Buffer.from(JSON.stringify(value) ?? 'null')
  })
}

/** Messages cut short, with bits turned, bytes put in or taken out, or two of them joined. */
export function damaged(valid: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const one = fc.constantFrom(...valid)
  return fc.oneof(
    fc.tuple(one, fc.nat()).map(([bytes, at]) => bytes.subarray(0, at % (bytes.length + 1))),
    fc.tuple(one, fc.nat(), fc.nat(7)).map(([bytes, at, bit]) => {
      const copy = Uint8Array.from(bytes)
      const place = at % Math.max(1, copy.length)
      copy[place] = (copy[place] ?? 0) ^ (1 << bit)
      return copy
    }),
    fc.tuple(one, fc.nat(), fc.uint8Array({ maxLength: 9 }), fc.nat(9)).map(([bytes, at, put, cut]) => {
      const place = at % (bytes.length + 1)
      return Buffer.concat([bytes.subarray(0, place), put, bytes.subarray(place + cut)])
    }),
    fc.tuple(one, one, fc.nat()).map(([a, b, at]) => {
      const place = at % (Math.min(a.length, b.length) + 1)
      return Buffer.concat([a.subarray(0, place), b.subarray(place)])
    }),
  )
}

const repeated = fc
  .tuple(
    fc.constantFrom(
      '[',
      '{"a":',
      '"',
      '\\',
      '[[],',
      '{"__proto__":',
      '1',
      '{"format":2,"type":"delta","stamp":',
    ),
    fc.constantFrom(1, 100, 50_000),
  )
  .map(([text, count]) => Buffer.from(text.repeat(count)))

/** Everything a decoder may be given: any bytes, any JSON, deep nesting, and messages that were changed. */
export function hostile(valid: readonly Uint8Array[], kind: 'json' | 'bytes'): fc.Arbitrary<Uint8Array> {
  const anything = [
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }) },
    { weight: 4, arbitrary: damaged(valid) },
    { weight: 1, arbitrary: repeated },
  ]
  if (kind === 'bytes') return fc.oneof(...anything)
  const json = fc.jsonValue({ maxDepth: 3 }).map((value) => Buffer.from(JSON.stringify(value)))
  return fc.oneof(...anything, { weight: 1, arbitrary: json }, { weight: 8, arbitrary: spoiledJson(valid) })
}
