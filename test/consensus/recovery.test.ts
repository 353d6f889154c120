import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { encodeChange } from '../../consensus/raft/configuration.ts'
import type { Entry } from '../../consensus/raft/types.ts'
import { examine, recover } from '../../consensus/recovery.ts'
import { encodeLogRecord } from '../../consensus/state/codec.ts'
import { StateMachine } from '../../consensus/state/state-machine.ts'
import { LevelStore } from '../../consensus/storage/level-store.ts'
import { eventually, get, set, TestCluster } from './cluster.ts'
import { operationOf } from './network.ts'

const root = await mkdtemp(join(tmpdir(), 'recovery-'))
t.teardown(() => rm(root, { recursive: true, force: true }))
let directories = 0

const CONFIGURATION = {
  voters: ['a', 'b', 'c'],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
}

function write(index: number, term: number, key: string): Entry {
  const record = {
    at: 1,
    origin: 'o',
    sequence: index,
    acknowledged: index,
    command: set(key, `of ${index}`),
  }
  return { index, term, type: 'normal', data: encodeLogRecord(record) }
}

/** Closed storage of node a: entries 2 to 5, of which 3 is known to be committed, and a change that adds a learner. */
async function survivor(): Promise<string> {
  const directory = join(root, String(directories++))
  const store = new LevelStore(directory)
  await store.open()
  const first = new StateMachine()
  first.skip(1)
  const meta = { index: 1, term: 1, configuration: CONFIGURATION }
  const hardState = { term: 1, vote: '', commit: 1 }
  await store.setPledge({ attempt: 'home', proposer: 'a', founders: ['a', 'b', 'c'] })
  await store.initialise({ nodeId: 'a', clusterId: 'home' }, meta, first.snapshot(), hardState)
  const change = encodeChange({ steps: [{ kind: 'addLearner', node: 'd' }] })
  await store.write({
    hardState: { term: 7, vote: 'b', commit: 3 },
    entries: [
      { index: 2, term: 2, type: 'normal', data: new Uint8Array(0) },
      write(3, 2, 'committed'),
      { index: 4, term: 4, type: 'config', data: change },
      write(5, 4, 'perhaps'),
    ],
    sync: true,
  })
  await store.close()
  return directory
}

async function use<T>(directory: string, run: (store: LevelStore) => Promise<T>): Promise<T> {
  const store = new LevelStore(directory)
  try {
    return await run(store)
  } finally {
    await store.close()
  }
}

t.test('what a survivor has is told and left as it is', async (t) => {
  const directory = await survivor()
  const before = await use(directory, (store) => store.open())
  t.same(await use(directory, examine), {
    nodeId: 'a',
    clusterId: 'home',
    term: 7,
    lastIndex: 5,
    lastTerm: 4,
    commitIndex: 3,
    snapshotIndex: 1,
    snapshotTerm: 1,
    configuration: { ...CONFIGURATION, learners: ['d'] },
    keys: 2,
    sessions: 0,
  })
  t.same(await use(directory, (store) => store.open()), before)
})

t.test('the recovered store holds everything, one voter, and a cluster id nobody has', async (t) => {
  const directory = await survivor()
  const expected = await use(directory, examine)
  const done = await use(directory, (store) => recover(store, expected, '0badcafe'))
  t.same(done, { clusterId: 'home+1-0badcafe', index: 1_000_005, term: 8 })
  await use(directory, async (store) => {
    const stored = await store.open()
    t.same(stored.identity, { nodeId: 'a', clusterId: 'home+1-0badcafe' })
    t.same(stored.hardState, { term: 8, vote: '', commit: 1_000_005 })
    t.same(stored.snapshot?.configuration, { ...CONFIGURATION, voters: ['a'] })
    t.same(stored.entries, [])
    t.equal(stored.pledge, null)
    const state = await StateMachine.restore(store.readSnapshot()?.records ?? [])
    t.equal(state.appliedIndex, 1_000_005)
    t.same(
      state.kvList('').map(({ key, modifyIndex }) => [key, modifyIndex]),
      [
        ['committed', 3],
        ['perhaps', 5],
      ],
    )
  })
  const again = await use(directory, examine)
  t.equal(again.lastIndex, 1_000_005)
  t.equal((await use(directory, (store) => recover(store, again, '00000000'))).clusterId, 'home+2-00000000')
})

t.test('nothing is recovered where no cluster is, of what changed, or from under an agent', async (t) => {
  const empty = join(root, 'empty')
  await t.rejects(use(empty, examine), { code: 'CST_RECOVERY_REFUSED', message: /belongs to no cluster/ })

  const joined = join(root, 'joined')
  await use(joined, async (store) => {
    await store.open()
    const none = { ...CONFIGURATION, voters: [] }
    const meta = { index: 0, term: 0, configuration: none }
    await store.initialise({ nodeId: 'a', clusterId: 'home' }, meta, [], { term: 0, vote: '', commit: 0 })
  })
  await t.rejects(use(joined, examine), { code: 'CST_RECOVERY_REFUSED', message: /has not got anything/ })

  const directory = await survivor()
  const expected = await use(directory, examine)
  await use(directory, async (store) => {
    await store.open()
    await store.write({ hardState: null, entries: [write(6, 7, 'new')], sync: true })
  })
  await t.rejects(
    use(directory, (store) => recover(store, expected, '0badcafe')),
    {
      code: 'CST_RECOVERY_REFUSED',
      message: /changed while it was looked at/,
    },
  )

  await use(directory, async (agent) => {
    await agent.open()
    await t.rejects(use(directory, examine), {
      code: 'CST_STORAGE_FAILED',
      message: /in use by another process/,
    })
  })
})

t.test('damage is reported, not recovered from', async (t) => {
  const directory = await survivor()
  await use(directory, async (store) => {
    await store.open()
    const entry: Entry = { index: 6, term: 7, type: 'normal', data: new Uint8Array([1, 2, 3]) }
    await store.write({ hardState: null, entries: [entry], sync: true })
  })
  await t.rejects(use(directory, examine), { code: 'CST_LOG_DAMAGED' })
})

t.test('after a recovery new nodes join, and the dead that come back together form no quorum', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const ids = await cluster.found(3)
  const leader = await cluster.leader()
  await cluster.client(leader).propose(set('k', '1'))
  await eventually('all have it', async () => {
    const values = await Promise.all(ids.map((id) => get(cluster.client(id), 'k', 'stale')))
    return values.every((value) => value === '1')
  })
  const { clusterId: old } = cluster.client('a').status()
  for (const id of ids) cluster.kill(id)

  const { store } = cluster.member('a')
  const { clusterId } = await recover(store, await examine(store), '0badcafe')
  await cluster.restart('a')
  await cluster.leader()
  t.equal(await get(cluster.client('a'), 'k'), '1')
  await cluster.client('a').propose(set('k', '2'))
  for (const id of ['x', 'y']) await cluster.add(id, { expect: 0 })
  await eventually('three voters', () => {
    const { peers } = cluster.client('a').status()
    return peers.filter(({ voter }) => voter).length === 3
  })

  await Promise.all(['b', 'c'].map((id) => cluster.restart(id)))
  await eventually('they know that their cluster is over', () =>
    ['b', 'c'].every((id) => cluster.client(id).status().supersededBy === clusterId),
  )
  for (const id of ['b', 'c']) {
    t.match(cluster.client(id).status(), { clusterId: old, leader: null, role: 'follower', failure: null })
    await t.rejects(cluster.client(id).propose(set('k', '3'), { timeoutMs: 200 }), { code: 'CST_SUPERSEDED' })
  }
  t.equal(await get(cluster.client('x'), 'k'), '2')
  t.same(
    cluster
      .client('a')
      .status()
      .peers.map(({ id }) => id),
    ['a', 'x', 'y'],
  )

  // Wiped and with a new identity, one of them is as good as any other.
  await cluster.stop('b')
  await cluster.add('z', { expect: 0 })
  await eventually('it has joined', async () => (await get(cluster.client('z'), 'k', 'stale')) === '2')
  t.same(cluster.fatal, [])
})

t.test('a leader of the dead is told by the first message that reaches the recovered node', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(3)
  cluster.kill('a')
  const { store } = cluster.member('a')
  const { clusterId } = await recover(store, await examine(store), '0badcafe')
  await eventually('the others have a leader', () =>
    ['b', 'c'].includes(cluster.client('b').status().leader ?? ''),
  )
  // Nobody hears by gossip of the recovered cluster: only the messages of the old leader can tell.
  for (const id of ['b', 'c']) cluster.deafTo(id, 'a')
  await cluster.restart('a')
  await eventually('the leader has given up', () =>
    ['b', 'c'].some((id) => cluster.client(id).status().supersededBy === clusterId),
  )
  await eventually('there is no other', () =>
    ['b', 'c'].every((id) => cluster.client(id).status().leader === null),
  )
  t.same(cluster.fatal, [])
})

t.test('gossip alone tells one that was thought dead, and newcomers which of the two to join', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(3)
  cluster.kill('c')
  const { store } = cluster.member('c')
  const { clusterId } = await recover(store, await examine(store), '0badcafe')
  // The others lead on and hear nothing of the recovered node; a newcomer asks them first.
  for (const id of ['a', 'b']) cluster.deafTo(id, 'c')
  cluster.network.drops = (passing) => operationOf(passing) === 'superseded'
  await cluster.restart('c')
  await eventually(
    'there are two leaders',
    () =>
      ['a', 'b'].includes(cluster.client('a').status().leader ?? '') &&
      cluster.client('c').status().role === 'leader',
  )
  await cluster.add('x', { expect: 0 })
  await eventually('it has joined', () => cluster.client('x').status().clusterId !== null)
  t.equal(cluster.client('x').status().clusterId, clusterId)

  cluster.hearsAgain('a', 'c')
  await eventually('one hears of it', () => cluster.client('a').status().supersededBy === clusterId)
  await eventually(
    'and without it the other leads no more',
    () => cluster.client('b').status().leader === null,
  )
})
