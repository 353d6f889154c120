import t from 'tap'
import type { RaftPeer } from '../../consensus/client.ts'
import { systemClock } from '../../consensus/clock.ts'
import { Members } from '../../consensus/members.ts'
import { initialConfiguration } from '../../consensus/raft/configuration.ts'
import { eventually, get, set, silent, TestCluster } from './cluster.ts'
import { operationOf, TestNetwork } from './network.ts'
import { disk, drain, elect, message, raft } from './raft/harness.ts'

const GRACE = { deadVoterGraceMs: 400, deadLearnerGraceMs: 60_000 }

function setUp(t: { teardown(fn: () => Promise<void>): void }) {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  return cluster
}

/** The members as the leader knows them: `a b c (d)` with learners in brackets. */
async function members(cluster: TestCluster): Promise<string> {
  const { peers } = cluster.client(await cluster.leader()).status()
  return peers.map(({ id, voter }: RaftPeer) => (voter ? id : `(${id})`)).join(' ')
}

function become(cluster: TestCluster, expected: string): Promise<unknown> {
  const probe = async () => {
    const now = await members(cluster)
    if (now !== expected) throw new Error(`members are ${now}`)
    return true
  }
  // What a busy machine misses counts as comings and goings, for each of which a node has to stay four times as long.
  return eventually(`members are ${expected}`, probe, 60_000)
}

/** Voters a, b, c, of which one is not leading and is returned, and the learner d. */
async function threeAndOne(cluster: TestCluster): Promise<{ victim: string; others: string[] }> {
  const ids = await cluster.found(3, GRACE)
  await cluster.add('d', { expect: 0, ...GRACE })
  await become(cluster, 'a b c (d)')
  const leader = await cluster.leader()
  await cluster.client(leader).propose(set('k', '1'))
  const victim = ids.find((id) => id !== leader) ?? ''
  return { victim, others: ids.filter((id) => id !== victim) }
}

t.test('a dead voter is replaced by a learner, so that a second death is survived', async (t) => {
  const cluster = setUp(t)
  const { victim, others } = await threeAndOne(cluster)
  cluster.kill(victim)
  await become(cluster, [...others, 'd'].join(' '))

  const second = others.find((id) => id !== cluster.client('d').status().leader) ?? ''
  cluster.kill(second)
  await cluster.client('d').propose(set('k', '2'), { timeoutMs: 20_000 })
  t.equal(await get(cluster.client('d'), 'k'), '2')
  t.same(cluster.fatal, [])
})

t.test('the replaced voter comes back with its data as a learner', async (t) => {
  const cluster = setUp(t)
  const { victim, others } = await threeAndOne(cluster)
  cluster.kill(victim)
  await become(cluster, [...others, 'd'].join(' '))
  await cluster.client('d').propose(set('k', '2'))
  await cluster.restart(victim)
  const expected = [...others, 'd', `(${victim})`].sort((a, b) =>
    a.replace('(', '') < b.replace('(', '') ? -1 : 1,
  )
  await become(cluster, expected.join(' '))
  await eventually('it has caught up', async () => (await get(cluster.client(victim), 'k', 'stale')) === '2')
  t.equal(cluster.client(victim).status().role, 'learner')
  t.same(cluster.fatal, [])
})

t.test('a voter that was cut off and replaced joins again without a restart', async (t) => {
  const cluster = setUp(t)
  const { victim, others } = await threeAndOne(cluster)
  const rest = [...others, 'd']
  cluster.network.partition([victim], rest)
  await eventually('it is replaced', () => {
    const { leader, peers } = cluster.client('d').status()
    return leader !== null && peers.map(({ id }) => id).join() === rest.join()
  })
  cluster.network.heal()
  await eventually('it is a learner', () => cluster.client(victim).status().role === 'learner')
  await cluster.client('d').propose(set('k', '3'))
  t.equal(await get(cluster.client(victim), 'k'), '3')
  t.same(cluster.fatal, [])
})

t.test('a node that lost its disk returns under a new identity and takes the place of the old', async (t) => {
  const cluster = setUp(t)
  const ids = await cluster.found(3, GRACE)
  const leader = await cluster.leader()
  await cluster.client(leader).propose(set('k', '1'))
  const victim = ids.find((id) => id !== leader) ?? ''
  cluster.kill(victim)
  await cluster.add('x', { expect: 0, ...GRACE })
  await become(cluster, [...ids.filter((id) => id !== victim), 'x'].join(' '))
  await cluster.client('x').propose(set('k', '2'))
  t.same(cluster.fatal, [])
})

t.test('a dead voter that nobody replaces is kept, and needs no joining when it is back', async (t) => {
  const cluster = setUp(t)
  const ids = await cluster.found(3, GRACE)
  const leader = await cluster.leader()
  const victim = ids.find((id) => id !== leader) ?? ''
  cluster.kill(victim)
  await cluster.client(leader).propose(set('k', '1'))
  await cluster.restart(victim)
  await eventually('it has caught up', async () => (await get(cluster.client(victim), 'k')) === '1')
  t.equal(await members(cluster), 'a b c')
})

t.test('a learner that stays away is removed', async (t) => {
  const cluster = setUp(t)
  const grace = { deadVoterGraceMs: 60_000, deadLearnerGraceMs: 300 }
  await cluster.found(3, grace)
  await cluster.add('d', { expect: 0, ...grace })
  await become(cluster, 'a b c (d)')
  cluster.kill('d')
  await become(cluster, 'a b c')
  await cluster.restart('d')
  await become(cluster, 'a b c (d)')
})

t.test('more founders than voters wanted: the rest become learners', async (t) => {
  const cluster = setUp(t)
  await cluster.found(5, { votersTarget: 3 })
  await eventually('three voters', async () => {
    const { peers } = cluster.client(await cluster.leader()).status()
    return peers.length === 5 && peers.filter(({ voter }) => voter).length === 3
  })
  t.same(cluster.fatal, [])
})

t.test('leadership goes to whom it is given, asked on any node', async (t) => {
  const cluster = setUp(t)
  const ids = await cluster.found(3, GRACE)
  const leader = await cluster.leader()
  const [first = '', second = ''] = ids.filter((id) => id !== leader)
  t.equal(await cluster.client(second).transferLeadership(first), first)
  t.equal(await cluster.leader(), first)
  t.equal(await cluster.client(first).transferLeadership(leader), leader)
  t.equal(await cluster.leader(), leader)
  t.equal(await cluster.client(second).transferLeadership(leader), leader, 'who leads may be named')
  t.not(await cluster.client(second).transferLeadership(), leader)
  await t.rejects(cluster.client(second).transferLeadership('x'), {
    code: 'CST_REFUSED',
    message: 'x is not a member of the cluster',
  })
  await cluster.add('d', { expect: 0, ...GRACE })
  await become(cluster, 'a b c (d)')
  await t.rejects(cluster.client('d').transferLeadership('d'), {
    code: 'CST_REFUSED',
    message: 'd does not vote and cannot lead',
  })
})

t.test('only a dead node can be removed, and never the leader', async (t) => {
  const cluster = setUp(t)
  const ids = await cluster.found(3, { deadVoterGraceMs: 60_000 })
  const leader = await cluster.leader()
  const [victim = '', other = ''] = ids.filter((id) => id !== leader)
  const client = cluster.client(other)
  await t.rejects(client.removePeer(leader), { code: 'CST_REFUSED', message: /leads the cluster/ })
  await t.rejects(client.removePeer(victim), { code: 'CST_REFUSED', message: /answers: stop it first/ })
  await t.rejects(client.removePeer('x'), { code: 'CST_REFUSED', message: /not a member/ })
  cluster.kill(victim)
  await eventually('it is removed', async () => {
    await client.removePeer(victim)
    return true
  })
  t.equal(await members(cluster), [leader, other].sort().join(' '))
  await client.propose(set('k', '1'))
})

t.test('a node that lost its log is refused until its old self is removed', async (t) => {
  const cluster = setUp(t)
  const ids = await cluster.found(3, { deadVoterGraceMs: 60_000 })
  const leader = await cluster.leader()
  await cluster.client(leader).propose(set('k', '1'))
  const victim = ids.find((id) => id !== leader) ?? ''
  cluster.kill(victim)
  let refusals = 0
  cluster.network.drops = (passing) => {
    if (passing.kind === 'answer' && operationOf(passing) === 'join') refusals++
    return false
  }
  await cluster.add(victim, { expect: 0 })
  await eventually('it was refused', () => refusals > 2)
  t.equal(cluster.client(victim).status().clusterId, null)
  await eventually('its old self is removed', async () => {
    await cluster.client(leader).removePeer(victim)
    return true
  })
  await eventually(
    'it has joined anew',
    async () => (await get(cluster.client(victim), 'k', 'stale')) === '1',
  )
  await become(cluster, 'a b c')
  t.same(cluster.fatal, [])
})

t.test('a leader too new to know who votes says nothing of a node that lost its log', async (t) => {
  const configuration = { ...initialConfiguration(['a', 'b', 'c']), learners: ['d'] }
  const core = raft('a', disk(configuration))
  const members = new Members(
    {
      nodeId: 'a',
      votersTarget: 3,
      learnersMax: 16,
      aliveMs: 1,
      askedEvery: { voterMs: 0, learnerMs: 0 },
      ...GRACE,
    },
    {
      raft: () => core,
      cordoned: () => [],
      autopilot: () => null,
      transport: new TestNetwork().transport('a'),
      clock: systemClock,
      log: silent,
    },
  )
  elect(core, ['b'])
  t.throws(() => members.mustRemember('d'), { code: 'CST_NOT_LEADER' })
  core.step(message({ type: 'appendResponse', from: 'b', to: 'a', term: 1, index: 1 }))
  drain(core)
  t.equal(members.mustRemember('d'), false)
  t.equal(members.mustRemember('b'), true)
})
