import t from 'tap'
import { eventually, get, set, TestCluster } from './cluster.ts'
import { operationOf, type Passing } from './network.ts'

async function cluster(t: { teardown(fn: () => Promise<void>): void }) {
  const cluster = new TestCluster()
  t.teardown(() => {
    cluster.network.drops = () => false
    return cluster.close()
  })
  const ids = await cluster.found(3)
  const leader = await cluster.leader()
  const followers = ids.filter((id) => id !== leader)
  return { cluster, leader, follower: followers[0] ?? '', third: followers[1] ?? '' }
}

function isAnswerTo(operation: string): (passing: Passing) => boolean {
  return (passing) => passing.kind === 'answer' && operationOf(passing) === operation
}

t.test(
  'B28: a write whose answer was lost with its leader is repeated at the next and applied once',
  async (t) => {
    const { cluster: c, leader, follower } = await cluster(t)
    let lost = 0
    c.network.drops = (passing) => {
      const drop = isAnswerTo('propose')(passing) && passing.to === leader
      if (drop) lost++
      return drop
    }
    // A compare-and-set succeeds once: were it applied twice, the second answer would be no.
    const write = c.client(follower).propose(set('k', 'once', 0), { timeoutMs: 20_000 })
    await eventually('the answer is lost', () => lost > 0)
    c.kill(leader)
    t.equal((await write).ok, true)
    const next = await c.leader()
    t.equal(await get(c.client(next), 'k'), 'once')
    const { view } = await c.client(next).read('stale')
    t.equal(view.kvGet('k')?.modifyIndex, view.kvGet('k')?.createIndex)
  },
)

t.test('a request to a leader that hangs is given up when another one leads', async (t) => {
  const { cluster: c, leader, follower, third } = await cluster(t)
  // The leader takes requests and never answers them, as a frozen process would; the others no longer hear it.
  c.network.drops = (passing) =>
    passing.kind === 'message' && (passing.from === leader || passing.to === leader)
  c.network.delays = (passing) =>
    passing.kind === 'answer' && passing.to === leader ? new Promise(() => {}) : undefined
  const read = get(c.client(follower), 'k')
  const write = c.client(follower).propose(set('k', '1', 0))
  const renewal = c.client(third).renewSession('none')
  t.equal((await write).ok, true)
  t.ok([undefined, '1'].includes(await read))
  t.equal(await renewal, null)
})

t.test('without a leader nothing was written, and the error says so', async (t) => {
  const { cluster: c, leader, follower, third } = await cluster(t)
  c.network.partition([follower], [leader, third])
  await eventually('the leader is given up', () => c.client(follower).status().leader === null)
  await t.rejects(c.client(follower).propose(set('k', '1'), { timeoutMs: 80 }), { code: 'CST_NO_LEADER' })
  await t.rejects(c.client(follower).read('default', { timeoutMs: 80 }), { code: 'CST_NO_LEADER' })
  await t.rejects(c.client(follower).renewSession('s', { timeoutMs: 80 }), { code: 'CST_NO_LEADER' })
})

t.test('a write that never reached the leader was not written either', async (t) => {
  const { cluster: c, leader, follower } = await cluster(t)
  const before = c.client(leader).status().lastLogIndex
  c.network.partition([follower], [leader])
  const write = c.client(follower).propose(set('k', '1'), { timeoutMs: 60 })
  await t.rejects(write, { code: 'CST_NO_LEADER' })
  t.equal(c.client(leader).status().lastLogIndex, before)
})

t.test('a write that may have reached a log has an unknown outcome', async (t) => {
  const { cluster: c, leader, follower, third } = await cluster(t)
  c.network.drops = isAnswerTo('propose')
  const unanswered = c.client(follower).propose(set('k', 'kept'), { timeoutMs: 100 })
  await t.rejects(unanswered, { code: 'CST_OUTCOME_UNKNOWN', retryable: false })
  t.equal(await get(c.client(leader), 'k'), 'kept', 'this one was written')
  c.network.drops = () => false
  c.network.partition([leader], [follower, third])
  const isolated = c.client(leader).propose(set('k', 'lost'), { timeoutMs: 1000 })
  await t.rejects(isolated, { code: 'CST_OUTCOME_UNKNOWN' })
})

t.test('who gives up waiting hears at once', async (t) => {
  const { cluster: c, leader, follower, third } = await cluster(t)
  c.network.partition([leader], [follower, third])
  const abort = new AbortController()
  const { signal } = abort
  const options = { signal, timeoutMs: 60_000 }
  const write = c.client(leader).propose(set('k', '1'), options)
  const read = c.client(leader).read('consistent', options)
  setImmediate(() => abort.abort())
  await t.rejects(write, { code: 'CST_OUTCOME_UNKNOWN' })
  await t.rejects(read, { code: 'CST_NO_LEADER' })
})

t.test('a read shares no round that was sent before it began', async (t) => {
  const { cluster: c, leader, follower } = await cluster(t)
  await c.client(leader).propose(set('k', 'old'))
  t.equal(await get(c.client(follower), 'k'), 'old')
  const gate = Promise.withResolvers<void>()
  let rounds = 0
  c.network.delays = (passing) => {
    if (!isAnswerTo('readIndex')(passing) || passing.from !== follower) return undefined
    rounds++
    return rounds === 1 ? gate.promise : undefined
  }
  const first = get(c.client(follower), 'k')
  await eventually('the first round was answered', () => rounds === 1)
  // From now on the follower hears nothing of new entries.
  c.network.drops = (passing) =>
    passing.kind === 'message' && passing.to === follower && passing.payload.length > 200
  await c.client(leader).propose(set('k', 'new'))
  const second = get(c.client(follower), 'k')
  const third = get(c.client(follower), 'k')
  gate.resolve()
  t.equal(await first, 'old')
  await eventually('the second round was answered', () => rounds === 2)
  c.network.drops = () => false
  t.equal(await second, 'new', 'it began after the write was acknowledged')
  t.equal(await third, 'new')
  t.equal(rounds, 2, 'and both shared one')
})

t.test('every read sees every write acknowledged before it, on every node', async (t) => {
  const { cluster: c } = await cluster(t)
  const ids = ['a', 'b', 'c']
  for (let i = 0; i < 30; i++) {
    await c.client(ids[i % 3] ?? '').propose(set('k', `${i}`))
    t.same(await Promise.all(ids.map((id) => get(c.client(id), 'k'))), Array(3).fill(`${i}`))
  }
})

t.test('a leader hands over without losing what clients send meanwhile', async (t) => {
  const { cluster: c, leader, follower } = await cluster(t)
  const writes = Array.from({ length: 50 }, (_, i) => c.client(follower).propose(set(`k/${i}`, `${i}`, 0)))
  await c.member(leader).node.handOver()
  t.not(c.client(leader).status().role, 'leader')
  for (const { ok } of await Promise.all(writes)) t.equal(ok, true)
})
