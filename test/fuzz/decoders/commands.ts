import fc from 'fast-check'
import type { Command, KvOperation, SessionSpec } from '../../../consensus/state/types.ts'

const bytes = fc.oneof(fc.constant(new Uint8Array([1])), fc.uint8Array({ maxLength: 6 }))
const flags = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0n) },
  { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) },
)
/** Few, so that commands meet. */
const key = fc.constantFrom('', 'a', 'a/b', 'a/\xff', '\x00', 'constellation/lease/x')
const session = fc.constantFrom('', 's1', 's2')
const index = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.maxSafeNat())
const write = { key, value: bytes, flags }
const id = fc.constantFrom('r1', 'r2')

/** Any operation of a transaction on these keys, with these values. */
export function operationOn(
  key: fc.Arbitrary<string>,
  value: fc.Arbitrary<Uint8Array>,
): fc.Arbitrary<KvOperation> {
  const write = { key, value, flags }
  return fc.oneof(
    fc.record({ verb: fc.constant('set' as const), ...write }),
    fc.record({ verb: fc.constant('cas' as const), ...write, index }),
    fc.record({ verb: fc.constantFrom('lock' as const, 'unlock' as const), ...write, session }),
    fc.record({ verb: fc.constantFrom('check-index' as const, 'delete-cas' as const), key, index }),
    fc.record({ verb: fc.constant('check-session' as const), key, session }),
    fc.record({
      verb: fc.constantFrom(
        'get' as const,
        'get-or-empty' as const,
        'get-tree' as const,
        'check-not-exists' as const,
        'delete' as const,
        'delete-tree' as const,
      ),
      key,
    }),
  )
}

const operation = operationOn(key, bytes)

const spec: fc.Arbitrary<SessionSpec> = fc.record({
  id: session,
  name: fc.string({ maxLength: 4 }),
  node: fc.constantFrom('n1', ''),
  behavior: fc.constantFrom('release' as const, 'delete' as const),
  lockDelayMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e300, noNaN: true })),
  ttl: fc.string({ maxLength: 4 }),
  expiresAfterMs: fc.double({ min: 0, max: 1e300, noNaN: true }),
  nodeChecks: fc.array(fc.string({ maxLength: 4 }), { maxLength: 2 }),
  serviceChecks: fc.option(
    fc.array(fc.record({ id: fc.string({ maxLength: 4 }), namespace: fc.string({ maxLength: 4 }) }), {
      maxLength: 2,
    }),
    { nil: null },
  ),
})

/** Any command the leader takes. */
export const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ type: fc.constant('kv.set' as const), ...write }),
  fc.record({ type: fc.constant('kv.set' as const), ...write, cas: index }),
  fc.record({ type: fc.constant('kv.set' as const), ...write, ttlMs: fc.integer({ min: 0, max: 90_000 }) }),
  fc.record({ type: fc.constantFrom('kv.acquire' as const, 'kv.release' as const), ...write, session }),
  fc.record({ type: fc.constant('kv.delete' as const), key }),
  fc.record({ type: fc.constant('kv.delete' as const), key, cas: index }),
  fc.record({ type: fc.constant('kv.deleteTree' as const), prefix: key }),
  fc.record({ type: fc.constant('kv.expire' as const), key, renewIndex: index }),
  fc.record({ type: fc.constant('kv.txn' as const), operations: fc.array(operation, { maxLength: 6 }) }),
  fc.record({ type: fc.constant('session.create' as const), session: spec }),
  fc.record({ type: fc.constant('session.destroy' as const), id: session }),
  fc.record({ type: fc.constant('restore.begin' as const), id }),
  fc.record({
    type: fc.constant('restore.part' as const),
    id,
    part: fc.integer({ min: 0, max: 2 }),
    records: fc.array(fc.record(write), { maxLength: 3 }),
  }),
  fc.record({
    type: fc.constant('restore.commit' as const),
    id,
    parts: fc.integer({ min: 0, max: 2 }),
    crc: fc.nat(),
  }),
)

/** Values of no type a field has, or of its type and beyond its bounds. */
const ODD: readonly unknown[] = [
  ...[undefined, null, true, '', 'x', '\u0100', 'a\ud800', 0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY],
  ...[2 ** 53, -0, 1e300, 0n, -1n, 2n ** 64n, new Uint8Array(2), [], [null], [1], [[]], ['\u0100'], {}],
  ...[{ id: 1 }, { id: 'a' }, { length: 3 }, { key: 'a' }, { verb: 'set' }, { verb: 'toString', key: 'a' }],
  ...['constructor', '__proto__', 'toString', 'kv.set', 'kv.nothing', { $n: '5' }, { $b: [0, 1] }],
]

/** A copy of a value in which one thing, however deep, is another or gone. */
export function spoiled(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.tuple(value, fc.nat(), fc.constantFrom(...ODD)).map(([whole, at, odd]) => {
    const places: (readonly (string | number)[])[] = []
    const visit = (item: unknown, path: readonly (string | number)[]): void => {
      if (path.length > 0) places.push(path)
      if (typeof item !== 'object' || item === null || item instanceof Uint8Array) return
      for (const name of Object.keys(item)) visit((item as Record<string, unknown>)[name], [...path, name])
    }
    visit(whole, [])
    const place = places[at % Math.max(1, places.length)]
    return place === undefined ? odd : replaced(whole, place, odd)
  })
}

function replaced(whole: unknown, [name, ...rest]: readonly (string | number)[], odd: unknown): unknown {
  if (name === undefined) return odd
  const copy = (Array.isArray(whole) ? [...whole] : { ...(whole as object) }) as Record<
    string | number,
    unknown
  >
  copy[name] = replaced(copy[name], rest, odd)
  return copy
}
