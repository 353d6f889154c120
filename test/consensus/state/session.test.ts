import t from 'tap'
import { Machine } from './machine.ts'

t.test('a lock is taken by one session, again by the same, and by another once it is free', async (t) => {
  const m = new Machine()
  m.session('s1')
  m.session('s2')
  t.equal(m.lock('acquire', 'k', 's1', 'one').ok, true)
  t.match(m.get('k'), { session: 's1', lockIndex: 1, modifyIndex: 3 })
  t.equal(m.lock('acquire', 'k', 's2').ok, false)
  t.equal(m.value('k'), 'one', 'who does not get it changes nothing')
  t.equal(m.lock('acquire', 'k', 's1', 'again').ok, true)
  t.match(m.get('k'), { lockIndex: 1, modifyIndex: 5 })
  t.equal(m.lock('release', 'k', 's2').ok, false)
  t.equal(m.lock('release', 'k', 's1', 'left').ok, true)
  t.match(m.get('k'), { session: null, lockIndex: 1 })
  t.equal(m.value('k'), 'left', 'a release writes its value')
  t.equal(m.lock('acquire', 'k', 's2').ok, true)
  t.match(m.get('k'), { session: 's2', lockIndex: 2 })
})

t.test('locks of sessions that are not there are refused with the text clients match', async (t) => {
  const m = new Machine()
  t.match(m.lock('acquire', 'k', 'no'), { ok: false, error: 'invalid session "no"' })
  t.match(m.lock('acquire', 'k', ''), { ok: false, error: 'missing session' })
  t.match(m.lock('release', 'k', ''), { ok: false, error: 'missing session' })
  t.match(m.lock('release', 'k', 'no'), { ok: false, error: undefined })
  t.equal(m.get('k'), undefined)
})

t.test(
  'locks are advisory: a plain write and a delete go through, the holder and LockIndex stay',
  async (t) => {
    const m = new Machine()
    m.session('s')
    m.lock('acquire', 'k', 's')
    t.equal(m.set('k', 'x'), true)
    t.match(m.get('k'), { session: 's', lockIndex: 1 })
    t.equal(m.delete('k'), true)
    m.destroy('s')
    t.equal(m.changes.keys.size, 0, 'the session no longer holds the deleted key')
  },
)

for (const behavior of ['release', 'delete'] as const) {
  t.test(`the end of a session frees what it held in one entry (${behavior})`, async (t) => {
    const m = new Machine()
    m.session('s', { behavior })
    m.session('other')
    m.lock('acquire', 'b', 's', 'kept')
    m.lock('acquire', 'a', 's')
    m.lock('acquire', 'c', 'other')
    m.lock('acquire', 'd', 's')
    m.lock('release', 'd', 's')
    m.destroy('s')
    t.same([...m.changes.keys].sort(), ['a', 'b'])
    t.equal(m.changes.sessions, true)
    t.equal(m.state.sessionsIndex, m.index)
    t.equal(m.state.session('s'), undefined)
    t.equal(m.get('c')?.session, 'other')
    if (behavior === 'delete') t.equal(m.get('a'), undefined)
    else t.match(m.get('b'), { session: null, modifyIndex: m.index, lockIndex: 1 })
    t.equal(m.state.kvPrefixIndex('a'), m.index)
  })
}

t.test(
  'the lock-delay holds off others after a session ended, by log time, not after a release',
  async (t) => {
    const m = new Machine()
    m.session('s1', { lockDelayMs: 5000 })
    m.session('s2')
    m.lock('acquire', 'ended', 's1')
    m.lock('acquire', 'released', 's1')
    m.lock('release', 'released', 's1')
    m.destroy('s1')
    t.equal(m.lock('acquire', 'released', 's2').ok, true)
    t.equal(m.lock('acquire', 'ended', 's2').ok, false)
    m.at += 4999
    t.equal(m.lock('acquire', 'ended', 's2').ok, false)
    m.at += 1
    t.equal(m.lock('acquire', 'ended', 's2').ok, true)
  },
)

t.test('log time never goes back when a leader with a slower clock takes over', async (t) => {
  const m = new Machine()
  m.session('s1', { lockDelayMs: 1000 })
  m.session('s2')
  m.lock('acquire', 'k', 's1')
  m.at += 10_000
  m.set('x', '')
  m.at -= 10_000
  m.destroy('s1')
  m.at += 9500
  t.equal(m.lock('acquire', 'k', 's2').ok, false, 'counted from the latest time seen')
})

t.test('a session id is used once; ending an unknown one is fine', async (t) => {
  const m = new Machine()
  t.match(m.session('s', { name: 'x' }), { ok: true, index: 1 })
  t.match(m.state.session('s'), { name: 'x', createIndex: 1, modifyIndex: 1 })
  t.match(m.session('s'), { ok: false, error: 'session "s" exists' })
  t.equal(m.state.sessionsIndex, 1)
  t.match(m.apply({ type: 'session.destroy', id: 'no' }), { ok: true })
  t.equal(m.state.sessionsIndex, 1)
})
