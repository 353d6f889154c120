import fc from 'fast-check'
import t from 'tap'
import {
  firstRing,
  installed,
  mergeRings,
  nextVersion,
  primaryOf,
  type Ring,
  type RingEntry,
  ringDigest,
  statement,
} from '../../../discovery/keyring/ring.ts'
import { parseRing, ringJson } from '../../../discovery/keyring/ring-codec.ts'
import { keyFingerprint } from '../../../discovery/mesh/cluster-key.ts'

const key = (n: number) => new Uint8Array(32).fill(n)
const name = (n: number) => keyFingerprint(key(n))
const install = (ring: Ring, n: number) =>
  mergeRings(ring, statement(ring, { fingerprint: name(n), version: nextVersion(ring), key: key(n) }))
const remove = (ring: Ring, n: number) =>
  mergeRings(ring, statement(ring, { fingerprint: name(n), version: nextVersion(ring), key: null }))
const use = (ring: Ring, n: number) => {
  const entry = ring.entries.find(({ fingerprint }) => fingerprint === name(n))
  if (entry === undefined) throw new Error('not installed')
  return mergeRings(ring, statement(ring, entry, { fingerprint: name(n), version: nextVersion(ring) }))
}
const keysOf = (ring: Ring) => installed(ring).map((entry) => entry.key[0])

t.test('install, use, remove', async (t) => {
  const one = firstRing(key(1))
  const both = install(one, 2)
  t.same(keysOf(both), [1, 2], 'the old one stays primary')
  const next = use(both, 2)
  t.same(keysOf(next), [2, 1])
  const last = remove(next, 1)
  t.same(keysOf(last), [2])
  t.equal(primaryOf(last), name(2))
})

t.test('a removal is not undone by a node that slept through it, in whatever order they meet', async (t) => {
  const before = install(firstRing(key(1)), 2)
  const after = remove(use(before, 2), 1)
  for (const merged of [mergeRings(before, after), mergeRings(after, before)]) {
    t.same(keysOf(merged), [2])
    t.equal(ringDigest(merged), ringDigest(after))
  }
  t.same(keysOf(mergeRings(firstRing(key(1)), after)), [2], 'nor by the key file')
})

t.test('two halves that each removed the key of the other keep one key, and the same one', async (t) => {
  const both = install(firstRing(key(1)), 2)
  const left = remove(use(both, 2), 1)
  const right = remove(both, 2)
  const merged = [mergeRings(left, right), mergeRings(right, left)]
  t.equal(merged[0] && installed(merged[0]).length, 1)
  t.same(merged.map(ringDigest), [ringDigest(merged[0] as Ring), ringDigest(merged[0] as Ring)])
})

t.test('a key that became primary while it was removed stays, until another one is primary', async (t) => {
  const three = install(install(firstRing(key(1)), 2), 3)
  const used = use(three, 2)
  for (const removed of [remove(three, 2), remove(install(three, 4), 2)]) {
    const merged = mergeRings(used, removed)
    t.equal(primaryOf(merged), name(2), 'the one that was chosen')
    t.ok(keysOf(merged).includes(2))
    t.same(mergeRings(removed, used), merged)
    t.same(mergeRings(mergeRings(merged, removed), used), merged)
    t.same(parseRing(JSON.parse(JSON.stringify(ringJson(merged)))), merged, 'over the wire and on disk')
    const back = install(merged, 2)
    t.notSame(ringDigest(back), ringDigest(merged), 'the removal can be taken back')
    t.ok(keysOf(use(back, 1)).includes(2))
    t.notOk(keysOf(use(merged, 1)).includes(2), 'else it counts as soon as another one is primary')
  }
})

t.test('a statement brings the primary key to who does not have it', async (t) => {
  const ring = use(install(firstRing(key(1)), 2), 2)
  const said = statement(ring, { fingerprint: name(1), version: nextVersion(ring), key: null })
  t.same(keysOf(mergeRings(firstRing(key(1)), said)), [2])
})

t.test('removed keys are remembered up to a bound, and keys are bounded', async (t) => {
  let ring = firstRing(key(1))
  for (let n = 2; n < 100; n += 1) ring = remove(install(ring, n), n)
  t.equal(ring.entries.length, 1 + 64)
  t.same(keysOf(ring), [1])
  for (let n = 100; n < 120; n += 1) ring = install(ring, n)
  t.equal(installed(ring).length, 8)
  t.equal(primaryOf(ring), name(1), 'the primary one is never pushed out')
})

const rings = fc
  .array(
    fc.record({
      n: fc.integer({ min: 1, max: 5 }),
      version: fc.integer({ min: 0, max: 6 }),
      gone: fc.boolean(),
    }),
    { maxLength: 8 },
  )
  .chain((entries) =>
    fc
      .record({ n: fc.integer({ min: 1, max: 5 }), version: fc.integer({ min: 0, max: 6 }) })
      .map((primary) => {
        const all = [{ n: 6, version: 0, gone: false }, ...entries].map(
          ({ n, version, gone }): Ring => ({
            entries: [{ fingerprint: name(n), version, key: gone ? null : key(n) } satisfies RingEntry],
            primary: { fingerprint: name(primary.n), version: primary.version },
          }),
        )
        return all.reduce(mergeRings)
      }),
  )

t.test('merging is commutative, associative and idempotent', async () => {
  fc.assert(
    fc.property(rings, rings, rings, (a, b, c) => {
      const same = (x: Ring, y: Ring) => ringDigest(x) === ringDigest(y)
      return (
        same(mergeRings(a, b), mergeRings(b, a)) &&
        same(mergeRings(a, mergeRings(b, c)), mergeRings(mergeRings(a, b), c)) &&
        same(mergeRings(a, a), a)
      )
    }),
  )
})

t.test('a ring survives the codec, and what is damaged is refused without a word of it', async (t) => {
  const ring = remove(use(install(firstRing(key(1)), 2), 2), 1)
  t.same(parseRing(JSON.parse(JSON.stringify(ringJson(ring)))), ring)
  const secret = Buffer.from(key(2)).toString('base64')
  const text = JSON.stringify(ringJson(ring))
  for (const damaged of [
    text.replace(secret, secret.replace('A', 'B')),
    text.replace(secret, ''),
    text.replace(/"version":\d/, '"version":-1'),
    text.replace(name(2), name(3)),
    '{}',
    '[]',
    'null',
    '{"entries":[],"primary":{}}',
  ]) {
    t.not(damaged, text)
    try {
      parseRing(JSON.parse(damaged))
      t.fail(damaged)
    } catch (error) {
      t.match(error, { code: 'KRG_BAD_MESSAGE' })
      t.notMatch(String(error), secret.slice(0, 8))
    }
  }
})
