import t from 'tap'
import { decodeRecord, encodeRecord } from '../../consensus/state/codec.ts'
import { eventually, set, TestCluster } from './cluster.ts'
import { operationOf, type Passing } from './network.ts'

function start(t: { teardown(fn: () => Promise<void>): void }, ids: string[], expect = ids.length) {
  const cluster = new TestCluster()
  t.teardown(async () => {
    for (const { store } of cluster.members.values()) store.release()
    await cluster.close()
  })
  const starting = Promise.all(ids.map((id) => cluster.add(id, { expect })))
  starting.catch(() => {})
  return cluster
}

function clusterIds(cluster: TestCluster, ids: string[]): (string | null)[] {
  return [...new Set(ids.map((id) => cluster.client(id).status().clusterId))]
}

/** One cluster, known by all, that takes writes. */
async function isOne(t: { equal(a: unknown, b: unknown): void }, cluster: TestCluster, ids: string[]) {
  await eventually('all belong to a cluster', () => !clusterIds(cluster, ids).includes(null))
  t.equal(clusterIds(cluster, ids).length, 1)
  await cluster.leader()
  for (const id of ids) t.equal((await cluster.client(id).propose(set(id, '1'))).ok, true)
  const { peers } = cluster.client(ids[0] ?? '').status()
  t.equal(peers.map(({ id }) => id).join(), ids.join())
}

function is(operation: string, to?: string): (passing: Passing) => boolean {
  return (passing) =>
    passing.kind === 'request' &&
    operationOf(passing) === operation &&
    (to === undefined || passing.to === to)
}

for (const size of [2, 3]) {
  t.test(`a cluster of ${size} comes out although every "found" is lost`, async (t) => {
    const ids = [...'abc'].slice(0, size)
    const cluster = start(t, ids)
    cluster.network.drops = is('found')
    await isOne(t, cluster, ids)
  })
}

t.test('a founder that was not told learns it from another founder when the proposer has died', async (t) => {
  const cluster = start(t, ['a', 'b', 'c'])
  cluster.network.drops = (passing) => is('found', 'c')(passing) || is('attempt', 'a')(passing)
  await eventually(
    'b founded',
    () => cluster.members.size === 3 && cluster.client('b').status().clusterId !== null,
  )
  cluster.kill('a')
  await eventually('c founded', () => cluster.client('c').status().clusterId !== null)
  t.equal(clusterIds(cluster, ['b', 'c']).length, 1)
  t.equal((await cluster.client('c').propose(set('k', '1'), { timeoutMs: 20_000 })).ok, true)
})

t.test('a proposer that dies before it decided is free to try again, and so are the others', async (t) => {
  const cluster = start(t, ['a', 'b', 'c'])
  await eventually('all are there', () => cluster.members.size === 3)
  let asked = 0
  cluster.network.drops = (passing) => {
    if (passing.kind === 'answer' && operationOf(passing) === 'attempt' && passing.to === 'a') asked++
    return false
  }
  const { store } = cluster.member('a')
  store.hold('initialise')
  await eventually('a is about to decide', () => store.waiting > 0)
  await eventually('the others have asked', () => asked >= 2)
  t.same(clusterIds(cluster, ['a', 'b', 'c']), [null], 'nobody hears of what is not durable')
  cluster.kill('a')
  await cluster.restart('a')
  await isOne(t, cluster, ['a', 'b', 'c'])
})

t.test('a proposer that dies right after it decided brings the others in when it is back', async (t) => {
  const cluster = start(t, ['a', 'b', 'c'])
  cluster.network.drops = (passing) => is('found')(passing) || is('attempt')(passing)
  await eventually(
    'a decided',
    () => cluster.members.size === 3 && cluster.client('a').status().clusterId !== null,
  )
  const { clusterId } = cluster.client('a').status()
  cluster.kill('a')
  t.same(clusterIds(cluster, ['b', 'c']), [null])
  cluster.network.drops = () => false
  await cluster.restart('a')
  await isOne(t, cluster, ['a', 'b', 'c'])
  t.equal(cluster.client('c').status().clusterId, clusterId)
})

t.test('a founder that dies keeps its pledge', async (t) => {
  const cluster = start(t, ['a', 'b', 'c'])
  cluster.network.drops = (passing) => is('found')(passing) || is('attempt')(passing)
  await eventually(
    'a decided',
    () => cluster.members.size === 3 && cluster.client('a').status().clusterId !== null,
  )
  for (const id of ['b', 'c']) cluster.kill(id)
  cluster.network.drops = is('join')
  await Promise.all(['b', 'c'].map((id) => cluster.restart(id)))
  await isOne(t, cluster, ['a', 'b', 'c'])
})

t.test('two groups that see only themselves at first make one cluster', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const [left, right] = [
    ['d', 'e', 'f'],
    ['a', 'b', 'c'],
  ]
  const across = left.flatMap((id) => right.map((other) => [id, other] as const))
  for (const [id, other] of across) {
    cluster.deafTo(id, other)
    cluster.deafTo(other, id)
  }
  // The same configuration everywhere: three to find the others by, who make the first cluster.
  const seeds = (id: string) => left.filter((other) => other !== id)
  await Promise.all(right.map((id) => cluster.add(id, { expect: 3, seeds: seeds(id) })))
  let pledges = 0
  cluster.network.drops = (passing) => {
    if (is('pledge')(passing) && right.includes(passing.to)) pledges++
    return false
  }
  await Promise.all(left.map((id) => cluster.add(id, { expect: 3, seeds: seeds(id) })))
  await eventually('the named ones founded', () => !clusterIds(cluster, left).includes(null))
  t.same(clusterIds(cluster, right), [null], 'the others wait for them')
  t.equal(pledges, 0)
  for (const [id, other] of across) {
    cluster.hearsAgain(id, other)
    cluster.hearsAgain(other, id)
  }
  await isOne(t, cluster, [...right, ...left])
})

t.test('a node refuses to found with others than those it was told of', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.add('c', { expect: 2, seeds: ['d'] })
  const ask = async (proposer: string) => {
    const pledge = { attempt: `of ${proposer}`, proposer, founders: [proposer, 'c'] }
    const peer = cluster.network.transport(proposer)
    const answer = await peer.request('c', encodeRecord({ op: 'pledge', pledge }), { timeoutMs: 1000 })
    return (decodeRecord(answer) as { value: { accepted: boolean } }).value.accepted
  }
  t.equal(await ask('a'), false)
  t.equal(await ask('d'), true)
})

t.test('of two proposers that ask at the same time one gets the pledge', async (t) => {
  const cluster = start(t, ['c'], 2)
  await eventually('it is there', () => cluster.members.size === 1)
  const ask = async (proposer: string) => {
    const pledge = { attempt: `of ${proposer}`, proposer, founders: [proposer, 'c'] }
    const peer = cluster.network.transport(proposer)
    const answer = await peer.request('c', encodeRecord({ op: 'pledge', pledge }), { timeoutMs: 1000 })
    return (decodeRecord(answer) as { value: { accepted: boolean } }).value.accepted
  }
  for (let round = 0; round < 3; round++) {
    const answers = await Promise.all(['a', 'b'].map(ask))
    t.same(answers, [true, false], 'and keeps it')
  }
})

t.test('a node that is pledged to another proposes nothing of its own', async (t) => {
  const cluster = start(t, ['a'], 2)
  await eventually('it is there', () => cluster.members.size === 1)
  const { store } = cluster.member('a')
  store.hold('setPledge')
  const peer = cluster.network.transport('A')
  const pledge = { attempt: 'x', proposer: 'A', founders: ['A', 'a'] }
  const answer = peer.request('a', encodeRecord({ op: 'pledge', pledge }), { timeoutMs: 5000 })
  await eventually('the pledge is being written', () => store.waiting === 1)
  let proposed = 0
  cluster.network.drops = (passing) => {
    if (is('pledge', 'b')(passing)) proposed++
    return false
  }
  await cluster.add('b', { expect: 2 })
  store.release()
  t.match(decodeRecord(await answer), { value: { accepted: true } })
  let asked = 0
  peer.onRequest(async () => {
    asked++
    return encodeRecord({ ok: true, value: { state: 'open', clusterId: null } })
  })
  await eventually('it asks its proposer, again and again', () => asked >= 2)
  t.equal(proposed, 0)
})

t.test('a node that has not read its storage yet says nothing of clusters', async (t) => {
  const cluster = start(t, ['a', 'b'])
  await isOne(t, cluster, ['a', 'b'])
  cluster.kill('b')
  const { store } = cluster.member('b')
  store.hold('open')
  const restarting = cluster.restart('b')
  await eventually('it is reading', () => store.waiting > 0)
  const peer = cluster.network.transport('x')
  const ask = async (request: object) =>
    decodeRecord(await peer.request('b', encodeRecord(request), { timeoutMs: 1000 }))
  const pledge = { attempt: 'x', proposer: 'x', founders: ['b', 'x'] }
  t.match(await ask({ op: 'pledge', pledge }), { ok: false, code: 'CST_NOT_INITIALISED' })
  t.match(await ask({ op: 'attempt', attempt: 'y' }), { ok: false, code: 'CST_NOT_INITIALISED' })
  store.release()
  await restarting
  t.match(await ask({ op: 'pledge', pledge }), { ok: true, value: { accepted: false } })
})

t.test('a pledge is not taken from one who is not its proposer, nor released by another', async (t) => {
  const cluster = start(t, ['c'], 2)
  await eventually('it is there', () => cluster.members.size === 1)
  const ask = async (from: string, request: object) => {
    const answer = await cluster.network
      .transport(from)
      .request('c', encodeRecord(request), { timeoutMs: 1000 })
    return decodeRecord(answer)
  }
  const pledge = { attempt: 'x', proposer: 'a', founders: ['a', 'c'] }
  t.match(await ask('b', { op: 'pledge', pledge }), { value: { accepted: false } })
  t.match(await ask('a', { op: 'pledge', pledge: { ...pledge, founders: ['a', 'b', 'c'] } }), {
    value: { accepted: false },
  })
  t.match(await ask('a', { op: 'pledge', pledge }), { value: { accepted: true } })
  await ask('b', { op: 'release', attempt: 'x' })
  t.match(await ask('b', { op: 'found', clusterId: 'x' }), { ok: false, code: 'CST_NOT_INITIALISED' })
  t.match(await ask('a', { op: 'found', clusterId: 'y' }), { ok: false, code: 'CST_NOT_INITIALISED' })
  const other = { attempt: 'y', proposer: 'b', founders: ['b', 'c'] }
  t.match(await ask('b', { op: 'pledge', pledge: other }), { value: { accepted: false } })
  await ask('a', { op: 'release', attempt: 'x' })
  t.match(await ask('b', { op: 'pledge', pledge: other }), { value: { accepted: true } })
})

/** d, e and f want to found a cluster of three; only f knows of a, whose id is smaller. Resolves when f was asked three times. */
async function askedThrice(t: Parameters<typeof start>[0], expectOfA: number): Promise<TestCluster> {
  const cluster = start(t, ['a'], expectOfA)
  await eventually(
    'a is there',
    () => (cluster.client('a').status().clusterId !== null) === (expectOfA === 1),
  )
  let answers = 0
  cluster.network.drops = (passing) => {
    if (passing.kind === 'answer' && passing.to === 'f' && operationOf(passing) === 'pledge') answers++
    return passing.from === 'a' || is('join')(passing)
  }
  for (const id of ['d', 'e']) cluster.deafTo(id, 'a')
  await Promise.all(['d', 'e', 'f'].map((id) => cluster.add(id, { expect: 3 })))
  await eventually('f was asked three times', () => answers >= 3)
  return cluster
}

for (const [overlooked, expectOfA] of [
  ['a better founder', 3],
  ['a cluster that exists', 1],
] as const) {
  t.test(`a node helps nobody to found a cluster who overlooks ${overlooked}`, async (t) => {
    const cluster = await askedThrice(t, expectOfA)
    t.same(clusterIds(cluster, ['d', 'e', 'f']), [null])
    cluster.network.drops = () => false
    for (const id of ['d', 'e']) cluster.hearsAgain(id, 'a')
    await isOne(t, cluster, ['a', 'd', 'e', 'f'])
  })
}
