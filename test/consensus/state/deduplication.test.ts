import t from 'tap'
import { Deduplication } from '../../../consensus/state/deduplication.ts'
import { StateMachine } from '../../../consensus/state/state-machine.ts'
import { bytes, Machine, snapshotBytes } from './machine.ts'

const increment = (value: string) => ({ type: 'kv.set', key: 'k', value: bytes(value), flags: 0n }) as const

t.test('B28: a repeated proposal is applied once and answered the same', async (t) => {
  const m = new Machine()
  const stamp = { origin: 'a', sequence: 1, acknowledged: 1 }
  const first = m.apply(increment('1'), stamp)
  m.apply(increment('2'), { origin: 'b', sequence: 1, acknowledged: 1 })
  const again = m.apply(increment('1'), stamp)
  t.same(again, first)
  t.equal(m.value('k'), '2', 'the later write of another stays')
  t.equal(m.changes.keys.size, 0)
  t.equal(m.state.appliedIndex, 3)
})

t.test('B28: a refusal is remembered too', async (t) => {
  const m = new Machine()
  const stamp = { origin: 'a', sequence: 1, acknowledged: 1 }
  t.equal(m.apply({ ...increment('1'), cas: 7 }, stamp).ok, false)
  m.set('k', 'x')
  t.equal(m.apply({ ...increment('1'), cas: 2 }, stamp).ok, false)
})

t.test('results are kept while they may be asked for, and no longer', async (t) => {
  const d = new Deduplication()
  for (const sequence of [1, 2, 3]) d.record('a', sequence, 1, { index: sequence, ok: true })
  t.equal(d.find('a', 2)?.index, 2)
  d.record('a', 4, 3, { index: 4, ok: true })
  t.equal(d.find('a', 2), undefined)
  t.equal(d.isSettled('a', 2), true)
  t.equal(d.isSettled('a', 3), false)
  t.equal(d.find('a', 3)?.index, 3)
  d.record('a', 900, 900, { index: 5, ok: true })
  t.same(
    d.records()[0]?.results.map(([sequence]) => sequence),
    [900],
    'also over a large step',
  )
})

t.test('a copy that strays in after its proposer gave it up is not applied', async (t) => {
  const m = new Machine()
  m.apply(increment('2'), { origin: 'a', sequence: 2, acknowledged: 2 })
  t.equal(m.apply(increment('1'), { origin: 'a', sequence: 1, acknowledged: 1 }).ok, false)
  t.equal(m.value('k'), '2')
})

t.test('proposers are bounded; the one silent longest goes first', async (t) => {
  const d = new Deduplication()
  d.record('old', 1, 1, { index: 1, ok: true })
  d.record('busy', 1, 1, { index: 2, ok: true })
  for (let i = 0; i < 1023; i++) {
    d.record(`o${i}`, 1, 1, { index: 3 + i, ok: true })
    if (i === 500) d.record('busy', 2, 1, { index: 9000, ok: true })
  }
  t.equal(d.find('old', 1), undefined)
  t.equal(d.find('busy', 1)?.index, 2)
  t.equal(d.records().length, 1024)
})

t.test('results too large for one record of a snapshot are spread over several', async (t) => {
  const m = new Machine()
  m.set('k', 'x'.repeat(3 << 20))
  const read = {
    type: 'kv.txn',
    operations: [
      { verb: 'get-tree', key: '' },
      { verb: 'delete', key: 'no' },
    ],
  } as const
  for (const sequence of [1, 2, 3]) m.apply(read, { origin: 'a', sequence, acknowledged: 1 })
  const records = [...m.state.snapshot()]
  t.equal(records.filter(({ length }) => length > 4 << 20).length, 0, 'none outgrows a network frame')
  const copy = await StateMachine.restore(records)
  t.equal(snapshotBytes(copy), snapshotBytes(m.state))
  for (const sequence of [1, 2, 3]) {
    const record = { at: 0, origin: 'a', sequence, acknowledged: 1, command: read }
    t.equal(copy.apply(9 + sequence, record).result.transaction?.results.length, 1)
    t.equal(copy.apply(9 + sequence, record).result.index, 1 + sequence, 'what the first one answered')
  }
})
