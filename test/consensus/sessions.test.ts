import t from 'tap'
import { SessionTimers } from '../../consensus/session-timers.ts'
import { eventually, TestCluster } from './cluster.ts'
import { SESSION } from './state/machine.ts'

const TTL_MS = 500

function create(id: string, expiresAfterMs = TTL_MS) {
  return { type: 'session.create', session: { ...SESSION, id, expiresAfterMs } } as const
}

/** When the session was found to be gone, in monotonic milliseconds. */
async function goneAt(cluster: TestCluster, node: string, id: string): Promise<number> {
  // Before it is gone it must have been there.
  await cluster.client(node).read('consistent', { timeoutMs: 20_000 })
  return await eventually(`session ${id} ends`, async () => {
    const { view } = await cluster.client(node).read('stale')
    return view.session(id) === undefined ? performance.now() : undefined
  })
}

t.test('a session ends after its time, never before', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(3)
  const begin = performance.now()
  await cluster.client('b').propose(create('s'))
  const end = await goneAt(cluster, 'a', 's')
  t.ok(end - begin >= TTL_MS, `ended after ${end - begin} ms`)
})

t.test('a renewal on any node gives the full time again; afterwards there is nothing to renew', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const ids = await cluster.found(3)
  await cluster.client('a').propose(create('s'))
  let renewed = 0
  for (let i = 0; i < 4; i++) {
    const sentAt = performance.now()
    const session = await cluster.client(ids[i % 3] ?? '').renewSession('s')
    t.equal(session?.id, 's')
    renewed = sentAt
    // Half of the time passes between two renewals.
    await eventually('half of its time is over', () => performance.now() - sentAt >= TTL_MS / 2)
  }
  const end = await goneAt(cluster, 'c', 's')
  t.ok(end - renewed >= TTL_MS)
  for (const id of ids) t.equal(await cluster.client(id).renewSession('s'), null, id)
  t.equal(await cluster.client('a').renewSession('never was'), null)
})

t.test('a new leader gives every session its full time', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const ids = await cluster.found(3)
  const leader = await cluster.leader()
  const other = ids.find((id) => id !== leader) ?? ''
  const begin = performance.now()
  await cluster.client(leader).propose(create('s', 400))
  await eventually('most of its time is over', () => performance.now() - begin >= 300)
  cluster.kill(leader)
  const lostAt = performance.now()
  const end = await goneAt(cluster, other, 's')
  t.ok(end - lostAt >= 400, `ended ${end - lostAt} ms after the leader was lost`)
})

t.test('a session that is about to end is not renewed: what ends it may already be on its way', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => {
    cluster.member('a').store.release()
    return cluster.close()
  })
  await cluster.found(1)
  const client = cluster.client('a')
  await client.propose(create('s', 50))
  const { store } = cluster.member('a')
  store.hold('write')
  await eventually('its end is being written', () => store.waiting > 0)
  const { view } = await client.read('stale')
  t.ok(view.session('s'), 'it is still there')
  await t.rejects(client.renewSession('s', { timeoutMs: 100 }), { code: 'CST_NO_LEADER' })
  const waiting = client.renewSession('s')
  store.release()
  t.equal(await waiting, null, 'the answer comes once it is known')
})

t.test('timers: after a pause everything is armed again but what is ending', async (t) => {
  const timers = new SessionTimers()
  const session = (id: string, expiresAfterMs: number) => ({
    ...SESSION,
    id,
    expiresAfterMs,
    createIndex: 1,
    modifyIndex: 1,
  })
  const sessions = [session('a', 100), session('b', 200), session('c', 0)]
  timers.armAll(sessions, 0)
  t.same(timers.expired(99), [])
  t.same(timers.expired(100), ['a'])
  timers.end('a')
  t.same(timers.expired(100), [])
  timers.armAll(sessions, 150)
  t.same(timers.expired(349), [])
  t.same(timers.expired(350), ['b'], 'without a time to live it never ends')
  t.equal(timers.isEnding('a'), true)
  timers.remove('a')
  t.equal(timers.isEnding('a'), false)
})
