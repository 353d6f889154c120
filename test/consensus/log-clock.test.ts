import t from 'tap'
import { LogClock } from '../../consensus/log-clock.ts'
import { set, TestCluster } from './cluster.ts'
import { SESSION } from './state/machine.ts'

t.test('it goes on from the log, at the pace of the monotonic clock', (t) => {
  let now = 5_000
  const clock = new LogClock({ now: () => now })
  t.equal(clock.stamp(1, { logTime: 1_000_000 }), 1_000_000)
  now += 250.7
  t.equal(clock.stamp(1, { logTime: 1_000_000 }), 1_000_250)
  t.equal(clock.stamp(1, { logTime: 1_000_900 }), 1_000_900, 'what was applied meanwhile is later')
  now += 10
  t.equal(clock.stamp(1, { logTime: 1_000_900 }), 1_000_910)
  now += 60_000
  t.equal(clock.stamp(3, { logTime: 1_000_950 }), 1_000_950, 'it stood still while others led or nobody')
  now += 5
  t.equal(clock.stamp(3, { logTime: 1_000_950 }), 1_000_955)
  t.end()
})

t.test('a wall clock that leaps ends no lock delay', async (t) => {
  let wall = 1_000_000
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(1, { clock: { now: () => performance.now(), wall: () => wall } })
  const client = cluster.client('a')
  const session = (id: string) =>
    client.propose({ type: 'session.create', session: { ...SESSION, id, lockDelayMs: 60_000 } })
  const lock = async (id: string) => {
    const { ok } = await client.propose({
      type: 'kv.acquire',
      key: 'k',
      value: new Uint8Array(),
      flags: 0n,
      session: id,
    })
    return ok
  }
  await session('first')
  await session('second')
  t.equal(await lock('first'), true)
  await client.propose({ type: 'session.destroy', id: 'first' })
  t.equal(await lock('second'), false)
  wall += 24 * 60 * 60_000
  await client.propose(set('other', 'x'))
  t.equal(await lock('second'), false, 'a day ahead')
  wall = 0
  t.equal(await lock('second'), false, 'long ago')
})
