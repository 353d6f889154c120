import t from 'tap'
import { CORDONS } from '../../consensus/client.ts'
import { eventually, get, set, TestCluster } from './cluster.ts'

const GRACE = { deadVoterGraceMs: 60_000, deadLearnerGraceMs: 60_000 }

function setUp(t: { teardown(fn: () => Promise<void>): void }) {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  return cluster
}

/** Ids of the voters as the leader knows them, once no change is under way. */
async function voters(cluster: TestCluster): Promise<string> {
  const { peers, joint } = cluster.client(await cluster.leader()).status()
  if (joint !== null) throw new Error('a change is under way')
  return peers.flatMap(({ id, voter }) => (voter ? [id] : [])).join('')
}

function become(cluster: TestCluster, expected: string): Promise<unknown> {
  const probe = async () => {
    const now = await voters(cluster)
    if (now !== expected) throw new Error(`the voters are ${now}`)
    return true
  }
  // What a busy machine misses counts as comings and goings, for each of which a node has to stay four times as long.
  return eventually(`the voters are ${expected}`, probe, 60_000)
}

/** Voters a, b, c and the learner d. */
async function threeAndOne(cluster: TestCluster, settings: { readonly tickMs?: number } = {}) {
  const ids = await cluster.found(3, { ...GRACE, ...settings })
  await cluster.add('d', { expect: 0, ...GRACE, ...settings })
  await eventually('d is a learner', () => cluster.client('d').status().role === 'learner')
  const leader = await cluster.leader()
  const [victim = '', other = ''] = ids.filter((id) => id !== leader)
  return { leader, victim, other }
}

t.test(
  'a cordoned voter changes places with a learner, and back once the cordon is lifted and it is told so',
  async (t) => {
    const cluster = setUp(t)
    const { leader, victim, other } = await threeAndOne(cluster)
    await cluster.client(other).cordon(victim, `the node ${victim}`)
    await become(cluster, [leader, other, 'd'].sort().join(''))
    await eventually('it knows', () => cluster.client(victim).status().role === 'learner')
    await eventually('every node shows it', () =>
      ['a', 'b', 'c', 'd'].every((id) => {
        const { cordoned, peers } = cluster.client(id).status()
        return cordoned.join() === victim && peers.find((peer) => peer.id === victim)?.cordoned
      }),
    )
    await t.rejects(cluster.client(other).addVoter(victim), {
      code: 'CST_REFUSED',
      message: `${victim} is cordoned: uncordon it first`,
    })
    await cluster.client(victim).uncordon(victim)
    t.equal(await cluster.client(victim).addVoter(victim), 'voter')
    await eventually('the cordon is gone', async () => {
      const { cordoned } = cluster.client(await cluster.leader()).status()
      return cordoned.length === 0
    })
    await eventually('it votes', async () => (await voters(cluster)).includes(victim))
    t.same(cluster.fatal, [])
  },
)

t.test('a cordoned leader hands leadership over and then its vote', async (t) => {
  const cluster = setUp(t)
  const { leader, victim, other } = await threeAndOne(cluster)
  await cluster.client('d').cordon(leader, leader)
  await become(cluster, [victim, other, 'd'].sort().join(''))
  t.not(await cluster.leader(), leader)
  await cluster.client(leader).propose(set('k', '1'))
  t.equal(await get(cluster.client('d'), 'k'), '1')
  t.same(cluster.fatal, [])
})

t.test('cordoned voters whom nobody can replace go on voting, whoever leads', async (t) => {
  const cluster = setUp(t)
  const ids = await cluster.found(3, GRACE)
  for (const id of ids) await cluster.client('a').cordon(id, id)
  const leader = await cluster.leader()
  await cluster.client('b').propose(set('k', '1'))
  await cluster.add('d', { expect: 0, ...GRACE })
  await eventually('one of them is replaced', async () => (await voters(cluster)).includes('d'))
  t.equal((await voters(cluster)).length, 3)
  await eventually('and the one that is not cordoned leads', async () => (await cluster.leader()) === 'd')
  t.not(leader, 'd')
  t.same(cluster.fatal, [])
})

t.test('the only voter, cordoned, gives its vote and leadership to the learner', async (t) => {
  const cluster = setUp(t)
  await cluster.found(1, GRACE)
  await cluster.add('b', { expect: 0, ...GRACE })
  await eventually('b is a learner', () => cluster.client('b').status().role === 'learner')
  await cluster.client('a').cordon('a', 'a')
  await become(cluster, 'b')
  t.equal(await cluster.leader(), 'b')
  await eventually('it knows', () => cluster.client('a').status().role === 'learner')
  await cluster.client('a').propose(set('k', '1'))
  t.same(cluster.fatal, [])
})

t.test('cordons survive a restart of every node, and are in snapshots', async (t) => {
  const cluster = setUp(t)
  const ids = await cluster.found(3, { ...GRACE, snapshotEntries: 20 })
  const leader = await cluster.leader()
  await cluster.client(leader).cordon('c', 'c')
  for (let i = 0; i < 50; i++) await cluster.client(leader).propose(set(`k${i}`, 'x'))
  for (const id of ids) cluster.kill(id)
  for (const id of ids) await cluster.restart(id)
  await cluster.leader()
  await cluster.client('a').read('consistent')
  t.ok(cluster.client('a').status().snapshotIndex > 20)
  t.same(cluster.client('a').status().cordoned, ['c'])
  await cluster.add('d', { expect: 0, ...GRACE })
  await become(cluster, 'abd')
})

t.test(
  'an operator makes a voter of a learner: one more below the target, else in the place of another',
  async (t) => {
    const cluster = setUp(t)
    const { leader } = await threeAndOne(cluster)
    t.equal(await cluster.client('d').addVoter('d'), 'voter', 'also if that makes the number even')
    await become(cluster, 'abcd')
    t.equal(await cluster.client(leader).addVoter('d'), 'voter', 'which it is already')

    const small = setUp(t)
    const ids = await small.found(3, { ...GRACE, votersTarget: 3 })
    await small.add('d', { expect: 0, ...GRACE, votersTarget: 3 })
    await eventually('d is a learner', () => small.client('d').status().role === 'learner')
    const [first] = ids
    t.equal(await small.client(first ?? '').addVoter('d'), 'voter')
    await eventually('the joint configuration is left', async () => (await voters(small)).length === 3)
    t.match(await voters(small), /d$/)
  },
)

t.test('nobody is made a voter whom the leader does not know or hear', async (t) => {
  const cluster = setUp(t)
  const { leader } = await threeAndOne(cluster)
  await t.rejects(cluster.client(leader).addVoter('x'), {
    code: 'CST_REFUSED',
    message: 'x is not known to the leader',
  })
  cluster.kill('d')
  await t.rejects(cluster.client(leader).addVoter('d'), { code: 'CST_REFUSED', message: 'd does not answer' })
  t.equal(await voters(cluster), 'abc')
})

t.test('a learner that comes and goes is not chosen until it has stayed', async (t) => {
  const cluster = setUp(t)
  // Silence is a second long: on a busy machine a shorter one would be taken for more of its comings and goings.
  const slow = { tickMs: 50 }
  const { leader } = await threeAndOne(cluster, slow)
  await cluster.client(leader).setAutopilot({ serverStabilizationMs: 100 })
  const seen = async () => {
    const leader = await cluster.leader()
    const { term, peers } = cluster.client(leader).status()
    const { flaps, flapping } = peers.find(({ id }) => id === 'd') ?? {}
    return { term, flaps: flaps ?? 0, flapping }
  }
  // A leader that was held up itself does not hold against d what it lost then; nor does the next leader know of it.
  let known = -1
  // Before the return that was noticed last: of those that nobody noticed in between, the first.
  let started = 0
  for (let returns = 1; (await seen()).flaps < 2; returns++) {
    if (returns > 10) throw new Error('the leader never noticed')
    const { flaps } = await seen()
    cluster.kill('d')
    if (flaps !== known) started = performance.now()
    known = flaps
    await cluster.restart('d')
    await eventually('it has come back', async () => (await seen()).flaps > flaps, 1000).catch(() => {})
  }
  const before = await seen()
  t.equal(before.flapping, true)
  await cluster.add('e', { expect: 0, ...GRACE, ...slow })
  await eventually('e is a learner', () => cluster.client('e').status().role === 'learner')
  await become(cluster, 'abcde')
  const tookMs = performance.now() - started
  const after = await seen()
  if (after.term === before.term) {
    t.ok(tookMs >= 1600, `it had to stay for a while: ${Math.round(tookMs)} ms`)
    t.ok(!after.flapping || after.flaps > before.flaps, 'it has stayed')
  }
  t.same(cluster.fatal, [])
})

/** Voters a, b, c, no place for a learner, and the client d. */
async function threeAndClient(cluster: TestCluster) {
  const options = { ...GRACE, votersTarget: 3, learnersMax: 0 }
  const ids = await cluster.found(3, options)
  await cluster.add('d', { expect: 0, ...options })
  await eventually('d is a client', () => cluster.client('d').status().role === 'client')
  return ids
}

t.test('a client is made a voter in the place of another', async (t) => {
  const cluster = setUp(t)
  await threeAndClient(cluster)
  await cluster.client('d').addVoter('d')
  await eventually('d votes', async () => /^..d$/.test(await voters(cluster)))
  await eventually('and knows it', () => cluster.client('d').status().role !== 'client')
  await cluster.client('d').propose(set('k', '1'))
  t.equal(await get(cluster.client('d'), 'k'), '1')
  t.same(cluster.fatal, [])
})

t.test('a client takes the place of a cordoned voter, and shows the cordon before', async (t) => {
  const cluster = setUp(t)
  await threeAndClient(cluster)
  const leader = await cluster.leader()
  const victim = ['a', 'b', 'c'].find((id) => id !== leader) ?? ''
  let told = 0
  cluster.client('d').watch(CORDONS, () => told++)
  await cluster.client('d').cordon(victim, victim)
  await eventually('the client is told', () => told > 0)
  await eventually('the client shows it', () => {
    const { cordoned, peers } = cluster.client('d').status()
    return cordoned.join() === victim && peers.some(({ id, cordoned }) => id === victim && cordoned)
  })
  await become(cluster, ['a', 'b', 'c', 'd'].filter((id) => id !== victim).join(''))
  t.same(cluster.fatal, [])
})
