import t from 'tap'
import type { ForeignCluster } from '../../agent/foreign-cluster.ts'
import { AgentReadiness } from '../../agent/readiness.ts'
import type { ConsensusClient, ConsensusStatus } from '../../consensus/client.ts'
import { noLeader } from '../../consensus/errors.ts'
import type { Catalog } from '../../discovery/catalog/types.ts'

function bench() {
  const status = {
    clusterId: 'c' as string | null,
    leader: 'x' as string | null,
    failure: null as string | null,
    diskFull: null as string | null,
    supersededBy: null as string | null,
  }
  const catalog = { synced: true }
  const mesh: { identityInUseAt: string | null } = { identityInUseAt: null }
  const reads: { resolve: () => void; reject: (error: Error) => void }[] = []
  let now = 0
  const consensus = {
    status: () => status as ConsensusStatus,
    read: () => new Promise<void>((resolve, reject) => reads.push({ resolve, reject })),
  } as unknown as ConsensusClient
  const membership = { refusal: null as string | null }
  const foreign = { reason: null } as unknown as ForeignCluster
  const readiness = new AgentReadiness({
    consensus,
    catalog: catalog as Catalog,
    mesh,
    declared: { settled: async () => {} },
    foreign,
    membership,
    now: () => now,
  })
  const passMs = (ms: number) => {
    now += ms
  }
  return { readiness, status, membership, catalog, mesh, reads, passMs }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test('a node is ready once it holds what the leader had committed, however long that takes', async (t) => {
  const { readiness, reads } = bench()
  const caughtUp = readiness.catchUp(new AbortController().signal)
  t.same(readiness.reasons(), ['this node has not caught up with the leader yet'])
  reads.shift()?.reject(noLeader())
  await turn()
  t.equal(reads.length, 1, 'it asks again')
  t.equal(readiness.ready(), false)
  reads.shift()?.resolve()
  await caughtUp
  t.equal(readiness.ready(), true)
})

t.test('without a leader it is not ready, but its views go on once they were complete', async (t) => {
  const { readiness, status, reads } = bench()
  t.equal(readiness.synced(), false)
  const caughtUp = readiness.catchUp(new AbortController().signal)
  reads.shift()?.resolve()
  await caughtUp
  t.equal(readiness.synced(), true)
  status.leader = null
  t.match(readiness.reasons()[0], /no leader is known/)
  t.equal(readiness.synced(), true)
})

t.test(
  'what it knows is complete with the catalogue of another and what was decided, or with the catalogue after ten seconds alone',
  async (t) => {
    const signal = new AbortController().signal
    const one = bench()
    one.catalog.synced = false
    const caughtUp = one.readiness.catchUp(signal)
    one.reads.shift()?.resolve()
    await caughtUp
    t.equal(one.readiness.complete, false)
    const waiting = one.readiness.whenComplete(2000, signal)
    one.catalog.synced = true
    t.equal(await waiting, true)

    const alone = bench()
    const refused = alone.readiness.whenComplete(2000, signal)
    alone.passMs(2000)
    t.equal(await refused, false)
    alone.passMs(7999)
    t.equal(alone.readiness.complete, false)
    alone.passMs(1)
    t.equal(alone.readiness.complete, true)
    alone.catalog.synced = false
    t.equal(alone.readiness.complete, true, 'for good')
  },
)

t.test('it names what is missing, and says when only a restart can help', async (t) => {
  const { readiness, status, catalog, mesh, passMs } = bench()
  mesh.identityInUseAt = '10.0.0.5:7946'
  t.match(readiness.reasons()[0], /identity of this node is in use at 10\.0\.0\.5:7946/)
  mesh.identityInUseAt = null
  status.supersededBy = 'c+1-00000000'
  t.match(readiness.reasons()[0], /recovered without it as c\+1-00000000/)
  t.equal(readiness.alive(), true, 'a restart would change nothing')
  status.supersededBy = null
  catalog.synced = false
  readiness.stopping()
  t.match(readiness.reasons().join(' '), /stopping.*caught up.*catalogue/)
  readiness.beat()
  t.equal(readiness.alive(), true)
  passMs(10_001)
  t.equal(readiness.alive(), false, 'the main loop stands still')
  readiness.beat()
  status.failure = 'disk'
  t.equal(readiness.alive(), false)
})

t.test(
  'a node outside says who refused it for its name, and one inside is not troubled by what was',
  async (t) => {
    const { readiness, status, membership } = bench()
    const refusal = 'this node is not admitted by x: its name "n1" belongs to y'
    status.clusterId = null
    t.same(readiness.reasons(), ['this node is not part of a cluster yet'])
    membership.refusal = refusal
    t.same(readiness.reasons(), ['this node is not part of a cluster yet', refusal])
    status.clusterId = 'c'
    t.notOk(readiness.reasons().includes(refusal))
  },
)
