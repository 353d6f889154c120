import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { heldUpMs } from './held-up.ts'
import { until } from './real/until.ts'

/** This process does nothing at all for so long. */
function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

t.test('a process that stood still knows for how long', async (t) => {
  await delay(50)
  const before = heldUpMs()
  stall(500)
  const during = heldUpMs() - before
  await delay(50)
  const after = heldUpMs() - before
  t.ok(during >= 450, `${during} ms at once`)
  t.ok(after >= during && after < 10_000, `${after} ms when its timers have run again`)
})

t.test('what is waited for has the time in which nothing ran back', async (t) => {
  let asked = 0
  const answer = await until(
    'the third question',
    () => {
      if (++asked === 2) stall(600)
      return asked > 2 && 'answered'
    },
    { timeoutMs: 500, intervalMs: 10 },
  )
  t.equal(answer, 'answered')
  await t.rejects(
    until('nothing', () => false, { timeoutMs: 100, intervalMs: 10 }),
    /nothing: not within 100 ms/,
  )
})
