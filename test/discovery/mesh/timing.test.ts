import t from 'tap'
import { Backoff } from '../../../discovery/mesh/backoff.ts'
import { KeepAlive } from '../../../discovery/mesh/keep-alive.ts'
import { LineLimiter } from '../../../discovery/mesh/line-limiter.ts'

t.test('a silent stream is asked once per interval and dead after three unanswered questions', async (t) => {
  const keepAlive = new KeepAlive({ intervalMs: 100, unansweredMax: 3 }, 0)
  t.equal(keepAlive.check(99), 'nothing')
  t.equal(keepAlive.check(100), 'ping')
  t.equal(keepAlive.check(150), 'nothing')
  t.equal(keepAlive.check(200), 'ping')
  t.equal(keepAlive.check(300), 'ping')
  t.equal(keepAlive.check(399), 'nothing')
  t.equal(keepAlive.check(400), 'dead')
})

t.test('one sign of life forgives all silence', async (t) => {
  const keepAlive = new KeepAlive({ intervalMs: 100, unansweredMax: 1 }, 0)
  t.equal(keepAlive.check(100), 'ping')
  keepAlive.heard(150)
  t.equal(keepAlive.check(249), 'nothing')
  t.equal(keepAlive.check(250), 'ping')
})

t.test('a process that was stopped for an hour asks before it gives up', async (t) => {
  const keepAlive = new KeepAlive({ intervalMs: 100, unansweredMax: 3 }, 0)
  t.equal(keepAlive.check(3_600_000), 'ping')
})

t.test('pauses double up to the maximum and start again after a success', async (t) => {
  const backoff = new Backoff({ firstMs: 250, maxMs: 5_000 })
  t.equal(backoff.waitMs(0), 0)
  const pauses = []
  for (let i = 0; i < 7; i += 1) {
    backoff.failed(1_000)
    pauses.push(backoff.waitMs(1_000))
  }
  t.same(pauses, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000])
  t.equal(backoff.waitMs(6_000), 0)
  backoff.reset()
  backoff.failed(0)
  t.equal(backoff.waitMs(0), 250)
})

t.test('a line passes once per interval and key, and few keys are remembered', async (t) => {
  let now = 0
  const lines = new LineLimiter({ intervalMs: 60_000, keysMax: 2 }, { now: () => now })
  t.same([lines.allow('a'), lines.allow('a'), lines.allow('b')], [true, false, true])
  now = 59_999
  t.notOk(lines.allow('a'))
  now = 60_000
  t.ok(lines.allow('a'))
  t.ok(lines.allow('c'), 'takes the place of b')
  t.notOk(lines.allow('a'))
})
