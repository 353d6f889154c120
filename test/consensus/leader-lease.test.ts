import t from 'tap'
import { systemClock } from '../../consensus/clock.ts'
import { LeaderLease } from '../../consensus/leader-lease.ts'
import { decodeMessage } from '../../consensus/wire.ts'
import { eventually, get, set, TestCluster } from './cluster.ts'
import type { Passing } from './network.ts'

const PROMISED_MS = 1000

/** A lease on clocks that are moved by hand. */
function bench() {
  const time = { now: 5000, wall: 1_700_000_000_000 }
  const lease = new LeaderLease(PROMISED_MS, { now: () => time.now, wall: () => time.wall })
  const pass = (ms: number) => {
    time.now += ms
    time.wall += ms
  }
  return { lease, time, pass }
}

t.test('a lease ends well before the promise it rests on, counted from the question', async (t) => {
  const { lease, pass } = bench()
  t.notOk(lease.isValid, 'none was granted')
  const asked = lease.moment()
  pass(300)
  lease.extend(asked)
  t.ok(lease.isValid)
  pass(199)
  t.ok(lease.isValid)
  pass(1)
  t.notOk(lease.isValid, 'half the promise after the question, not after the answer')
})

t.test('an older question does not shorten a lease, a dropped one is gone', async (t) => {
  const { lease, pass } = bench()
  const first = lease.moment()
  pass(100)
  lease.extend(lease.moment())
  lease.extend(first)
  pass(450)
  t.ok(lease.isValid)
  lease.drop()
  t.notOk(lease.isValid)
})

t.test('B25: a machine that was suspended has no lease, whatever its monotonic clock says', async (t) => {
  const { lease, time } = bench()
  lease.extend(lease.moment())
  time.wall += 600
  t.notOk(lease.isValid, 'the wall clock went on')
  time.wall -= 700
  t.notOk(lease.isValid, 'nor if it was set back')
})

function isHeartbeat({ kind, payload }: Passing): boolean {
  return kind === 'message' && decodeMessage(payload).message.type === 'heartbeat'
}

/** Heartbeats that carry the question of a read, which is asked when it is not answered from a lease. */
function questions(cluster: TestCluster): { count: number } {
  const seen = { count: 0 }
  cluster.network.drops = (passing) => {
    if (isHeartbeat(passing) && decodeMessage(passing.payload).message.lease) seen.count++
    return false
  }
  return seen
}

t.test('with leases, reads that follow one another ask a quorum once in a while', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  // The leader's clock stands still between two steps, so that its lease ends when the test says so.
  let now = 0
  await cluster.found(3, { leaseReads: true, clock: { now: () => now, wall: () => now } })
  const leader = await cluster.leader()
  const client = cluster.client(leader)
  await client.propose(set('k', '1'))
  await client.read('default')
  const seen = questions(cluster)
  for (let i = 0; i < 100; i++) await client.read('default')
  t.equal(seen.count, 0, 'the lease answers')
  now += 50
  await client.read('default')
  t.ok(seen.count >= 2, 'after half an election timeout both others are asked again')
  const before = seen.count
  for (let i = 0; i < 100; i++) await client.read('default')
  await client.read('consistent')
  t.equal(seen.count, before, 'a consistent read asks for no lease')
})

for (const leaseReads of [true, false]) {
  t.test(
    `B4, B25: a leader cut off reads nothing old, ${leaseReads ? 'with' : 'without'} leases`,
    async (t) => {
      const cluster = new TestCluster()
      t.teardown(() => cluster.close())
      const ids = await cluster.found(3, { leaseReads })
      let answers = 0
      for (let round = 0; round < 5; round++) {
        const old = await cluster.leader()
        const others = ids.filter((id) => id !== old)
        await cluster.client(old).propose(set('k', `${round}`))
        await cluster.client(old).read('default')
        // Silent loss: the old leader has to find out by itself. The others are told at once that it is gone.
        cluster.network.drops = ({ from, to }) => (from === old) !== (to === old)
        for (const id of others) cluster.member(id).node.peerLost(old)
        let acknowledgedAt = Number.POSITIVE_INFINITY
        const write = eventually('the others write', async () => {
          const [id = ''] = others
          if (cluster.client(id).status().leader === old) return false
          const { ok } = await cluster.client(id).propose(set('k', `${round} new`), { timeoutMs: 500 })
          acknowledgedAt = performance.now()
          return ok
        })
        let lastOld = 0
        const end = performance.now() + 10_000
        while (performance.now() < Math.min(acknowledgedAt + 100, end)) {
          const began = performance.now()
          try {
            await cluster.client(old).read('default', { timeoutMs: 20 })
            answers++
            lastOld = Math.max(lastOld, began)
          } catch {
            // Nobody confirms that it leads.
          }
          await new Promise((resolve) => setImmediate(resolve))
        }
        await write
        t.ok(
          lastOld < acknowledgedAt,
          `round ${round}: no read that began after the new write was acknowledged is answered`,
        )
        cluster.network.drops = () => false
        await eventually('all agree', async () => (await get(cluster.client(old), 'k')) === `${round} new`)
      }
      if (leaseReads) t.ok(answers > 0, `leases answered ${answers} reads`)
    },
  )
}

t.test('B25: after a hand-over was asked for there are no leases in that term', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const ids = await cluster.found(3, { leaseReads: true })
  const leader = await cluster.leader()
  const client = cluster.client(leader)
  await client.propose(set('k', '1'))
  await client.read('default')
  const { term } = client.status()
  // The request to take over is lost: the leader goes on.
  cluster.network.drops = ({ kind, payload }) =>
    kind === 'message' && decodeMessage(payload).message.type === 'timeoutNow'
  const heir = ids.find((id) => id !== leader) ?? ''
  await t.rejects(client.transferLeadership(heir, { timeoutMs: 300 }), { code: 'CST_OUTCOME_UNKNOWN' })
  const seen = questions(cluster)
  await client.read('default', { timeoutMs: 20_000 })
  t.match(client.status(), { role: 'leader', term })
  t.equal(seen.count, 0, 'it is confirmed by a quorum, and no lease is asked for')
})

t.test('a started cluster with leases elects a leader and fails over', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const ids = await cluster.found(3, { leaseReads: true, clock: systemClock })
  const leader = await cluster.leader()
  await cluster.client(leader).propose(set('k', '1'))
  await cluster.client(leader).read('default')
  cluster.kill(leader)
  const next = await cluster.leader()
  t.not(next, leader)
  await cluster.restart(leader)
  for (const id of ids) cluster.kill(id)
  await Promise.all(ids.map((id) => cluster.restart(id)))
  t.equal(await get(cluster.client(await cluster.leader()), 'k'), '1')
})
