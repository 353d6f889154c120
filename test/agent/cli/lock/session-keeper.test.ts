import t from 'tap'
import { SessionKeeper } from '../../../../agent/cli/lock/session-keeper.ts'
import { FakeClock } from './fake-clock.ts'

/** A keeper of a session with a TTL of 15 s and 5 s of notice, made at 1000. */
function keep() {
  const clock = new FakeClock(1000)
  const lost: { readonly at: number; readonly why: string }[] = []
  /** The renewals that were sent and are not answered yet. */
  const sent: {
    readonly at: number
    answer(exists: boolean): Promise<void>
    fail(why: string): Promise<void>
  }[] = []
  let count = 0
  const keeper = new SessionKeeper(
    {
      ttlMs: 15_000,
      noticeMs: 5000,
      clock,
      renew() {
        count++
        const { promise, resolve, reject } = Promise.withResolvers<boolean>()
        sent.push({
          at: clock.now(),
          answer: (exists) => settle(() => resolve(exists)),
          fail: (why) => settle(() => reject(new Error(why))),
        })
        return promise
      },
      onLost: (why) => lost.push({ at: clock.now(), why }),
    },
    clock.now(),
  )
  const settle = async (act: () => void) => {
    sent.shift()
    act()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { clock, keeper, lost, sent, count: () => count }
}

t.test('renews at a third of the TTL, and counts from the moment of sending', async (t) => {
  const { clock, keeper, lost, sent, count } = keep()
  t.equal(keeper.deadline, 16_000)
  clock.advance(4999)
  t.equal(count(), 0)
  clock.advance(1)
  t.equal(sent[0]?.at, 6000)
  // The answer takes 4 s: the session may have been renewed right after sending.
  clock.advance(4000)
  t.equal(keeper.deadline, 16_000, 'nothing counts before it is confirmed')
  await sent[0]?.answer(true)
  t.equal(keeper.deadline, 21_000)
  clock.advance(999)
  t.equal(count(), 1)
  clock.advance(1)
  t.equal(sent[0]?.at, 11_000, 'the next one a third of the TTL after the last was sent')
  await sent[0]?.answer(true)
  t.equal(keeper.deadline, 26_000)
  t.strictSame(lost, [])
  keeper.stop()
})

t.test('without an answer the loss is told a notice before the deadline', async (t) => {
  const { clock, keeper, lost, sent } = keep()
  clock.advance(5000)
  clock.advance(4999)
  t.strictSame(lost, [])
  clock.advance(1)
  t.strictSame(lost, [{ at: 11_000, why: 'the session was not renewed for 10 s' }])
  t.equal(keeper.deadline - clock.now(), 5000, 'a notice before it')
  await sent[0]?.answer(true)
  t.equal(keeper.deadline, 16_000, 'an answer that comes later changes nothing')
  clock.advance(60_000)
  t.equal(lost.length, 1, 'told once')
})

t.test('a renewal that failed is tried again every second', async (t) => {
  const { clock, keeper, lost, sent, count } = keep()
  clock.advance(5000)
  await sent[0]?.fail('refused')
  clock.advance(1000)
  await sent[0]?.fail('No cluster leader')
  clock.advance(1000)
  await sent[0]?.answer(true)
  t.equal(count(), 3)
  t.equal(keeper.deadline, 1000 + 7000 + 15_000)
  clock.advance(5000)
  for (let second = 0; second < 5; second++) {
    await sent[0]?.fail('No cluster leader')
    clock.advance(1000)
  }
  t.strictSame(lost, [{ at: 18_000, why: 'the session was not renewed for 10 s: No cluster leader' }])
  await sent[0]?.fail('x')
  const renewals = count()
  clock.advance(60_000)
  t.equal(count(), renewals, 'no renewal after the loss')
})

t.test('a session that is gone is lost at once, and so is one of which somebody saw it', async (t) => {
  const gone = keep()
  gone.clock.advance(5000)
  await gone.sent[0]?.answer(false)
  t.strictSame(gone.lost, [{ at: 6000, why: 'its session has ended' }])
  const seen = keep()
  seen.keeper.lose('held by another')
  seen.keeper.lose('again')
  t.strictSame(seen.lost, [{ at: 1000, why: 'held by another' }])
  t.equal(seen.keeper.lost, 'held by another')
  seen.clock.advance(60_000)
  t.equal(seen.count(), 0)
})

t.test('after a pause of the process the deadline comes first', async (t) => {
  const { clock, lost, sent } = keep()
  clock.advance(5000)
  await sent[0]?.answer(true)
  // The process was stopped for 20 s: every timer is due at once, the deadline has passed.
  clock.jump(20_000)
  t.equal(lost.length, 1)
})

t.test('a stopped keeper does nothing', async (t) => {
  const { clock, keeper, lost, count } = keep()
  keeper.stop()
  clock.advance(60_000)
  keeper.lose('late')
  t.strictSame([count(), lost.length, keeper.lost], [0, 0, null])
})
