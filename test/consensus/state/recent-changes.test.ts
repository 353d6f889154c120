import fc from 'fast-check'
import t from 'tap'
import { CHANGES_BYTES_MAX, CHANGES_MAX, RecentChanges } from '../../../consensus/state/recent-changes.ts'
import { StateMachine } from '../../../consensus/state/state-machine.ts'
import type { ChangePosition, KvEntry } from '../../../consensus/state/types.ts'
import { bytes, Machine } from './machine.ts'

const START: ChangePosition = { index: 0, ordinal: null }

function entry(key: string, value = ''): KvEntry {
  return { key, value: bytes(value), flags: 0n, lockIndex: 0, session: null, createIndex: 1, modifyIndex: 1 }
}

/** Everything behind a position, fetched in steps of `limit`. */
function follow(state: StateMachine, from: ChangePosition, prefix = '', limit = 2) {
  const seen: [number, number | null, string, boolean][] = []
  for (let position = from; ; ) {
    const step = state.kvChanges(position, prefix, limit)
    if (step === null) return null
    for (const { index, ordinal, key, entry } of step.changes)
      seen.push([index, ordinal, key, entry !== null])
    if (step.changes.length === 0) return seen
    position = step.position
  }
}

t.test('each change once, in the order of the log, from any position', (t) => {
  const m = new Machine()
  m.set('a', '1')
  m.set('a', '1')
  m.set('b', '1')
  m.apply({ type: 'kv.deleteTree', prefix: '' })
  m.set('a', '2')
  const all = [
    [1, null, 'a', true],
    [3, null, 'b', true],
    [4, 1, 'a', false],
    [4, null, 'b', false],
    [5, null, 'a', true],
  ]
  t.same(follow(m.state, START), all)
  t.same(follow(m.state, { index: 4, ordinal: 1 }), all.slice(3), 'in the middle of a log entry')
  t.same(follow(m.state, { index: 4, ordinal: null }), all.slice(4))
  t.same(follow(m.state, { index: 2, ordinal: null }), all.slice(1))
  t.same(follow(m.state, { index: 5, ordinal: null }), [])
  t.same(follow(m.state, START, 'b', 1), [all[1], all[3]])
  t.equal(follow(m.state, { index: 6, ordinal: null }), null, 'the future of another store')
  t.end()
})

t.test('a copy knows what came after it was made', async (t) => {
  const m = new Machine()
  m.set('a', '1')
  m.set('b', '1')
  const copy = await StateMachine.restore(m.state.snapshot())
  t.equal(follow(copy, START), null)
  t.equal(follow(copy, { index: 1, ordinal: null }), null)
  t.same(follow(copy, { index: 2, ordinal: null }), [])
  t.equal(follow(copy, { index: 2, ordinal: 1 }), null, 'the rest of that entry is not known')
  m.state = copy
  m.set('c', '1')
  t.same(follow(copy, { index: 2, ordinal: null }), [[3, null, 'c', true]])
})

t.test('the oldest are forgotten whole, by number and by bytes', (t) => {
  const recent = new RecentChanges()
  const get = (key: string) => entry(key)
  recent.add(1, ['a', 'b', 'c'], get)
  for (let index = 2; index <= CHANGES_MAX - 1; index++) recent.add(index, ['k'], get)
  t.equal(recent.after(START, '', 1), null, 'one too many: all three of the first entry went')
  t.equal(recent.after({ index: 1, ordinal: 2 }, '', 1), null)
  t.same(recent.after({ index: 1, ordinal: null }, '', 1)?.changes[0]?.index, 2)

  const large = new RecentChanges()
  const value = 'x'.repeat(CHANGES_BYTES_MAX / 4)
  for (let index = 1; index <= 4; index++) large.add(index, ['k'], (key) => entry(key, value))
  t.equal(large.after(START, '', 9), null)
  t.same(
    large.after({ index: 1, ordinal: null }, '', 9)?.changes.map(({ index }) => index),
    [2, 3, 4],
  )
  large.add(5, ['k'], (key) => entry(key, value.repeat(5)))
  t.equal(
    large.after({ index: 4, ordinal: null }, '', 9),
    null,
    'a change larger than the bound is no exception',
  )
  t.same(large.after({ index: 5, ordinal: null }, '', 9)?.changes, [])
  t.end()
})

t.test('property: following in any steps gives what following at once gives', (t) => {
  const counts = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 30 })
  fc.assert(
    fc.property(counts, fc.integer({ min: 1, max: 5 }), fc.nat(), (sizes, limit, pick) => {
      const recent = new RecentChanges()
      sizes.forEach((size, i) => {
        recent.add(
          i + 1,
          Array.from({ length: size }, (_, n) => `k${n}`),
          (key) => entry(key),
        )
      })
      const all = recent.after(START, '', Number.POSITIVE_INFINITY)?.changes ?? []
      const from = all.length === 0 ? 0 : pick % all.length
      const [at] = all.slice(from, from + 1)
      let position: ChangePosition = at === undefined ? START : { index: at.index, ordinal: at.ordinal }
      const seen: unknown[] = at === undefined ? [] : all.slice(0, from + 1)
      for (;;) {
        const step = recent.after(position, '', limit)
        if (step === null || step.changes.length === 0) break
        seen.push(...step.changes)
        position = step.position
      }
      t.same(seen, all)
    }),
    { numRuns: 200, seed: 3 },
  )
  t.end()
})
