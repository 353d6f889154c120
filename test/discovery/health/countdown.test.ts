import t from 'tap'
import { countdown } from '../../../discovery/health/countdown.ts'
import { FakeTimers } from './fixtures.ts'

/** A clock whose process can be held up: timers that came due meanwhile fire when it goes on. */
class StallingTimers extends FakeTimers {
  #skippedMs = 0

  override now(): number {
    return super.now() + this.#skippedMs
  }

  /** The process stands still. */
  stall(ms: number): void {
    this.#skippedMs += ms
  }
}

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

t.test('time in which the process stood still does not count', async (t) => {
  const timers = new StallingTimers()
  let firedAt = 0
  countdown(timers, 1_000, 250, () => {
    firedAt = timers.now()
  })
  timers.advance(100)
  timers.stall(30_000)
  timers.advance(899)
  t.equal(firedAt, 0)
  timers.advance(1)
  t.equal(firedAt, 31_000, 'the rest of the time is still given')
})

t.test('an end that comes late is put off, so that what has arrived can be read', async (t) => {
  const timers = new StallingTimers()
  let fired = 0
  countdown(timers, 1_000, 250, () => fired++)
  timers.advance(999)
  timers.stall(5_000)
  timers.advance(1)
  t.equal(fired, 0)
  timers.advance(249)
  t.equal(fired, 0)
  timers.advance(1)
  t.equal(fired, 1)
})

t.test('it ends even if the process is always late', async (t) => {
  const timers = new StallingTimers()
  let fired = 0
  countdown(timers, 1_000, 250, () => fired++)
  for (let i = 0; i < 40 && fired === 0; i++) {
    timers.advance(249)
    timers.stall(1_000)
    timers.advance(1)
  }
  t.equal(fired, 1)
})
