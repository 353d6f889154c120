import t from 'tap'
import { textToKey } from '../../../consensus/state/keys.ts'
import { StateMachine } from '../../../consensus/state/state-machine.ts'
import { bytes, Machine } from './machine.ts'

t.test('a write keeps CreateIndex, raises ModifyIndex, and does neither if nothing changes', async (t) => {
  const m = new Machine()
  m.set('k', '1')
  m.set('k', '2')
  t.match(m.get('k'), { createIndex: 1, modifyIndex: 2, lockIndex: 0, session: null, flags: 0n })
  t.equal(m.set('k', '2'), true)
  t.equal(m.get('k')?.modifyIndex, 2)
  t.equal(m.changes.keys.size, 0, 'so it wakes nobody')
  t.equal(m.state.kvPrefixIndex(''), 2)
  m.apply({ type: 'kv.set', key: 'k', value: bytes('2'), flags: 2n ** 64n - 1n })
  t.match(m.get('k'), { modifyIndex: 4, flags: 2n ** 64n - 1n }, 'flags count')
})

t.test('cas: 0 creates, a number must be the ModifyIndex', async (t) => {
  const m = new Machine()
  t.equal(m.set('k', '1', 5), false, 'there is none to compare')
  t.equal(m.set('k', '1', 0), true)
  t.equal(m.set('k', '2', 0), false)
  t.equal(m.set('k', '2', 1), false)
  t.equal(m.set('k', '2', 2), true)
  t.equal(m.value('k'), '2')
})

t.test('delete: a missing key is fine, cas only if the key is there, prefixes by byte', async (t) => {
  const m = new Machine()
  t.equal(m.delete('none'), true)
  t.equal(m.delete('none', 7), true)
  m.set('foo', '')
  t.equal(m.delete('foo', 1), false)
  t.equal(m.delete('foo', 3), true)
  t.equal(m.get('foo'), undefined)
  for (const key of ['foo', 'foobar', 'fo', 'g']) m.set(key, '')
  m.apply({ type: 'kv.deleteTree', prefix: 'foo' })
  t.same([...m.changes.keys].sort(), ['foo', 'foobar'])
  t.same(
    m.state.kvList('').map(({ key }) => key),
    ['fo', 'g'],
  )
})

t.test('lists are in bytewise order, also beyond ASCII', async (t) => {
  const m = new Machine()
  for (const key of ['ä', 'z', 'a/', 'a', '€', 'a0']) m.set(key, '')
  t.same(
    m.state.kvList('').map(({ key }) => key),
    ['a', 'a/', 'a0', 'z', 'ä', '€'].map(textToKey),
  )
  t.same(
    m.state.kvList('a').map(({ key }) => key),
    ['a', 'a/', 'a0'],
  )
  m.apply({ type: 'kv.set', key: '\xff\xff', value: bytes(''), flags: 0n })
  t.equal(m.state.kvList('\xff').length, 1, 'a prefix without a successor')
})

t.test(
  'the index of a prefix rises with every change below it, deletions too, and with no other',
  async (t) => {
    const m = new Machine()
    m.set('a/1', '')
    m.set('b/1', '')
    t.equal(m.state.kvPrefixIndex('a/'), 1)
    m.delete('a/1')
    t.equal(m.state.kvPrefixIndex('a/'), 3, 'by the tombstone')
    t.equal(m.state.kvPrefixIndex('b/'), 2)
    t.equal(m.state.kvPrefixIndex('c/'), 3, 'nothing there: the index of the table')
    m.set('a/1', '')
    t.equal(m.state.kvPrefixIndex('a/'), 4)
    t.equal(new Machine().state.kvPrefixIndex(''), 1, 'never 0')
  },
)

t.test('who asks for the index of a prefix again is answered what holds then', async (t) => {
  const m = new Machine()
  const ask = () => ['a/', 'b/', 'none/', ''].map((prefix) => m.state.kvPrefixIndex(prefix))
  m.set('a/1', '')
  m.set('b/1', '')
  t.same(ask(), [1, 2, 2, 2])
  t.same(ask(), [1, 2, 2, 2])
  m.set('b/1', '')
  t.same(ask(), [1, 2, 2, 2], 'an unchanged write')
  m.apply({ type: 'kv.deleteTree', prefix: 'b/' })
  t.same(ask(), [1, 4, 4, 4])
  m.set('none/1', '')
  t.same(ask(), [1, 4, 5, 5])
  const copy = await StateMachine.restore(m.state.snapshot())
  t.same(
    ['a/', 'b/', 'none/', ''].map((prefix) => copy.kvPrefixIndex(prefix)),
    [1, 4, 5, 5],
  )
})

t.test('forgotten tombstones never let the index of a prefix fall', async (t) => {
  const m = new Machine()
  m.set('keep/1', '')
  m.set('p/x', '')
  m.delete('p/x')
  const before = m.state.kvPrefixIndex('p/')
  for (let i = 0; i < 20_001; i++) {
    m.set(`t/${i}`, '')
    m.delete(`t/${i}`)
  }
  t.ok(m.state.kvPrefixIndex('p/') >= before)
  t.ok(m.state.kvPrefixIndex('keep/') > 1, 'whose tombstone is gone cannot be told any more')
  const [head] = [...m.state.snapshot()].filter((record) => record.length > 1 << 16)
  t.equal(head, undefined, 'and no record of a snapshot is large')
})
