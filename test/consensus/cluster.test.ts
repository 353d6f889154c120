import t from 'tap'
import { eventually, get, set, TestCluster } from './cluster.ts'

t.test('three nodes form one cluster and replicate writes made on any of them', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await Promise.all(['a', 'b', 'c'].map((id) => cluster.add(id, { expect: 3 })))
  await cluster.leader()
  const ids = new Set(['a', 'b', 'c'].map((id) => cluster.client(id).status().clusterId))
  t.equal(ids.size, 1)
  for (const id of ['a', 'b', 'c']) {
    const result = await cluster.client(id).propose(set(`k/${id}`, id))
    t.equal(result.ok, true)
  }
  for (const id of ['a', 'b', 'c']) t.equal(await get(cluster.client(id), 'k/b'), 'b')
  t.same(cluster.fatal, [])
})

t.test('losing the leader costs no acknowledged write', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await Promise.all(['a', 'b', 'c'].map((id) => cluster.add(id, { expect: 3 })))
  const leader = await cluster.leader()
  await cluster.client(leader).propose(set('before', '1'))
  await cluster.stop(leader)
  const [survivor] = ['a', 'b', 'c'].filter((id) => id !== leader)
  await cluster.client(survivor ?? '').propose(set('after', '2'), { timeoutMs: 20_000 })
  t.equal(await get(cluster.client(survivor ?? ''), 'before'), '1')
  t.equal(await get(cluster.client(survivor ?? ''), 'after'), '2')
  t.same(cluster.fatal, [])
})

t.test('without a quorum writes are refused and stale reads go on', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await Promise.all(['a', 'b', 'c'].map((id) => cluster.add(id, { expect: 3 })))
  const leader = await cluster.leader()
  await cluster.client(leader).propose(set('k', '1'))
  for (const id of ['a', 'b', 'c']) if (id !== leader) await cluster.stop(id)
  await eventually('the leader steps down', () => cluster.client(leader).status().role !== 'leader')
  await t.rejects(cluster.client(leader).propose(set('k', '2'), { timeoutMs: 300 }), {
    code: 'CST_NO_LEADER',
  })
  await t.rejects(cluster.client(leader).read('consistent', { timeoutMs: 300 }), { code: 'CST_NO_LEADER' })
  t.equal(await get(cluster.client(leader), 'k', 'stale'), '1')
})

t.test(
  'a node that arrives later joins, even when the log was compacted, and is promoted in pairs',
  async (t) => {
    const cluster = new TestCluster()
    t.teardown(() => cluster.close())
    await cluster.add('a', { expect: 1, snapshotEntries: 20 })
    for (let i = 0; i < 100; i++) await cluster.client('a').propose(set(`k/${i}`, `${i}`))
    await eventually('a snapshot', () => cluster.client('a').status().snapshotIndex > 1)
    await cluster.add('b', { expect: 0 })
    await eventually(
      'b holds everything',
      async () => (await get(cluster.client('b'), 'k/99', 'stale')) === '99',
    )
    t.equal(await get(cluster.client('b'), 'k/0'), '0')
    t.same(
      cluster
        .client('a')
        .status()
        .peers.map(({ voter }) => voter),
      [true, false],
      'two voters would be worse than one',
    )
    await cluster.add('c', { expect: 0 })
    await eventually(
      'three voters',
      () =>
        cluster
          .client('c')
          .status()
          .peers.filter(({ voter }) => voter).length === 3,
    )
    t.same(cluster.fatal, [])
  },
)

t.test('nodes that only join never make a cluster', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await Promise.all(['a', 'b', 'c'].map((id) => cluster.add(id, { expect: 0 })))
  await t.rejects(cluster.client('a').propose(set('k', '1'), { timeoutMs: 600 }), { code: 'CST_NO_LEADER' })
  t.same(
    ['a', 'b', 'c'].map((id) => cluster.client(id).status().clusterId),
    [null, null, null],
  )
})

t.test('of more nodes than expected exactly one cluster comes out, with all of them in it', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const all = ['a', 'b', 'c', 'd', 'e']
  await Promise.all(all.map((id) => cluster.add(id, { expect: 3 })))
  await eventually('everyone is in', () => all.every((id) => cluster.client(id).status().peers.length === 5))
  t.equal(new Set(all.map((id) => cluster.client(id).status().clusterId)).size, 1)
})
