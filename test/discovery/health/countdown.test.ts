import t from 'tap'
import { countdown } from '../../../discovery/health/countdown.ts'
import { FakeTimers } from './fixtures.ts'

t.test('fires after the whole time, whatever the slices', async (t) => {
  for (const sliceMs of [100, 250, 1_000, 60_000]) {
    const timers = new FakeTimers()
    let fired = 0
    countdown(timers, 1_000, sliceMs, () => fired++)
    timers.advance(999)
    t.equal(fired, 0)
    timers.advance(1)
    t.equal(fired, 1)
    timers.advance(60_000)
    t.equal(fired, 1)
  }
})

t.test('a cancelled one does not fire', async (t) => {
  const timers = new FakeTimers()
  const timer = countdown(timers, 1_000, 250, () => t.fail('fired'))
  timers.advance(500)
  timer.cancel()
  timers.advance(5_000)
  t.same(timers.pending(), [])
})

t.test('time in which the process stood still costs one slice', async (t) => {
  const timers = new FakeTimers()
  let firedAt = 0
  countdown(timers, 1_000, 250, () => {
    firedAt = timers.now()
  })
  timers.advance(100)
  timers.stall(30_000)
  timers.advance(749)
  t.equal(firedAt, 0)
  timers.advance(1)
  t.equal(firedAt, 30_850, 'the other three are still given')
})

t.test('an end that comes late is put off, so that what has arrived can be read', async (t) => {
  for (const [lateMs, putOffMs] of [
    [5_000, 250],
    [250, 250],
    [100, 100],
    [51, 51],
  ] as const) {
    const timers = new FakeTimers()
    let fired = 0
    countdown(timers, 1_000, 250, () => fired++)
    timers.advance(999)
    timers.stall(1 + lateMs)
    timers.advance(putOffMs - 1)
    t.equal(fired, 0, `${lateMs} ms late`)
    timers.advance(1)
    t.equal(fired, 1, `put off by ${putOffMs} ms`)
  }
})

t.test('an end that is late as timers are is not put off', async (t) => {
  const timers = new FakeTimers()
  let fired = 0
  countdown(timers, 1_000, 250, () => fired++)
  timers.advance(999)
  timers.stall(51)
  timers.advance(0)
  t.equal(fired, 1)
})

t.test('it ends even if the process is always late', async (t) => {
  const timers = new FakeTimers()
  let fired = 0
  let ends = 0
  countdown(timers, 1_000, 250, () => fired++)
  timers.advance(999)
  for (; ends < 40 && fired === 0; ends++) {
    timers.stall(1_000)
    timers.advance(0)
  }
  t.equal(fired, 1)
  t.equal(ends, 9, 'put off eight times')
})
