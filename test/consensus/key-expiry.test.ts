import { pino } from 'pino'
import t from 'tap'
import { KeyExpiry } from '../../consensus/key-expiry.ts'
import type { LogRecord } from '../../consensus/state/codec.ts'
import type { Command } from '../../consensus/state/types.ts'
import { eventually, TestCluster } from './cluster.ts'
import { bytes, Machine } from './state/machine.ts'

const write = (key: string, ttlMs?: number, value = 'v') =>
  ({
    type: 'kv.set',
    key,
    value: bytes(value),
    flags: 0n,
    ...(ttlMs === undefined ? {} : { ttlMs }),
  }) as const

/** A leader's expiry over a state machine, on a clock of the test. */
function leader() {
  const m = new Machine()
  const proposed: Omit<LogRecord, 'at'>[] = []
  let leads = true
  let now = 0
  let failing = false
  const expiry = new KeyExpiry('origin', {
    clock: { now: () => now, wall: () => 0 },
    log: pino({ level: 'silent' }),
    state: () => m.state,
    isLeader: () => leads,
    propose: async (record) => {
      proposed.push(record)
      if (failing) throw new Error('dropped')
    },
  })
  return {
    m,
    expiry,
    proposed,
    apply(command: Command) {
      const result = m.apply(command)
      expiry.applied(command)
      return result
    },
    at(time: number) {
      now = time
      expiry.endExpired(now)
      return proposed.splice(0).map(({ command }) => command)
    },
    lose() {
      leads = false
      expiry.clear()
    },
    fail(value: boolean) {
      failing = value
    },
  }
}

t.test('a key goes when it was not written again in time', (t) => {
  const { m, apply, at } = leader()
  apply(write('k', 100))
  t.same(at(99), [])
  const [end] = at(100)
  t.same(end, { type: 'kv.expire', key: 'k', renewIndex: 1 })
  t.same(at(1_000), [], 'once')
  t.equal(m.apply(end as Command).ok, true)
  t.equal(m.get('k'), undefined)
  t.same([...m.changes.keys], ['k'])
  t.end()
})

t.test('writing it again gives it its full time, and no watcher is woken if nothing else changed', (t) => {
  const { m, apply, at } = leader()
  apply(write('k', 100))
  const [end] = at(100)
  apply(write('k', 100))
  t.equal(m.changes.keys.size, 0)
  t.equal(m.get('k')?.modifyIndex, 1)
  t.equal(m.apply(end as Command).ok, false, 'the write was before the end')
  t.ok(m.get('k'))
  t.same(at(199), [])
  t.same(at(200), [{ type: 'kv.expire', key: 'k', renewIndex: 2 }])
  t.end()
})

t.test('an attempt to write it that is lost gives it no more time', (t) => {
  const { apply, at } = leader()
  apply(write('k', 100))
  t.same(at(60), [])
  t.equal(apply({ ...write('k', 100, 'mine'), cas: 0 }).ok, false)
  t.same(at(100), [{ type: 'kv.expire', key: 'k', renewIndex: 1 }])
  t.end()
})

t.test('a write without a time to live makes it stay', (t) => {
  const { m, apply, at } = leader()
  apply(write('k', 100))
  apply(write('k'))
  t.equal(m.get('k')?.ttl, undefined)
  t.equal(m.changes.keys.size, 1, 'that is a change')
  t.same(at(1_000), [])
  apply(write('l', 100))
  m.session('s')
  m.lock('acquire', 'l', 's')
  t.equal(m.get('l')?.ttl, undefined, 'a locked key lives as its session does')
  t.same(at(2_000), [])
  t.end()
})

t.test('a new leader, or one that was paused, gives every key its full time', async (t) => {
  const { m, expiry, apply, at, lose, fail } = leader()
  apply(write('k', 100))
  t.same(at(90), [])
  expiry.restart()
  t.same(at(189), [])
  fail(true)
  t.equal(at(190).length, 1)
  await new Promise((resolve) => setImmediate(resolve))
  fail(false)
  t.same(at(289), [], 'what could not be proposed gets its time again')
  t.equal(at(290).length, 1)
  apply(write('k', 100))
  lose()
  t.same(at(1_000), [])
  t.same(
    [...m.state.expiringKeys()].map(({ key }) => key),
    ['k'],
  )
  t.end()
})

t.test('a snapshot brings the time to live along', async (t) => {
  const { m, apply } = leader()
  apply(write('k', 100))
  apply(write('gone', 100))
  apply({ type: 'kv.delete', key: 'gone' })
  const { StateMachine } = await import('../../consensus/state/state-machine.ts')
  const copy = await StateMachine.restore(m.state.snapshot())
  t.match([...copy.expiringKeys()], [{ key: 'k', ttl: { ms: 100, renewIndex: 1 } }])
})

t.test('on a cluster: it is gone everywhere, never before its time, and a new leader goes on', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const ids = await cluster.found(3)
  const first = await cluster.leader()
  const begin = performance.now()
  await cluster.client(ids[1] ?? '').propose(write('short', 300))
  await cluster.client(ids[1] ?? '').propose(write('long', 1_500))
  for (const id of ids) {
    await eventually(`short is gone on ${id}`, async () => {
      const { view } = await cluster.client(id).read('stale')
      return view.kvGet('long') !== undefined && view.kvGet('short') === undefined
    })
    t.ok(performance.now() - begin >= 300)
  }
  cluster.kill(first)
  const other = ids.find((id) => id !== first) ?? ''
  await eventually('long is gone', async () => {
    const { view } = await cluster.client(other).read('stale')
    return view.kvGet('long') === undefined
  })
  t.ok(performance.now() - begin >= 1_500)
})
