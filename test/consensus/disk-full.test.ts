import t from 'tap'
import { ConsensusError } from '../../consensus/errors.ts'
import { yieldToFullDisk } from '../../consensus/full-disk.ts'
import { initialConfiguration } from '../../consensus/raft/configuration.ts'
import { eventually, get, set, silent, TestCluster } from './cluster.ts'
import { disk, message, raft } from './raft/harness.ts'
import { SESSION } from './state/machine.ts'

const SETTINGS = { diskRetryMs: 5 }

t.test(
  'a leader whose disk is full hands over, passes writes on, and catches up when there is room',
  async (t) => {
    const cluster = new TestCluster()
    t.teardown(() => cluster.close())
    await cluster.found(3, SETTINGS)
    const full = await cluster.leader()
    const client = cluster.client(full)
    await client.propose(set('k', 'before'))
    const { store } = cluster.member(full)
    store.fill()
    t.equal((await client.propose(set('k', 'during'), { timeoutMs: 20_000 })).ok, true, 'another node leads')
    t.match(client.status(), { diskFull: 'the disk is full', failure: null })
    t.equal((await client.propose(set('k', 'after'))).ok, true, 'passed on')
    t.not(client.status().role, 'leader')
    t.same(cluster.fatal, [])
    const stuckAt = client.status().lastLogIndex
    store.free()
    await eventually('it works again', () => client.status().diskFull === null)
    t.equal(await get(client, 'k'), 'after')
    t.ok(client.status().lastLogIndex >= stuckAt)
    await client.transferLeadership(full, { timeoutMs: 20_000 })
    t.equal((await client.propose(set('k', 'again'))).ok, true, 'it can lead again')
  },
)

t.test('leadership can be handed to a node from the moment there is room again', async (t) => {
  const core = raft('a', disk(initialConfiguration(['a', 'b', 'c'])))
  const { full, recovered } = yieldToFullDisk({
    raft: () => core,
    proposals: { rejectQueued: () => {}, rejectPending: () => {} },
    noticeStatus: () => {},
    metrics: null,
    log: silent,
  })
  const handOver = () => core.step(message({ type: 'timeoutNow', from: 'b', to: 'a', term: core.term }))
  full(new ConsensusError('CST_DISK_FULL', 'the disk is full'))
  handOver()
  t.equal(core.role, 'follower')
  recovered()
  handOver()
  t.equal(core.role, 'candidate', 'no tick has passed')
})

t.test('a node alone with a full disk reads on and refuses writes by name until there is room', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(1, SETTINGS)
  const client = cluster.client('a')
  await client.propose(set('k', '1'))
  const { store } = cluster.member('a')
  store.fill()
  await t.rejects(client.propose(set('k', '2')), { code: 'CST_OUTCOME_UNKNOWN', message: /disk is full/ })
  await t.rejects(client.propose(set('k', '3')), { code: 'CST_DISK_FULL' })
  t.equal(await get(client, 'k'), '1', 'a consistent read')
  store.free()
  await eventually('it works again', () => client.status().diskFull === null)
  t.equal((await client.propose(set('k', '4'))).ok, true)
  t.equal(await get(client, 'k'), '4')
  t.same(cluster.fatal, [])
})

t.test('a session whose end waits for room cannot be renewed', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(1, SETTINGS)
  const client = cluster.client('a')
  const { store } = cluster.member('a')
  await client.propose({ type: 'session.create', session: { ...SESSION, id: 's', expiresAfterMs: 300 } })
  store.hold('write')
  await eventually('its end is proposed', () => store.waiting > 0)
  store.fill()
  store.release()
  await eventually('the disk is full', () => client.status().diskFull !== null)
  await t.rejects(client.renewSession('s', { timeoutMs: 200 }), { code: 'CST_NO_LEADER' })
  store.free()
  await eventually('it has ended', async () => (await client.read('stale')).view.session('s') === undefined)
})

t.test(
  'two of three with full disks: no leader, and the reason is said; nothing acknowledged is lost',
  async (t) => {
    const cluster = new TestCluster()
    t.teardown(() => cluster.close())
    const ids = await cluster.found(3, SETTINGS)
    const leader = await cluster.leader()
    const client = cluster.client(leader)
    await client.propose(set('k', 'kept'))
    const full = [leader, ids.find((id) => id !== leader) ?? '']
    for (const id of full) cluster.member(id).store.fill()
    await t.rejects(client.propose(set('k', 'lost'), { timeoutMs: 1000 }))
    await eventually('it leads no more', () => client.status().role !== 'leader')
    await t.rejects(client.propose(set('k', 'refused'), { timeoutMs: 100 }), { code: 'CST_DISK_FULL' })
    for (const id of full) cluster.member(id).store.free()
    const value = await eventually('a leader answers', async () => get(client, 'k'))
    t.match(value, /^(kept|lost)$/)
    t.same(cluster.fatal, [])
  },
)

t.test('a node stops in time although its disk is full', async (t) => {
  const cluster = new TestCluster()
  await cluster.found(1, { diskRetryMs: 60_000 })
  // The entry a leader begins with must not be the one that finds no room.
  await cluster.client('a').propose(set('k', '0'))
  const { store } = cluster.member('a')
  store.fill()
  await t.rejects(cluster.client('a').propose(set('k', '1')), { code: 'CST_OUTCOME_UNKNOWN' })
  await cluster.stop('a')
  t.same(cluster.fatal, [])
})

t.test('a snapshot that finds no room is taken later; writes go on meanwhile', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(1, { ...SETTINGS, snapshotEntries: 10 })
  const client = cluster.client('a')
  const { store } = cluster.member('a')
  store.fill('saveSnapshot')
  const write = async (i: number) => {
    await eventually('it is written', async () => {
      try {
        return (await client.propose(set(`k${i}`, 'v'))).ok
      } catch {
        return false
      }
    })
  }
  for (let i = 0; i < 40; i++) await write(i)
  const first = client.status().snapshotIndex
  t.equal(first, 1, 'none was taken')
  store.free()
  let i = 40
  await eventually('one is taken', async () => {
    await write(i++)
    return client.status().snapshotIndex > first
  })
  t.same(cluster.fatal, [])
})
