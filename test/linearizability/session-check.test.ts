import t from 'tap'
import {
  checkHolders,
  checkHolds,
  checkNotEarly,
  checkNotLate,
  checkSightings,
  type Hold,
  type LockSighting,
  type SessionSighting,
} from './session-check.ts'

/** A hold acquired at a time, with a TTL of a second. */
function hold(client: string, token: number, at: number, more: Partial<Hold> = {}): Hold {
  const acquire = { calledAt: at, returnedAt: at + 10 }
  const base = { lock: 'l', session: `s-${client}`, ttlMs: 1000, lockDelayMs: 0, renewal: acquire, end: null }
  return { ...base, client, token, acquire, ...more }
}

const released = (calledAt: number) => ({ end: { how: 'release' as const, calledAt } })
const destroyed = (calledAt: number) => ({ end: { how: 'destroy' as const, calledAt } })

function sighting(version: number, token: number, session: string | null): LockSighting {
  return { lock: 'l', version, token, session }
}

function look(exists: boolean, at: number): SessionSighting {
  const renewal = { calledAt: 0, returnedAt: 10 }
  return { session: 's', ttlMs: 1000, renewal, look: { calledAt: at, returnedAt: at + 10, exists } }
}

t.test('locks that follow each other are right', async (t) => {
  const holds = [hold('a', 1, 0, released(50)), hold('b', 2, 60), hold('c', 3, 1061), hold('a', 5, 3000)]
  t.strictSame(checkHolds(holds), [])
  t.strictSame(checkHolds([hold('a', 1, 0), { ...hold('b', 2, 5), lock: 'other' }]), [], 'each on its own')
  t.strictSame(checkHolds([hold('a', 1, 0, released(50)), hold('b', 2, 45)]), [], 'its answer came later')
})

t.test('planted: the next holder comes while the last may still act', async (t) => {
  t.match(checkHolds([hold('a', 1, 0), hold('b', 2, 900)]), [/b \(token 2\) had it 90\.0 ms before a/])
  const renewed = { renewal: { calledAt: 800, returnedAt: 810 } }
  t.match(checkHolds([hold('b', 2, 1500), hold('a', 1, 0, renewed)]), [/290\.0 ms before a/], 'in any order')
  t.match(checkHolds([hold('a', 1, 0, released(500)), hold('b', 2, 400)]), [/90\.0 ms before a/])
})

t.test('planted: one token for two', async (t) => {
  t.match(checkHolds([hold('a', 1, 0), hold('b', 1, 5000)]), [/hold it with one token/])
})

t.test('planted: a lock delay that is not kept', async (t) => {
  const delayed = { lockDelayMs: 2000 }
  t.match(checkHolds([hold('a', 1, 0, delayed), hold('b', 2, 2500)]), [
    /465\.0 ms before the lock delay of a/,
  ])
  t.strictSame(checkHolds([hold('a', 1, 0, delayed), hold('b', 2, 3000)]), [])
  t.match(checkHolds([hold('a', 1, 0, { ...delayed, ...destroyed(100) }), hold('b', 2, 2000)]), [
    /lock delay/,
  ])
  t.strictSame(
    checkHolds([hold('a', 1, 0, { ...delayed, ...released(100) }), hold('b', 2, 101)]),
    [],
    'a release has none',
  )
})

t.test('the order of the store', async (t) => {
  const good = [sighting(5, 1, 's1'), sighting(9, 1, null), sighting(12, 2, 's2'), sighting(12, 2, 's2')]
  t.strictSame(checkSightings(good), [])
  t.match(
    checkSightings([...good, sighting(15, 1, 's1')]),
    [/LockIndex 1 at version 15, after 2/],
    'planted: it falls',
  )
  t.match(
    checkSightings([...good, sighting(15, 2, 's3')]),
    [/s2 and s3 hold it with LockIndex 2/],
    'planted: shared',
  )
  t.match(
    checkSightings([...good, sighting(12, 2, null)]),
    [/version 12 has two contents/],
    'planted: two contents',
  )
  t.strictSame(checkHolders([hold('a', 1, 0, { session: 's1' })], good), [])
  t.match(
    checkHolders([hold('a', 2, 0, { session: 's1' })], good),
    [/a acted with token 2, which s2 has/],
    'planted: not its own',
  )
})

t.test('a session lives its TTL, and not much more than twice that', async (t) => {
  const limits = { factor: 2, slackMs: 500, isSteady: () => true }
  t.strictSame(checkNotEarly([look(true, 100), look(false, 995), look(false, 2000)]), [])
  t.match(checkNotEarly([look(false, 500)]), [/gone 490\.0 ms before its TTL/], 'planted: early')
  t.strictSame(checkNotLate([look(true, 2500), look(false, 9000)], limits), { wrong: [], judged: 2 })
  t.match(
    checkNotLate([look(true, 3000)], limits),
    { wrong: [/there 490 ms after/], judged: 1 },
    'planted: late',
  )
  const isSteady = (from: number, to: number) => from > 0 || to < 1000
  t.strictSame(
    checkNotLate([look(true, 3000)], { ...limits, isSteady }),
    { wrong: [], judged: 0 },
    'a new leader',
  )
})
