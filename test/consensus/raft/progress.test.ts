import fc from 'fast-check'
import t from 'tap'
import { Progress } from '../../../consensus/raft/progress.ts'

const LIMITS = { messagesMax: 3, bytesMax: 100 }

function replicating(matchIndex = 0): Progress {
  const progress = new Progress(matchIndex + 1, true, LIMITS)
  progress.matchIndex = matchIndex
  progress.becomeReplicate()
  return progress
}

t.test('probe sends one append with entries and waits', async (t) => {
  const progress = new Progress(5, true, LIMITS)
  progress.sentEntries(0, 0)
  t.equal(progress.isPaused(), false, 'an empty one may be repeated')
  progress.sentEntries(2, 10)
  t.equal(progress.isPaused(), true)
  t.equal(progress.nextIndex, 5, 'nothing is taken for granted')
  t.equal(progress.acknowledge(6), true)
  t.equal(progress.isPaused(), false)
  t.equal(progress.nextIndex, 7)
})

t.test('replicate goes ahead until the window is full, by count or by bytes', async (t) => {
  const byCount = replicating()
  for (let i = 0; i < 3; i++) byCount.sentEntries(1, 1)
  t.equal(byCount.nextIndex, 4)
  t.equal(byCount.isPaused(), true)
  byCount.acknowledge(2)
  byCount.freeUpTo(2)
  t.equal(byCount.isWindowFull(), false)
  t.equal(byCount.isPaused(), false)
  const byBytes = replicating()
  byBytes.sentEntries(1, 60)
  t.equal(byBytes.isPaused(), false)
  byBytes.sentEntries(1, 60)
  t.equal(byBytes.isPaused(), true)
})

t.test('an acknowledgement in the middle of a message frees nothing of it', async (t) => {
  const progress = replicating()
  progress.sentEntries(2, 1)
  progress.sentEntries(2, 1)
  progress.sentEntries(2, 1)
  progress.freeUpTo(3)
  t.equal(progress.isWindowFull(), false, 'the first is free')
  progress.sentEntries(1, 1)
  t.equal(progress.isWindowFull(), true, 'the second is not')
})

t.test('stale refusals change nothing', async (t) => {
  const progress = replicating(5)
  progress.sentEntries(3, 1)
  t.equal(progress.refuse(5, 2), false, 'that much is known to match')
  t.equal(progress.nextIndex, 9)
  t.equal(progress.refuse(7, 2), true)
  t.equal(progress.nextIndex, 6)
  const probing = new Progress(10, true, LIMITS)
  t.equal(probing.refuse(4, 2), false, 'not the answer to the probe that is out')
  t.equal(probing.refuse(9, 3), true)
  t.equal(probing.nextIndex, 4)
})

t.test('a snapshot stops appends; afterwards probing goes on behind it', async (t) => {
  const progress = replicating(2)
  progress.becomeSnapshot(9)
  t.equal(progress.isPaused(), true)
  t.throws(() => progress.sentEntries(1, 1), /no append/)
  progress.becomeProbe()
  t.equal(progress.nextIndex, 10)
  t.equal(progress.isPaused(), false)
})

t.test('whatever happens, matchIndex stays below nextIndex and never falls', async (t) => {
  const event = fc.oneof(
    fc.record({ kind: fc.constant('send' as const), n: fc.nat(3) }),
    fc.record({ kind: fc.constant('ack' as const), n: fc.nat(30) }),
    fc.record({ kind: fc.constant('refuse' as const), n: fc.nat(30), hint: fc.nat(30) }),
    fc.record({ kind: fc.constantFrom('probe' as const, 'replicate' as const) }),
    fc.record({ kind: fc.constant('snapshot' as const), n: fc.integer({ min: 1, max: 30 }) }),
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      const progress = new Progress(1, true, LIMITS)
      for (const step of events) {
        const { matchIndex } = progress
        if (step.kind === 'send' && !progress.isPaused()) progress.sentEntries(step.n, step.n * 10)
        // A follower acknowledges only what was sent.
        if (step.kind === 'ack') {
          const index = Math.min(step.n, progress.nextIndex - 1)
          progress.acknowledge(index)
          progress.freeUpTo(index)
        }
        if (step.kind === 'refuse') progress.refuse(step.n, Math.min(step.hint, step.n))
        if (step.kind === 'probe') progress.becomeProbe()
        if (step.kind === 'replicate') progress.becomeReplicate()
        if (step.kind === 'snapshot') progress.becomeSnapshot(Math.max(step.n, progress.matchIndex))
        if (!(progress.matchIndex >= matchIndex && progress.matchIndex < progress.nextIndex)) return false
      }
      return true
    }),
    { numRuns: 500 },
  )
  t.pass()
})
