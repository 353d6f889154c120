import { Registry } from 'prom-client'
import t from 'tap'
import { ReplicaMetrics } from '../../consensus/metrics.ts'
import { eventually, set, TestCluster } from './cluster.ts'

const GRACE = { deadVoterGraceMs: 400, deadLearnerGraceMs: 300 }

/** A cluster whose nodes have metrics, and how to read them: `name{label="x"}` → value. */
async function measured(t: { teardown(fn: () => Promise<void>): void }, ids: readonly string[]) {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const registries = new Map<string, Registry>()
  const add = (id: string, expect: number) => {
    const registry = new Registry()
    registries.set(id, registry)
    return cluster.add(id, { ...GRACE, expect, metrics: new ReplicaMetrics(registry) })
  }
  const read = async (id: string): Promise<Map<string, number>> => {
    const text = (await registries.get(id)?.metrics()) ?? ''
    const lines = text.split('\n').filter((line) => line.startsWith('constellation_raft_'))
    return new Map(
      lines.map((line) => {
        const at = line.lastIndexOf(' ')
        return [line.slice('constellation_raft_'.length, at), Number(line.slice(at + 1))]
      }),
    )
  }
  await Promise.all(ids.map((id) => add(id, ids.length)))
  return { cluster, add, read, leader: await cluster.leader() }
}

t.test('elections, messages, proposals and the log are counted', async (t) => {
  const { cluster, read, leader } = await measured(t, ['a', 'b', 'c'])
  for (let i = 0; i < 5; i++) await cluster.client(leader).propose(set(`k${i}`, 'x'.repeat(100)))
  await cluster.client(leader).read('consistent')
  const metrics = await read(leader)
  const value = (name: string) => metrics.get(name) ?? Number.NaN
  t.equal(value('elections_won_total'), 1)
  t.ok(value('elections_total') >= 1 && value('pre_votes_total') >= 1)
  t.ok(value('messages_total{direction="out",type="append"}') >= 10)
  t.ok(value('messages_total{direction="in",type="appendResponse"}') >= 10)
  t.ok(value('read_rounds_total') >= 1)
  t.ok(value('log_bytes') > 500 && value('log_entries') >= 6)
  t.equal(value('commit_index'), cluster.client(leader).status().commitIndex)
  for (const name of [
    'apply_lag',
    'proposals_queued',
    'proposals_pending',
    'reads_waiting',
    'write_queue_length',
    'write_queue_bytes',
  ])
    t.equal(value(name), 0, name)
  const won = await Promise.all(
    ['a', 'b', 'c'].map(async (id) => (await read(id)).get('elections_won_total')),
  )
  t.same(won.toSorted(), [0, 0, 1])
})

t.test('what waits shows: for the disk, for a quorum, for the confirmation of a read', async (t) => {
  const { cluster, read, leader } = await measured(t, ['a', 'b', 'c'])
  const { store } = cluster.member(leader)
  t.teardown(() => store.release())
  store.hold('write')
  const outcomes = [1, 2].map((i) =>
    cluster
      .client(leader)
      .propose(set(`k${i}`, 'x'.repeat(1000)), { timeoutMs: 3000 })
      .catch(() => {}),
  )
  // The first write is on its way to the disk, so the second one waits.
  await eventually('the disk is busy', () => store.waiting > 0)
  outcomes.push(
    cluster
      .client(leader)
      .propose(set('k3', 'y'.repeat(1000)), { timeoutMs: 3000 })
      .catch(() => {}),
  )
  await eventually('the third waits', async () => {
    const metrics = await read(leader)
    return (metrics.get('write_queue_length') ?? 0) > 0 && (metrics.get('write_queue_bytes') ?? 0) > 1000
  })
  t.ok(((await read(leader)).get('proposals_pending') ?? 0) >= 1)
  store.release()
  await Promise.all(outcomes)

  const others = ['a', 'b', 'c'].filter((id) => id !== leader)
  cluster.network.drops = ({ kind, to }) => kind === 'message' && to === leader
  const late = [
    cluster
      .client(leader)
      .propose(set('k4', 'z'.repeat(1000)), { timeoutMs: 1000 })
      .catch(() => {}),
    cluster
      .client(leader)
      .read('consistent', { timeoutMs: 1000 })
      .catch(() => {}),
  ]
  await eventually('both wait for the others', async () => {
    const metrics = await read(leader)
    return (
      metrics.get('proposals_pending') === 1 &&
      (metrics.get('reads_waiting') ?? 0) >= 1 &&
      (metrics.get('uncommitted_bytes') ?? 0) > 1000 &&
      others.every((id) => (metrics.get(`peer_lag{peer="${id}"}`) ?? 0) >= 1)
    )
  })
  cluster.network.drops = () => false
  await Promise.all(late)
})

t.test('a peer has its series on the leader while it belongs to the cluster', async (t) => {
  const { cluster, add, read, leader } = await measured(t, ['a', 'b', 'c'])
  await add('d', 0)
  const changesBefore = (await read(leader)).get('configuration_changes_total') ?? 0
  const seriesOf = async (id: string, peer: string) =>
    [...(await read(id)).keys()].filter((name) => name.includes(`peer="${peer}"`)).toSorted()
  await eventually('d is sent to', async () => (await seriesOf(leader, 'd')).join().includes('replicate'))
  t.same(await seriesOf(leader, 'd'), ['peer_lag{peer="d"}', 'peer_state{peer="d",state="replicate"}'])
  t.same(await seriesOf(leader, leader), [])
  t.same(await seriesOf('d', leader), [], 'a follower knows nothing of it')
  cluster.kill('d')
  await eventually('d has left', async () => (await seriesOf(leader, 'd')).length === 0)
  t.ok(((await read(leader)).get('configuration_changes_total') ?? 0) > changesBefore)
})

t.test('a write that is refused is counted with the reason', async (t) => {
  const { cluster, read, leader } = await measured(t, ['a', 'b', 'c'])
  const bad = { type: 'kv.set', key: 7 } as never
  await t.rejects(cluster.client(leader).propose(bad), { code: 'CST_PROPOSAL_DROPPED' })
  t.equal((await read(leader)).get('proposals_dropped_total{reason="malformed"}'), 1)
})
