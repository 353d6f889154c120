import fc from 'fast-check'
import t from 'tap'
import { keyToText, textToKey } from '../../../consensus/state/keys.ts'
import {
  Draft,
  evaluateTransaction,
  READ_BYTES_MAX,
  RESULT_BYTES_MAX,
  readTransaction,
  TREE_KEYS_MAX,
} from '../../../consensus/state/transaction.ts'
import type { KvOperation, TransactionOutcome } from '../../../consensus/state/types.ts'
import { bytes, Machine } from './machine.ts'

type Loose = { verb: KvOperation['verb']; key?: string; value?: string; index?: number; session?: string }

function operation({ verb, key = 'k', value = '', index = 0, session = '' }: Loose): KvOperation {
  return { verb, key: textToKey(key), value: bytes(value), flags: 0n, index, session } as KvOperation
}

function run(m: Machine, ...operations: Loose[]): TransactionOutcome {
  const result = m.apply({ type: 'kv.txn', operations: operations.map(operation) })
  t.equal(result.error, undefined)
  t.equal(result.ok, result.transaction?.errors.length === 0)
  return result.transaction as TransactionOutcome
}

const shown = ({ results }: TransactionOutcome) =>
  results.map(({ key, value, modifyIndex }) => [keyToText(key), new TextDecoder().decode(value), modifyIndex])

/** Keys with everything about them. */
const keys = (m: Machine) => m.state.kvList('').map((entry) => ({ ...entry, value: [...entry.value] }))

t.test(
  'each operation sees what those before it did, and all share one index (golden transcript A.3)',
  (t) => {
    const m = new Machine()
    m.set('old', '0')
    const outcome = run(
      m,
      { verb: 'set', key: 't/a', value: '1' },
      { verb: 'get', key: 't/a' },
      { verb: 'delete', key: 'gone' },
      { verb: 'set', key: 't/b', value: '2' },
      { verb: 'get-tree', key: 't/' },
      { verb: 'delete-tree', key: 't/a' },
      { verb: 'get-tree', key: 't/' },
      { verb: 'check-not-exists', key: 't/a' },
      { verb: 'get-or-empty', key: 't/a' },
    )
    t.same(outcome.errors, [])
    const { index } = m
    t.same(shown(outcome), [
      ['t/a', '', index],
      ['t/a', '1', index],
      ['t/b', '', index],
      ['t/a', '1', index],
      ['t/b', '2', index],
      ['t/b', '2', index],
      ['t/a', '', 0],
    ])
    t.same([...m.changes.keys].map(keyToText), ['t/b'], 'what came and went changed nothing')
    t.equal(m.value('old'), '0')
    t.end()
  },
)

t.test('every failure is listed, with these words, and nothing is done', (t) => {
  const m = new Machine()
  m.session('s1')
  m.session('s2')
  m.session('late', { lockDelayMs: 5_000 })
  m.set('a', '1')
  m.lock('acquire', 'held', 's1')
  m.lock('acquire', 'resting', 'late')
  m.destroy('late')
  const a = m.get('a')?.modifyIndex ?? 0
  const before = keys(m)
  const failures: [Loose, string][] = [
    [{ verb: 'cas', key: 'a', index: a + 1 }, 'failed to set key "a", index is stale'],
    [{ verb: 'cas', key: 'a', index: 0 }, 'failed to set key "a", index is stale'],
    [{ verb: 'cas', key: 'none', index: 5 }, 'failed to set key "none", index is stale'],
    [{ verb: 'lock', key: 'held', session: 's2' }, 'failed to lock key "held", lock is already held'],
    [{ verb: 'lock', key: 'resting', session: 's2' }, 'failed to lock key "resting" due to lock delay'],
    [{ verb: 'lock', key: 'a', session: 'nobody' }, 'invalid session "nobody"'],
    [{ verb: 'lock', key: 'a', session: '' }, 'missing session'],
    [
      { verb: 'unlock', key: 'held', session: 's2' },
      'failed to unlock key "held", lock isn\'t held, or is held by another session',
    ],
    [
      { verb: 'unlock', key: 'none', session: 's2' },
      'failed to unlock key "none", lock isn\'t held, or is held by another session',
    ],
    [{ verb: 'get', key: 'none' }, 'key "none" doesn\'t exist'],
    [{ verb: 'check-index', key: 'none', index: 1 }, 'failed to check index, key "none" doesn\'t exist'],
    [
      { verb: 'check-index', key: 'a', index: 1 },
      `failed index check for key "a", current modify index ${a} != 1`,
    ],
    [
      { verb: 'check-session', key: 'none', session: 's1' },
      'failed to check session, key "none" doesn\'t exist',
    ],
    [
      { verb: 'check-session', key: 'a', session: 's1' },
      'failed session check for key "a", current session "" != "s1"',
    ],
    [
      { verb: 'check-session', key: 'held', session: 's2' },
      'failed session check for key "held", current session "s1" != "s2"',
    ],
    [{ verb: 'check-not-exists', key: 'a' }, 'key "a" exists'],
    [{ verb: 'delete-cas', key: 'a', index: 1 }, 'failed to delete key "a", index is stale'],
  ]
  const outcome = run(m, { verb: 'set', key: 'new', value: 'x' }, ...failures.map(([loose]) => loose))
  t.same(outcome.results, [])
  t.same(
    outcome.errors,
    failures.map(([, what], i) => ({ operation: i + 1, what })),
  )
  t.same(keys(m), before)
  t.equal(m.changes.keys.size, 0)
  t.same(run(m, { verb: 'get-tree', key: 'zzz' }).results, [], 'an empty tree is no failure')
  t.same(run(m, { verb: 'delete-cas', key: 'none', index: 7 }).errors, [])
  t.end()
})

t.test('locks within a transaction are those of the keys', (t) => {
  const m = new Machine()
  m.session('s', { behavior: 'delete' })
  run(
    m,
    { verb: 'lock', key: 'l', session: 's', value: 'mine' },
    { verb: 'check-session', key: 'l', session: 's' },
  )
  t.match(m.get('l'), { session: 's', lockIndex: 1 })
  run(m, { verb: 'check-session', key: 'l', session: 's' }, { verb: 'set', key: 'guarded', value: '1' })
  t.equal(m.value('guarded'), '1')
  m.destroy('s')
  t.equal(m.get('l'), undefined, 'the session knew of the key it locked in a transaction')
  t.equal(run(m, { verb: 'check-session', key: 'l', session: 's' }).errors.length, 1)
  t.end()
})

t.test('an unchanged write keeps its index, also for the checks behind it', (t) => {
  const m = new Machine()
  m.set('a', '1')
  const index = m.get('a')?.modifyIndex ?? 0
  const outcome = run(m, { verb: 'set', key: 'a', value: '1' }, { verb: 'check-index', key: 'a', index })
  t.same(outcome.errors, [])
  t.equal(m.get('a')?.modifyIndex, index)
  t.equal(m.changes.keys.size, 0)
  t.end()
})

t.test('a result that is too large fails the transaction, on every node alike', (t) => {
  const m = new Machine()
  const half = 'x'.repeat(RESULT_BYTES_MAX / 2)
  m.set('big/1', half)
  m.set('big/2', half)
  const outcome = run(m, { verb: 'set', key: 'n', value: 'x' }, { verb: 'get-tree', key: 'big/' })
  t.same(outcome.errors, [
    { operation: 1, what: `the results of the transaction are larger than ${RESULT_BYTES_MAX} bytes` },
  ])
  t.equal(m.get('n'), undefined)
  const read = readTransaction(m.state, [operation({ verb: 'get-tree', key: 'big/' })])
  t.equal(read.results.length, 2, 'one that only reads stays on its node')
  t.end()
})

t.test('what only reads is bounded too: it is one answer', (t) => {
  const m = new Machine()
  m.set('big', 'x'.repeat(READ_BYTES_MAX / 16))
  const tree = operation({ verb: 'get-tree', key: '' })
  t.equal(readTransaction(m.state, Array(15).fill(tree)).results.length, 15)
  t.same(readTransaction(m.state, Array(128).fill(tree)).errors, [
    { operation: 15, what: `the results of the transaction are larger than ${READ_BYTES_MAX} bytes` },
  ])
  t.end()
})

t.test('operations on trees cannot keep a node busy: the keys they look at are counted together', (t) => {
  let lists = 0
  const entry = {
    key: 'k',
    value: bytes(''),
    flags: 0n,
    lockIndex: 0,
    session: null,
    createIndex: 1,
    modifyIndex: 1,
  }
  const below = {
    get: () => entry,
    list: () => {
      lists++
      return Array(TREE_KEYS_MAX / 4 - 1).fill(entry)
    },
  }
  const rules = { hasSession: () => true, isDelayed: () => false }
  const deletions = (count: number) => Array(count).fill(operation({ verb: 'delete-tree', key: '' }))
  t.same(evaluateTransaction(new Draft(below), rules, 2, deletions(4)).errors, [])
  lists = 0
  t.same(evaluateTransaction(new Draft(below), rules, 2, deletions(128)).errors, [
    { operation: 4, what: `the transaction looks at more than ${TREE_KEYS_MAX} keys` },
  ])
  t.equal(lists, 5)
  t.end()
})

t.test('property: all or nothing, and the same as one write after the other', (t) => {
  const key = fc.constantFrom('a', 'a/1', 'a/2', 'b')
  const step = fc.record({
    verb: fc.constantFrom(
      'set',
      'cas',
      'lock',
      'unlock',
      'delete',
      'delete-cas',
      'delete-tree',
    ) as fc.Arbitrary<KvOperation['verb']>,
    key,
    value: fc.constantFrom('', '1', '2'),
    index: fc.constantFrom(0, 3, 4, 5),
    session: fc.constantFrom('s1', 's2'),
  })
  const prepare = () => {
    const m = new Machine()
    m.session('s1')
    m.session('s2')
    m.set('a', '1')
    m.set('a/1', '1')
    m.lock('acquire', 'b', 's1', '1')
    return m
  }
  fc.assert(
    fc.property(fc.array(step, { maxLength: 6 }), (steps) => {
      const m = prepare()
      const before = keys(m)
      const { errors } = run(m, ...steps)
      if (errors.length > 0) {
        t.same(keys(m), before)
        return
      }
      const one = prepare()
      for (const loose of steps) one.apply({ type: 'kv.txn', operations: [operation(loose)] })
      const bare = (machine: Machine) =>
        keys(machine).map(({ createIndex: _c, modifyIndex: _m, ...rest }) => rest)
      // Indexes differ: there one entry for each, here one for all. A comparison with one may come out otherwise.
      if (!steps.some(({ verb }) => verb === 'cas' || verb === 'delete-cas')) t.same(bare(m), bare(one))
    }),
    { numRuns: 300, seed: 7 },
  )
  t.end()
})

t.test('a key that is deleted and written again is a new one, also with the same content', (t) => {
  const m = new Machine()
  m.set('k', 'v')
  const [entry] = run(m, { verb: 'delete' }, { verb: 'set', value: 'v' }).results
  t.match(m.get('k'), { createIndex: m.index, modifyIndex: m.index })
  t.match(entry, { createIndex: m.index, modifyIndex: m.index }, 'as the client was told')
  t.ok(m.changes.keys.has(textToKey('k')), 'and watchers are told')
  t.end()
})

t.test('a key that is changed and changed back has the index that the client is told', (t) => {
  const m = new Machine()
  m.set('k', 'v')
  const entry = run(m, { verb: 'set', value: 'other' }, { verb: 'set', value: 'v' }).results.at(-1)
  t.match(m.get('k'), { createIndex: 1, modifyIndex: m.index })
  t.match(entry, { createIndex: 1, modifyIndex: m.index })
  const again = run(m, { verb: 'set', value: 'v' }).results[0]
  t.match(again, { modifyIndex: m.index - 1 }, 'one that was never changed keeps its own')
  t.match(m.get('k'), { modifyIndex: m.index - 1 })
  t.equal(m.changes.keys.size, 0)
  t.end()
})
