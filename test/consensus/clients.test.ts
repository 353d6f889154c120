import t from 'tap'
import { systemClock } from '../../consensus/clock.ts'
import { LeaseKeeper } from '../../consensus/leases.ts'
import { textToKey } from '../../consensus/state/keys.ts'
import { eventually, get, type MemberOptions, set, silent, TestCluster } from './cluster.ts'
import { operationOf } from './network.ts'

const SETTINGS = { votersTarget: 3, learnersMax: 1, deadVoterGraceMs: 400 } as const

type Tap = { teardown(fn: () => Promise<void>): void }

function role(cluster: TestCluster, id: string): string {
  return cluster.client(id).status().role
}

/** Founders a, b, c; then d … join one after the other, so that it is known who gets the places. */
async function grown(t: Tap, size: number, options: Partial<MemberOptions> = {}) {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const ids = await cluster.found(3, { ...SETTINGS, ...options })
  for (const id of [...'defgh'].slice(0, size - 3)) {
    await cluster.add(id, { expect: 0, ...SETTINGS, ...options })
    await eventually(`${id} has its part`, () => ['learner', 'client'].includes(role(cluster, id)))
    ids.push(id)
  }
  return { cluster, ids, clients: ids.filter((id) => role(cluster, id) === 'client') }
}

function text(cluster: TestCluster, id: string, key: string): Promise<string | undefined> {
  return get(cluster.client(id), key, 'stale')
}

t.test('of seven nodes three vote, one learns and three are clients that serve everything', async (t) => {
  const { cluster, ids, clients } = await grown(t, 7)
  t.same(
    ids
      .map((id) => role(cluster, id))
      .filter((r) => r !== 'leader')
      .sort(),
    ['client', 'client', 'client', 'follower', 'follower', 'learner'],
  )
  t.same(clients, ['e', 'f', 'g'])
  const leader = await cluster.leader()
  for (const id of ids) {
    const { peers, clusterId, feed, lastLogIndex } = cluster.client(id).status()
    t.same(
      peers.map((peer) => `${peer.id}${peer.voter}`),
      ['atrue', 'btrue', 'ctrue', 'dfalse'],
      id,
    )
    t.equal(clusterId, cluster.client('a').status().clusterId)
    if (!clients.includes(id)) continue
    t.equal(lastLogIndex, 0, 'a client has no log')
    t.ok(feed !== undefined)
    await eventually('a member feeds it, and the leader is spared', () => {
      const feeder = cluster.client(id).status().feed?.feeder ?? ''
      return feeder !== leader && ['a', 'b', 'c', 'd'].includes(feeder)
    })
  }

  for (const [i, writer] of ids.entries()) {
    await cluster.client(writer).propose(set('k', `${i}`))
    for (const reader of ids) {
      t.equal(await get(cluster.client(reader), 'k', 'consistent'), `${i}`, `${writer} → ${reader}`)
      const { view, knownLeader } = await cluster.client(reader).read('default')
      t.ok(view.kvGet(textToKey('k')))
      t.ok(knownLeader)
    }
  }
  await eventually('the feeders know whom they feed', () => {
    const fed = ids.flatMap((id) => cluster.client(id).status().followers ?? [])
    return new Set(fed.map(({ id }) => id)).size === 3
  })
  t.same(cluster.fatal, [])
})

t.test('a watch on a client fires once per change, whoever writes', async (t) => {
  const { cluster } = await grown(t, 5)
  t.equal(role(cluster, 'e'), 'client')
  const client = cluster.client('e')
  await client.propose(set('other', '0'))
  await client.read('consistent')
  let fired = 0
  client.watch({ kind: 'key', key: textToKey('w') }, () => fired++)
  for (let i = 1; i <= 20; i++) {
    await cluster.client(i % 2 ? 'a' : 'e').propose(set('w', `${i}`))
    await client.read('consistent')
    t.equal(fired, i)
    await cluster.client('b').propose(set('other', `${i}`))
  }
  await client.read('consistent')
  t.equal(fired, 20)
})

t.test('a client holds leases and gives them back, also when its feeder and the leader change', async (t) => {
  const { cluster } = await grown(t, 6)
  t.same([role(cluster, 'e'), role(cluster, 'f')], ['client', 'client'])
  const keeper = (id: string) =>
    new LeaseKeeper(
      { node: id, names: ['lb'], ttlMs: 1500 },
      { client: cluster.client(id), clock: systemClock, log: silent },
    )
  const [first, second] = [keeper('e'), keeper('f')]
  t.teardown(() => Promise.all([first.stop(), second.stop()]).then(() => {}))
  await first.start()
  await eventually('e holds it', () => first.holds('lb'))
  await second.start()
  const token = first.list()[0]?.fencingToken
  await cluster.client(await cluster.leader()).transferLeadership()
  cluster.kill('d')
  // Longer than the session lives without being renewed.
  for (const end = performance.now() + 2000; performance.now() < end; ) {
    await cluster.client('f').propose(set('k', '1'), { timeoutMs: 20_000 })
    if (second.holds('lb')) t.fail('f holds the lease of e')
  }
  // On a machine that stood still the next renewal may be on its way.
  await eventually('e holds it', () => first.holds('lb'))
  t.equal(first.list()[0]?.fencingToken, token)
  await first.stop()
  await eventually('f holds it', () => second.holds('lb'))
  t.ok((second.list()[0]?.fencingToken ?? 0) > (token ?? 0))
})

t.test('clients write and read on when the leader dies, and when their feeder dies', async (t) => {
  const { cluster, clients } = await grown(t, 7)
  // A read waits for a new leader as a write does.
  const failover = { timeoutMs: 20_000 }
  const leader = await cluster.leader()
  await cluster.client('e').propose(set('before', '1'))
  cluster.kill(leader)
  for (const id of clients) {
    await cluster.client(id).propose(set(id, '2'), failover)
    t.equal(await get(cluster.client(id), 'before', 'consistent', failover), '1')
  }
  const feeder = cluster.client('e').status().feed?.feeder ?? ''
  // The quorum of the three voters must survive, and while they change that of the former three as well.
  await eventually('the dead voter is replaced', async () => {
    const { peers, joint } = cluster.client(await cluster.leader()).status()
    return joint === null && peers.filter(({ voter }) => voter).every(({ id }) => id !== leader)
  })
  cluster.kill(feeder)
  for (const id of clients) {
    await cluster.client(id).propose(set('after', id), failover)
    for (const other of clients) {
      t.equal(await get(cluster.client(other), 'after', 'consistent', failover), id, other)
    }
  }
  t.not(cluster.client('e').status().feed?.feeder, feeder)
  t.same(cluster.fatal, [])
})

t.test('a client becomes a learner and then a voter when a voter dies and no learner is there', async (t) => {
  const { cluster } = await grown(t, 5, { learnersMax: 0 })
  t.same([role(cluster, 'd'), role(cluster, 'e')], ['client', 'client'])
  const client = cluster.client('d')
  let last = 0
  let backwards = 0
  const observing = setInterval(() => {
    const { appliedIndex } = client.status()
    if (appliedIndex < last) backwards++
    last = appliedIndex
  }, 2)
  t.teardown(async () => clearInterval(observing))
  const leader = await cluster.leader()
  const victim = ['a', 'b', 'c'].find((id) => id !== leader) ?? ''
  for (let i = 0; i < 50; i++) await client.propose(set(`k/${i}`, `${i}`))
  cluster.kill(victim)
  await eventually('three living voters', () => {
    const { peers } = cluster.client(leader).status()
    const voters = peers.filter(({ voter }) => voter).map(({ id }) => id)
    return voters.length === 3 && !voters.includes(victim)
  })
  await eventually('one of the clients votes', () =>
    ['d', 'e'].some((id) => ['follower', 'leader'].includes(role(cluster, id))),
  )
  t.equal(['d', 'e'].filter((id) => role(cluster, id) === 'client').length, 1, 'the other stays a client')
  await client.propose(set('after', '1'))
  t.equal(await get(client, 'after'), '1')
  t.equal(await get(client, 'k/49'), '49')
  t.equal(backwards, 0, 'the state never went back')
  t.equal(role(cluster, 'd') === 'client', cluster.client('d').status().feed !== undefined)
  t.same(cluster.fatal, [])
})

t.test('a client that becomes a member is read from its own log only when that is as far', async (t) => {
  const { cluster } = await grown(t, 4, { learnersMax: 0 })
  t.equal(role(cluster, 'd'), 'client')
  const leader = await cluster.leader()
  const victim = ['a', 'b', 'c'].find((id) => id !== leader) ?? ''
  const client = cluster.client('d')
  // From here on it is sent nothing but what the feed brings.
  let enough = Number.POSITIVE_INFINITY
  cluster.network.drops = ({ kind, to }) =>
    kind === 'message' && to === 'd' && client.status().lastLogIndex >= enough
  cluster.kill(victim)
  let last = 0
  let n = 0
  const write = async () => {
    await cluster.client(leader).propose(set('n', `${++n}`))
    const { appliedIndex, peers } = client.status()
    if (appliedIndex < last) t.fail(`the state went back from ${last} to ${appliedIndex}`)
    last = appliedIndex
    const taken = peers.some(({ id }) => id === 'd')
    if (taken && enough === Number.POSITIVE_INFINITY) enough = client.status().lastLogIndex + 3
  }
  await eventually('its log has begun', async () => {
    await write()
    return client.status().lastLogIndex >= enough
  })
  // Long enough for a few looks at which copy counts.
  for (const end = performance.now() + 700; performance.now() < end; ) await write()
  t.equal(role(cluster, 'd'), 'client')
  t.equal(await get(client, 'n'), `${n}`)
  cluster.network.drops = () => false
  await eventually('it is a member', async () => {
    await write()
    return ['learner', 'follower'].includes(role(cluster, 'd'))
  })
  t.equal(client.status().feed, undefined)
  t.equal(await get(client, 'n'), `${n}`)
})

t.test('a client is started again without a log and is fed again, and never founds a cluster', async (t) => {
  const { cluster } = await grown(t, 6)
  const clusterId = cluster.client('e').status().clusterId
  await cluster.client('e').propose(set('k', '1'))
  await cluster.stop('e')
  await cluster.stop('f')
  // While no member answers, two clients that are told to expect two must not make a cluster of their own.
  cluster.network.partition(['e', 'f'], ['a', 'b', 'c', 'd'])
  for (const id of ['e', 'f']) {
    const { store, options } = cluster.member(id)
    await cluster.add(id, { ...options, store, expect: 2 })
  }
  await t.rejects(cluster.client('e').propose(set('k', '2'), { timeoutMs: 600 }), { code: 'CST_NO_LEADER' })
  t.equal(cluster.client('e').status().clusterId, clusterId)
  t.equal(cluster.client('e').status().lastLogIndex, 0)
  cluster.network.heal()
  await eventually('both are clients again', () => ['e', 'f'].every((id) => role(cluster, id) === 'client'))
  t.equal(await get(cluster.client('e'), 'k'), '1')
})

t.test('a dead learner is gone for good: a client takes the place that became free', async (t) => {
  const { cluster } = await grown(t, 5, { deadLearnerGraceMs: 500 })
  t.equal(role(cluster, 'e'), 'client')
  cluster.kill('d')
  await eventually('e is a learner', () => role(cluster, 'e') === 'learner')
  await cluster.client('e').propose(set('k', '1'))
  t.equal((await text(cluster, 'e', 'k')) ?? (await get(cluster.client('e'), 'k')), '1')

  // The dead one comes back with a log from which it must not speak: it is a client now.
  await cluster.restart('d')
  await eventually('d is a client', () => role(cluster, 'd') === 'client')
  t.equal(await get(cluster.client('d'), 'k'), '1')
  await cluster.client('d').propose(set('k', '2'))
  t.equal(await get(cluster.client('e'), 'k'), '2')
  t.same(cluster.fatal, [])
})

t.test('a client that is cut off knows no leader and serves what it has; healed it goes on', async (t) => {
  const { cluster } = await grown(t, 5)
  const client = cluster.client('e')
  await client.propose(set('k', '1'))
  await client.read('consistent')
  cluster.network.partition(['e'], ['a', 'b', 'c', 'd'])
  await eventually('no leader is known', () => client.status().leader === null)
  await t.rejects(client.read('consistent', { timeoutMs: 100 }), { code: 'CST_NO_LEADER' })
  t.equal(await text(cluster, 'e', 'k'), '1')
  await cluster.client('a').propose(set('k', '2'))
  cluster.network.heal()
  await eventually('it goes on', async () => (await text(cluster, 'e', 'k')) === '2')
  t.equal(client.status().feed?.restarts, 1, 'it went on where it was')
})

t.test(
  'what a client missed and is compacted away it gets as a whole state; no watcher sleeps',
  async (t) => {
    const { cluster } = await grown(t, 5, { snapshotEntries: 30 })
    const client = cluster.client('e')
    await client.propose(set('w', '1'))
    await client.read('consistent')
    let woken = false
    client.watch({ kind: 'key', key: textToKey('w') }, () => {
      woken = true
    })
    cluster.network.partition(['e'], ['a', 'b', 'c', 'd'])
    await cluster.client('a').propose(set('w', '2'))
    for (let i = 0; i < 200; i++) await cluster.client('a').propose(set(`k/${i}`, `${i}`))
    await eventually('every log is compacted', () =>
      ['a', 'b', 'c', 'd'].every((id) => cluster.client(id).status().firstLogIndex > 60),
    )
    cluster.network.heal()
    await eventually('it caught up', async () => (await text(cluster, 'e', 'k/199')) === '199')
    t.equal(await text(cluster, 'e', 'w'), '2')
    t.ok(woken)
    t.equal(client.status().feed?.restarts, 2)
  },
)

t.test('a voter that has lost its log is refused, and is no client either', async (t) => {
  const { cluster } = await grown(t, 4, { learnersMax: 0, deadVoterGraceMs: 60_000 })
  const leader = await cluster.leader()
  const victim = ['a', 'b', 'c'].find((id) => id !== leader) ?? ''
  await cluster.stop(victim)
  const { store: _lost, ...options } = cluster.member(victim).options
  let answers = 0
  cluster.network.drops = (passing) => {
    const isAnswer = passing.kind === 'answer' && passing.from === victim && passing.to === leader
    if (isAnswer && operationOf(passing) === 'join') answers++
    return false
  }
  await cluster.add(victim, { ...options, expect: 0 })
  await eventually('the leader answered', () => answers > 1)
  const { role: now, clusterId, feed } = cluster.client(victim).status()
  t.same([now, clusterId, feed], ['none', null, undefined])
})

t.test('a leader that cannot confirm that it leads takes nobody in and calls nobody a client', async (t) => {
  const { cluster } = await grown(t, 4)
  const leader = await cluster.leader()
  cluster.network.drops = ({ kind, to }) => kind === 'message' && to === leader
  const adding = cluster.add('e', { expect: 0, ...SETTINGS })
  let roleThen = ''
  cluster.client('e').onStatus(({ clusterId }) => {
    if (clusterId !== null && roleThen === '') roleThen = role(cluster, leader)
  })
  await adding
  await eventually('it is in', () => role(cluster, 'e') === 'client')
  t.not(roleThen, '')
  t.not(roleThen, 'leader')
})

t.test('an operator makes a voter of a client that answers, connected or not, and of no other', async (t) => {
  const { cluster } = await grown(t, 6)
  t.same([role(cluster, 'e'), role(cluster, 'f')], ['client', 'client'])
  const others = ['a', 'b', 'c', 'd']
  cluster.network.partition(['f'], others)
  const leader = await cluster.leader()
  await t.rejects(cluster.client(leader).addVoter('f'), { code: 'CST_REFUSED', message: 'f does not answer' })
  for (const id of others) cluster.network.part(id, 'e')
  t.match(await cluster.client(leader).addVoter('e'), /voter|learner/)
  await eventually('e votes', () =>
    cluster
      .client('e')
      .status()
      .peers.some((p) => p.id === 'e' && p.voter),
  )
  t.same(cluster.fatal, [])
})
