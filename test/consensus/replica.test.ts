import t from 'tap'
import { systemClock } from '../../consensus/clock.ts'
import { initialConfiguration } from '../../consensus/raft/configuration.ts'
import type { SnapshotMeta } from '../../consensus/raft/types.ts'
import { Replica } from '../../consensus/replica.ts'
import { recordsCrc } from '../../consensus/snapshot-transfer.ts'
import { decodeRecord, encodeRecord } from '../../consensus/state/codec.ts'
import { textToKey } from '../../consensus/state/keys.ts'
import { StateMachine } from '../../consensus/state/state-machine.ts'
import { MemoryStore } from '../../consensus/storage/memory-store.ts'
import { eventually, get, set, silent, TestCluster } from './cluster.ts'
import { FaultyStore } from './faulty-store.ts'
import { operationOf, TestNetwork } from './network.ts'
import { SESSION } from './state/machine.ts'

/** A replica that waits for a snapshot, on this disk; what stops it is in `fatal`. */
async function joiner(t: Tap, disk: MemoryStore) {
  const store = new FaultyStore(disk)
  const fatal: Error[] = []
  const replica = new Replica(
    { nodeId: 'b', tickMs: 10 },
    {
      store,
      transport: new TestNetwork().transport('b'),
      log: silent,
      clock: systemClock,
      random: Math.random,
      metrics: null,
      onFatal: (error) => fatal.push(error),
    },
  )
  t.teardown(() => replica.stop())
  await replica.start()
  await replica.initialise('home', null)
  return { replica, store, fatal }
}
interface Tap {
  teardown(fn: () => Promise<void>): void
}

/** A whole snapshot in one part. */
function snapshot(index: number, term: number, keys: number) {
  const state = new StateMachine()
  for (let i = 1; i <= keys; i++) {
    const command = set(`k/${i}`, `${index}`)
    state.apply(index - 1, { at: 0, origin: 'o', sequence: i, acknowledged: i, command })
  }
  state.skip(index)
  const meta: SnapshotMeta = { index, term, configuration: initialConfiguration(['a', 'b', 'c']) }
  const records = [...state.snapshot()]
  return {
    op: 'snapshot',
    clusterId: 'home',
    term,
    meta,
    part: 0,
    records,
    crc: recordsCrc(records),
    wholeCrc: recordsCrc(records),
    last: true,
  } as const
}

t.test(
  'a stored snapshot holds the state of its own index, also when the next came before it was written',
  async (t) => {
    const installed: { meta: SnapshotMeta; appliedIndex: number }[] = []
    class Recorder extends MemoryStore {
      override async installSnapshot(...args: Parameters<MemoryStore['installSnapshot']>): Promise<void> {
        const records = [...args[1]]
        installed.push({ meta: args[0], appliedIndex: (await StateMachine.restore(records)).appliedIndex })
        await super.installSnapshot(args[0], records, args[2])
      }
    }
    const { replica, store, fatal } = await joiner(t, new Recorder())
    store.hold('installSnapshot')
    await replica.receiveSnapshot('a', snapshot(10, 1, 2))
    await replica.receiveSnapshot('a', snapshot(20, 1, 2))
    await replica.receiveSnapshot('a', snapshot(30, 1, 2))
    store.release()
    await eventually('all are written', () => installed.length === 3)
    for (const { meta, appliedIndex } of installed) t.equal(appliedIndex, meta.index)
    t.same(fatal, [])
  },
)

t.test('B27: whoever watches is woken by a snapshot, and finds its state', async (t) => {
  const { replica } = await joiner(t, new MemoryStore())
  const seen: number[] = []
  const woken = () => seen.push(replica.state.appliedIndex)
  replica.watchers.watch({ kind: 'key', key: textToKey('k/1') }, woken)
  replica.watchers.watch({ kind: 'prefix', prefix: textToKey('gone/') }, woken)
  replica.watchers.watch({ kind: 'sessions' }, woken)
  await replica.receiveSnapshot('a', snapshot(10, 1, 2))
  t.same(seen, [10, 10, 10])
})

t.test('two snapshots that complete at the same time do not take each other for the other', async (t) => {
  for (const [first, second] of [
    [1, 1],
    [1, 2],
    [2, 1],
    [3, 2],
    [600, 1],
    [600, 600],
  ] as const) {
    const { replica, fatal } = await joiner(t, new MemoryStore())
    await Promise.all([
      replica.receiveSnapshot('a', snapshot(10, 5, first)),
      replica.receiveSnapshot('c', snapshot(20, 6, second)),
    ])
    t.same(fatal, [], `${first} and ${second} records`)
    t.equal(replica.state.appliedIndex, 20)
    await replica.stop()
  }
})

t.test('a malformed description of a snapshot is refused and harms nobody', async (t) => {
  const { replica, fatal } = await joiner(t, new MemoryStore())
  const good = snapshot(10, 1, 2)
  const { configuration } = good.meta
  for (const meta of [
    null,
    'text',
    { index: 10, term: 1 },
    { ...good.meta, index: -1 },
    { ...good.meta, index: 1.5 },
    { ...good.meta, index: '10' },
    { ...good.meta, term: 0 },
    { ...good.meta, configuration: { ...configuration, voters: [] } },
    { ...good.meta, configuration: { ...configuration, voters: ['a', 'a'] } },
    { ...good.meta, configuration: { ...configuration, learners: [7] } },
    { ...good.meta, configuration: { ...configuration, autoLeave: 'no' } },
  ]) {
    const sent = { ...good, meta: meta as SnapshotMeta }
    await t.rejects(replica.receiveSnapshot('a', sent), { message: /malformed/ }, JSON.stringify(meta))
    const { clusterId, term } = good
    await t.rejects(replica.snapshotProgress('a', { clusterId, term, meta: sent.meta }), {
      message: /malformed/,
    })
  }
  const wrongState = { ...good, meta: { ...good.meta, index: 11 } }
  await t.rejects(replica.receiveSnapshot('a', wrongState), { message: /the state of 10, not of 11/ })
  for (const bad of [{ records: ['text'] }, { part: '0' }, { crc: undefined }, { last: 1 }]) {
    const sent = { ...good, ...bad } as unknown as typeof good
    await t.rejects(replica.receiveSnapshot('a', sent), { message: /malformed/ }, JSON.stringify(bad))
  }
  t.same(fatal, [])
  t.equal(replica.state.appliedIndex, 0)
  await replica.receiveSnapshot('a', good)
  t.equal(replica.state.appliedIndex, 10)
})

t.test('a leader of the past sends no snapshots', async (t) => {
  const { replica, fatal } = await joiner(t, new MemoryStore())
  await replica.receiveSnapshot('c', snapshot(10, 6, 2))
  const old = snapshot(20, 5, 2)
  await t.rejects(replica.receiveSnapshot('a', old), { code: 'CST_NOT_LEADER' })
  const { clusterId, term, meta } = old
  await t.rejects(replica.snapshotProgress('a', { clusterId, term, meta }), { code: 'CST_NOT_LEADER' })
  t.same(await replica.snapshotProgress('c', { clusterId, term: 6, meta: snapshot(10, 6, 2).meta }), {
    parts: 0,
    crc: 0,
    done: true,
  })
  t.equal(replica.state.appliedIndex, 10)
  t.same(fatal, [])
})

t.test(
  'a node that installs a snapshot answers stale reads of its old state until the new one is whole',
  async (t) => {
    const { replica } = await joiner(t, new MemoryStore())
    await replica.receiveSnapshot('a', snapshot(10, 1, 3))
    // Enough records that making them into state takes many turns of the event loop.
    const installing = replica.receiveSnapshot('a', snapshot(20, 1, 20_000))
    let done = false
    void installing.then(() => {
      done = true
    })
    let turns = 0
    const seen = new Set<string>()
    while (!done) {
      const { state } = replica
      const values = state.kvList(textToKey('k/')).map(({ value }) => new TextDecoder().decode(value))
      seen.add(`${state.appliedIndex}: ${values.length} times ${[...new Set(values)].join()}`)
      turns++
      await new Promise((resolve) => setImmediate(resolve))
    }
    t.ok(turns > 10, `it answered ${turns} times meanwhile`)
    t.same([...seen].slice(0, 1), ['10: 3 times 10'])
    for (const answer of seen) t.match(answer, /^(10: 3 times 10|20: 20000 times 20)$/)
    t.equal(replica.state.appliedIndex, 20)
  },
)

t.test('writes are acknowledged while a snapshot is being saved', async (t) => {
  const cluster = new TestCluster()
  const stores = ['a', 'b', 'c'].map(() => new FaultyStore(new MemoryStore()))
  t.teardown(() => {
    for (const store of stores) store.release()
    return cluster.close()
  })
  for (const store of stores) store.hold('saveSnapshot')
  await Promise.all(
    stores.map((store, i) => cluster.add('abc'.charAt(i), { expect: 3, snapshotEntries: 20, store })),
  )
  await cluster.leader()
  const client = cluster.client('a')
  for (let i = 0; i < 40; i++) await client.propose(set('k', `${i}`))
  await eventually('every node saves a snapshot', () => stores.every(({ waiting }) => waiting > 0))
  for (let i = 0; i < 100; i++) t.match(await client.propose(set('k', `later ${i}`)), { ok: true })
  t.equal(await get(cluster.client('b'), 'k'), 'later 99')
  for (const id of ['a', 'b', 'c']) t.equal(cluster.client(id).status().snapshotIndex, 1, 'none is saved yet')
  for (const store of stores) store.release()
  await eventually('they are saved', () => cluster.client('a').status().snapshotIndex > 1)
  t.same(cluster.fatal, [])
})

t.test('a snapshot of its own that is being saved does not mix with one of the leader', async (t) => {
  const order: string[] = []
  class Recorder extends MemoryStore {
    override async saveSnapshot(...args: Parameters<MemoryStore['saveSnapshot']>): Promise<void> {
      order.push(`save ${args[0].index}`)
      await super.saveSnapshot(...args)
      await new Promise((resolve) => setImmediate(resolve))
      order.push('saved')
    }

    override async installSnapshot(...args: Parameters<MemoryStore['installSnapshot']>): Promise<void> {
      order.push(`install ${args[0].index}`)
      await super.installSnapshot(...args)
    }
  }
  const store = new FaultyStore(new Recorder())
  const cluster = new TestCluster()
  t.teardown(() => {
    store.release()
    return cluster.close()
  })
  await Promise.all(
    ['a', 'b', 'c'].map((id) =>
      cluster.add(id, { expect: 3, snapshotEntries: 30, ...(id === 'c' ? { store } : {}) }),
    ),
  )
  await cluster.leader()
  const client = cluster.client('a')
  store.hold('saveSnapshot')
  for (let i = 0; i < 40; i++) await client.propose(set('k', `${i}`))
  await eventually('c saves a snapshot', () => store.waiting > 0)
  cluster.network.partition(['a', 'b'], ['c'])
  await eventually('a leader among the rest', async () => (await client.propose(set('k', 'x'))).ok)
  for (let i = 0; i < 80; i++) await client.propose(set('k', `${i}`))
  cluster.network.heal()
  await eventually('c takes over a snapshot', () => cluster.client('c').status().snapshotIndex > 60)
  store.release()
  await eventually('c stores the snapshot of the leader', () =>
    order.some((step) => step.startsWith('install')),
  )
  const installAt = order.findIndex((step) => step.startsWith('install'))
  t.equal(order[installAt - 1], 'saved', order.join(', '))
  t.same(cluster.fatal, [])
})

t.test('a listener that throws harms neither the node nor the other listeners', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(1)
  const client = cluster.client('a')
  let told = 0
  client.watch({ kind: 'key', key: 'k' }, () => {
    throw new Error('a bug of the listener')
  })
  client.watch({ kind: 'key', key: 'k' }, () => {
    told++
  })
  client.onStatus(() => {
    throw new Error('a bug of the listener')
  })
  t.equal((await client.propose(set('k', '1'))).ok, true)
  t.equal((await client.propose(set('k', '2'))).ok, true)
  t.equal(told, 2)
  t.same(cluster.fatal, [])
})

t.test('a node whose disk fails stops, says so, and the others go on', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const ids = await cluster.found(3)
  const leader = await cluster.leader()
  await cluster.client(leader).propose(set('k', '1'))
  cluster.member(leader).store.fail(new Error('no space left on device'))
  // Written nowhere durably, but sent to the others: they may keep it.
  await t.rejects(cluster.client(leader).propose(set('k', '2')), { code: 'CST_OUTCOME_UNKNOWN' })
  t.match(cluster.fatal, [{ message: /no space left/ }])
  const status = cluster.client(leader).status()
  t.match(status, { failure: /no space left/, role: 'follower', leader: null })
  await t.rejects(cluster.client(leader).propose(set('k', '3')), { code: 'CST_STORAGE_FAILED' })
  await t.rejects(cluster.client(leader).read('consistent'), { code: 'CST_STORAGE_FAILED' })
  t.ok(await get(cluster.client(leader), 'k', 'stale'), 'stale reads go on')
  const other = ids.find((id) => id !== leader) ?? ''
  t.equal((await cluster.client(other).propose(set('k', '4'), { timeoutMs: 20_000 })).ok, true)
})

t.test('B26: a leader whose disk hangs gives up, and the others go on', async (t) => {
  const cluster = new TestCluster()
  const ids = await cluster.found(3)
  const leader = await cluster.leader()
  const { store } = cluster.member(leader)
  t.teardown(() => {
    store.release()
    return cluster.close()
  })
  store.hold('write')
  const other = ids.find((id) => id !== leader) ?? ''
  const [stuck, through] = await Promise.allSettled([
    cluster.client(leader).propose(set('k', '1'), { timeoutMs: 20_000 }),
    cluster.client(other).propose(set('k', '2'), { timeoutMs: 20_000 }),
  ])
  t.equal(through.status, 'fulfilled')
  t.equal(stuck.status, 'fulfilled', 'it forwards to the new leader')
  t.not(cluster.client(leader).status().role, 'leader')
  t.same(cluster.fatal, [])
})

t.test('what waits when a node stops is refused: in the log as unknown, else as stopped', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(1)
  const { node, store } = cluster.member('a')
  store.hold('write')
  const logged = node.client.propose(set('k', '1'))
  await eventually('it is being written', () => store.waiting > 0)
  const stopping = node.stop()
  await t.rejects(logged, { code: 'CST_OUTCOME_UNKNOWN' })
  await t.rejects(node.client.propose(set('k', '2')), { code: 'CST_STOPPED' })
  await t.rejects(node.client.read('default'), { code: 'CST_STOPPED' })
  t.equal(node.client.status().role, 'follower')
  store.release()
  await stopping
  await node.stop()
})

t.test('what a dead process had not written is gone, what it acknowledged is not (B20, B22)', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(1)
  await cluster.client('a').propose(set('k', 'kept'))
  cluster.member('a').store.hold('write')
  const lost = cluster.client('a').propose(set('k', 'lost'), { timeoutMs: 50 })
  await t.rejects(lost, { code: 'CST_OUTCOME_UNKNOWN' })
  cluster.kill('a')
  await cluster.restart('a')
  t.equal(await get(cluster.client('a'), 'k'), 'kept')
})

t.test('B24: a voter that comes back without its log is refused', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const ids = await cluster.found(3)
  const leader = await cluster.leader()
  const wiped = ids.find((id) => id !== leader) ?? ''
  cluster.kill(wiped)
  let refusals = 0
  cluster.network.drops = (passing) => {
    if (passing.kind === 'answer' && operationOf(passing) === 'join' && passing.from === wiped) refusals++
    return false
  }
  await cluster.add(wiped, { expect: 3 })
  await eventually('it was answered several times', () => refusals > 5)
  t.equal(cluster.client(wiped).status().clusterId, null)
  t.equal((await cluster.client(leader).propose(set('k', '1'))).ok, true, 'the others go on')
})

t.test('a proposal that could not be applied is refused before it is in the log', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(1)
  const peer = cluster.network.transport('x')
  const before = cluster.client('a').status().lastLogIndex
  const good = { origin: 'x', sequence: 1, acknowledged: 1, command: { type: 'kv.delete', key: 'k' } }
  const session = { id: 's', name: '', node: 'n', behavior: 'release', lockDelayMs: 0, ttl: '' }
  for (const wrong of [
    { command: undefined },
    { command: { type: 'kv.set', key: 1 } },
    { command: { type: 'session.create' } },
    { command: { type: 'new' } },
    // A key is a string of bytes; another would be found under no prefix.
    { command: { type: 'kv.delete', key: '\u0100' } },
    { command: { type: 'kv.txn', operations: [{ verb: 'delete-tree', key: '\u0100' }] } },
    {
      command: {
        type: 'session.create',
        session: { ...session, expiresAfterMs: 0, nodeChecks: [], serviceChecks: [null] },
      },
    },
    { origin: 1 },
    { sequence: 'first' },
    { sequence: 1.5 },
    { acknowledged: null },
    { acknowledged: -1 },
  ]) {
    const request = encodeRecord({ op: 'propose', record: { ...good, ...wrong } })
    const answer = await peer.request('a', request, { timeoutMs: 1000 })
    t.match(decodeRecord(answer), { ok: false, code: 'CST_PROPOSAL_DROPPED' }, JSON.stringify(wrong))
  }
  for (const record of [undefined, null, 7]) {
    const request = encodeRecord({ op: 'propose', record })
    const answer = await peer.request('a', request, { timeoutMs: 1000 })
    t.match(decodeRecord(answer), { ok: false, code: 'CST_PROPOSAL_DROPPED' }, String(record))
  }
  t.equal(cluster.client('a').status().lastLogIndex, before)
  t.same(cluster.fatal, [])
})

t.test('the end of many sessions takes one place among the remembered proposers', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(1)
  const client = cluster.client('a')
  for (let i = 0; i < 20; i++) {
    const session = { ...SESSION, id: `s${i}`, expiresAfterMs: 20 }
    await client.propose({ type: 'session.create', session })
  }
  const { view } = await client.read('stale')
  await eventually('all have expired', () => view.sessions().length === 0)
  const origins = [...(view as StateMachine).snapshot()]
    .map((record) => decodeRecord(record) as { kind: string })
    .filter(({ kind }) => kind === 'origin')
  t.equal(origins.length, 2, 'the client and the expiry')
})

t.test('storage that contradicts itself is refused with a way out', async (t) => {
  class Odd extends MemoryStore {
    override async open() {
      return { ...(await super.open()), hardState: { term: 1, vote: '', commit: 99 } }
    }
  }
  const disk = new Odd()
  await disk.initialise(
    { nodeId: 'a', clusterId: 'home' },
    { index: 1, term: 1, configuration: initialConfiguration(['a']) },
    [...new StateMachine().snapshot()],
    { term: 1, vote: '', commit: 1 },
  )
  const cluster = new TestCluster()
  await t.rejects(cluster.add('a', { expect: 1, store: new FaultyStore(disk) }), { code: 'CST_LOG_DAMAGED' })
  await t.rejects(cluster.add('b', { expect: 1, store: new FaultyStore(disk) }), {
    code: 'CST_LOG_DAMAGED',
    message: /belongs to node a/,
  })
})

t.test('a malformed message is dropped and logged', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(1)
  const peer = cluster.network.transport('x')
  for (const junk of [new Uint8Array(0), new Uint8Array(60).fill(1), new Uint8Array(10)]) peer.send('a', junk)
  t.equal((await cluster.client('a').propose(set('k', '1'))).ok, true)
  t.same(cluster.fatal, [])
})

t.test(
  'a node whose log lacks what it acknowledged stops, and says what may be the cause and what to do',
  async (t) => {
    /** A disk that may be put back to an older copy of itself. */
    class Older extends MemoryStore {
      lost = 0
      override async open() {
        const stored = await super.open()
        if (this.lost === 0) return stored
        const entries = stored.entries.slice(0, -this.lost)
        const commit = Math.min(stored.hardState.commit, entries.at(-1)?.index ?? stored.logStart.index)
        return { ...stored, entries, hardState: { ...stored.hardState, commit } }
      }
    }
    const cluster = new TestCluster()
    t.teardown(() => cluster.close())
    const disks = new Map(['a', 'b', 'c'].map((id) => [id, new Older()]))
    await Promise.all(
      [...disks].map(([id, disk]) => cluster.add(id, { expect: 3, store: new FaultyStore(disk) })),
    )
    const leader = await cluster.leader()
    const [id = '', other = ''] = [...disks.keys()].filter((each) => each !== leader)
    for (let i = 0; i < 5; i++) await cluster.client(leader).propose(set('k', `${i}`))
    const last = cluster.client(leader).status().lastLogIndex
    await eventually('it has everything', () => cluster.client(id).status().lastLogIndex === last)
    await cluster.stop(id)
    const disk = disks.get(id)
    if (disk === undefined) throw new Error('unreachable')
    disk.lost = 2
    await cluster.restart(id)
    await eventually('it stops', () => cluster.fatal.length > 0)
    t.match(cluster.fatal, [
      {
        code: 'CST_LOG_DAMAGED',
        message: new RegExp(
          `^the log of this node ends at entry ${last - 2}, but the node has acknowledged entries up to ${last} at least: .* older copy, .* another process runs with its identity.* identity\\.key included`,
        ),
      },
    ])
    t.equal(cluster.client(id).status().lastLogIndex, last - 2, 'it took nothing')
    t.equal((await cluster.client(leader).propose(set('k', '6'))).ok, true, 'the others go on')
    t.equal(await get(cluster.client(other), 'k'), '6')
  },
)
