import { join } from 'node:path'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { announcement, KEYS_META } from '../../../discovery/keyring/announcement.ts'
import { ClusterKeyring } from '../../../discovery/keyring/cluster-keyring.ts'
import { nextVersion, statement } from '../../../discovery/keyring/ring.ts'
import { RingStore } from '../../../discovery/keyring/ring-store.ts'
import type { Member, MemberStatus } from '../../../discovery/membership/types.ts'
import { keyFingerprint } from '../../../discovery/mesh/cluster-key.ts'
import { MeshError } from '../../../discovery/mesh/errors.ts'
import { MEMORY_DIR } from '../../memory-dir.ts'
import { type FakeMesh, FakeNetwork, until } from '../fake-mesh.ts'
import { tempDir } from '../temp-dir.ts'

const key = (n: number) => new Uint8Array(32).fill(n)
const name = (n: number) => keyFingerprint(key(n))

interface Node {
  readonly id: string
  readonly mesh: FakeMesh
  readonly store: RingStore
  readonly keys: ClusterKeyring
}

/** A cluster whose membership is a table of the test. */
class Cluster {
  readonly net = new FakeNetwork()
  readonly nodes = new Map<string, Node>()
  readonly statuses = new Map<string, MemberStatus>()
  readonly announced = new Map<string, string | null>()
  /** Who is on the list of members, and who belongs to the cluster whether it is or not. */
  readonly unlisted = new Set<string>()
  belonging: readonly string[] | null = []
  readonly #t: Test
  readonly #dir: string

  constructor(t: Test) {
    this.#t = t
    this.#dir = tempDir(t, MEMORY_DIR)
  }

  static async of(t: Test, ...ids: string[]): Promise<Cluster> {
    const cluster = new Cluster(t)
    for (const id of ids) await cluster.start(id)
    return cluster
  }

  async start(id: string, fileKey = key(1)): Promise<Node> {
    const log = pino({ level: 'silent' })
    const store = await RingStore.open({ dataDir: join(this.#dir, id), fileKey }, { log })
    const mesh = this.net.add(id)
    const membership = {
      members: () =>
        [...this.nodes.keys()].filter((each) => !this.unlisted.has(each)).map((each) => this.#member(each)),
      get: (each: string) => this.#member(each),
      local: () => this.#member(id),
    }
    const keys = new ClusterKeyring(
      { answerTimeoutMs: 500 },
      { store, mesh, membership, belonging: () => this.belonging, log },
    )
    store.onChange((ring) => this.announced.set(id, announcement(ring)))
    const node = { id, mesh, store, keys }
    this.nodes.set(id, node)
    this.statuses.set(id, 'alive')
    await mesh.start()
    await keys.start()
    this.#t.teardown(() => keys.stop())
    for (const other of this.nodes.values())
      if (other !== node && other.mesh.running) await mesh.dial(other.mesh.advertise)
    return node
  }

  async kill(id: string): Promise<void> {
    const node = this.node(id)
    await node.keys.stop()
    await node.mesh.stop()
    this.statuses.set(id, 'failed')
  }

  node(id: string): Node {
    const node = this.nodes.get(id)
    if (node === undefined) throw new Error(`no node ${id}`)
    return node
  }

  keysOf(id: string): unknown[] {
    return this.node(id)
      .store.keys()
      .map((bytes) => bytes[0])
  }

  #member(id: string): Member {
    const text = this.announced.get(id) ?? null
    return {
      id,
      name: id,
      address: `${id}:7946`,
      status: this.statuses.get(id) ?? 'alive',
      incarnation: 1,
      meta: text === null ? {} : { [KEYS_META]: text },
    }
  }
}

t.test('install, use and remove reach everybody', async (t) => {
  const cluster = await Cluster.of(t, 'a', 'b', 'c')
  const { keys } = cluster.node('b')
  t.match(await keys.install(key(2)), { fingerprint: name(2), done: ['a', 'b', 'c'], missing: [] })
  for (const id of ['a', 'b', 'c']) t.same(cluster.keysOf(id), [1, 2])
  await t.rejects(keys.remove(name(1)), { code: 'KRG_PRIMARY' })
  await keys.use(name(2).slice(0, 8))
  for (const id of ['a', 'b', 'c']) t.same(cluster.keysOf(id), [2, 1])
  t.match(await cluster.node('a').keys.list(), {
    primary: name(2),
    keys: [
      { fingerprint: name(2), nodes: 3, primaryOn: 3 },
      { fingerprint: name(1), nodes: 3, primaryOn: 0 },
    ],
  })
  await cluster.node('c').keys.remove(name(1))
  for (const id of ['a', 'b', 'c']) t.same(cluster.keysOf(id), [2])
  await t.rejects(keys.install(key(1)), { code: 'KRG_REMOVED' })
  await keys.install(key(1), { force: true })
  for (const id of ['a', 'b', 'c']) t.same(cluster.keysOf(id), [2, 1])
  await t.rejects(keys.use('0123456789abcdef'), { code: 'KRG_UNKNOWN_KEY' })
  await t.rejects(keys.use(''), { code: 'KRG_UNKNOWN_KEY' })
})

t.test('a node that is down during install is named and blocks use, until it is back or left', async (t) => {
  const cluster = await Cluster.of(t, 'a', 'b', 'c')
  await cluster.kill('c')
  const { keys } = cluster.node('a')
  t.match(await keys.install(key(2)), { done: ['a', 'b'], missing: [{ name: 'c', reason: 'it has failed' }] })
  await t.rejects(keys.use(name(2)), { code: 'KRG_NOT_EVERYWHERE', message: 'c (failed)' })
  t.same(cluster.keysOf('a'), [1, 2], 'nothing has changed')
  await cluster.start('c')
  await until('c has learnt the key by itself', () => cluster.keysOf('c').length === 2)
  await keys.use(name(2))
  t.same(cluster.keysOf('c'), [2, 1])
})

t.test('a node that left counts as one that failed does, until nobody lists it any more', async (t) => {
  const cluster = await Cluster.of(t, 'a', 'b', 'c')
  await cluster.kill('c')
  cluster.statuses.set('c', 'left')
  const { keys } = cluster.node('a')
  const reason = 'it has left, as by a stop or a reboot'
  t.match(await keys.install(key(2)), { done: ['a', 'b'], missing: [{ name: 'c', reason }] })
  await t.rejects(keys.use(name(2)), {
    code: 'KRG_NOT_EVERYWHERE',
    message: /c \(it has left.*force-leave NODE --prune/,
  })
  await keys.use(name(2), { force: true })
  await t.rejects(keys.remove(name(1)), { code: 'KRG_STILL_NEEDED', message: 'c (it has left' })
  t.same(cluster.keysOf('a'), [2, 1], 'nothing is removed')
  cluster.unlisted.add('c')
  t.match(await keys.remove(name(1)), { done: ['a', 'b'], missing: [] })
})

t.test('a node on no list of members counts as long as it belongs to the cluster', async (t) => {
  const cluster = await Cluster.of(t, 'a', 'b', 'c')
  await cluster.kill('c')
  cluster.unlisted.add('c')
  cluster.belonging = ['a', 'b', 'c']
  const { keys } = cluster.node('a')
  const reason = 'not a member now, but in the Raft configuration'
  t.match(await keys.install(key(2)), { done: ['a', 'b'], missing: [{ name: 'c', reason }] })
  t.match((await keys.list()).nodes[2], { id: 'c', status: 'unknown', source: 'unknown', keys: [] })
  await t.rejects(keys.use(name(2)), {
    code: 'KRG_NOT_EVERYWHERE',
    message: /c \(not a member.*raft remove NODE/,
  })
  cluster.belonging = ['a', 'b']
  t.match(await keys.use(name(2)), { done: ['a', 'b'], missing: [] })
  cluster.belonging = ['a', 'b', 'c']
  await t.rejects(keys.remove(name(1)), { code: 'KRG_STILL_NEEDED' })
  t.match(await keys.remove(name(1), { force: true }), { done: ['a', 'b'], missing: [{ name: 'c' }] })
})

t.test('one that belongs and is connected is asked, member or not', async (t) => {
  const cluster = await Cluster.of(t, 'a', 'b')
  cluster.unlisted.add('b')
  cluster.belonging = ['a', 'b']
  t.match(await cluster.node('a').keys.install(key(2)), { done: ['a', 'b'], missing: [] })
})

t.test('a node that does not know who belongs to the cluster takes nobody for all', async (t) => {
  const cluster = await Cluster.of(t, 'a', 'b')
  cluster.belonging = null
  const { keys } = cluster.node('a')
  await keys.install(key(2))
  await t.rejects(keys.use(name(2)), { code: 'KRG_BELONGING_UNKNOWN' })
  await keys.use(name(2), { force: true })
  await t.rejects(keys.remove(name(1)), { code: 'KRG_BELONGING_UNKNOWN' })
  t.same(cluster.keysOf('b'), [2, 1])
})

t.test('--force leaves a failed one out', async (t) => {
  const cluster = await Cluster.of(t, 'a', 'b', 'c')
  await cluster.kill('c')
  const { keys } = cluster.node('a')
  await keys.install(key(2))
  await keys.use(name(2), { force: true })
  await t.rejects(keys.remove(name(1)), { code: 'KRG_STILL_NEEDED', message: 'c (failed)' })
  await keys.remove(name(1), { force: true })
  t.same(cluster.keysOf('b'), [2])
})

t.test(
  'a node that confirmed before it died blocks neither use nor what follows from what it said',
  async (t) => {
    const cluster = await Cluster.of(t, 'a', 'b', 'c')
    const { keys } = cluster.node('a')
    await keys.install(key(2))
    await cluster.kill('c')
    const { nodes } = await keys.list()
    t.match(nodes[2], { name: 'c', source: 'announced', keys: [name(1).slice(0, 8), name(2).slice(0, 8)] })
    await keys.use(name(2))
    await t.rejects(keys.remove(name(1)), { code: 'KRG_STILL_NEEDED' }, 'it still has the old one as primary')
    await cluster.start('c')
    await until('c follows', () => String(cluster.keysOf('c')) === '2,1')
    await keys.remove(name(1))
    t.same(cluster.keysOf('c'), [2])
  },
)

t.test(
  'a node that dies after it has written and before it answers has the key when it is back',
  async (t) => {
    const cluster = await Cluster.of(t, 'a', 'b')
    const { keys } = cluster.node('a')
    cluster.node('b').store.onChange(() => {
      throw new Error('killed between the disk and the answer')
    })
    const result = await keys.install(key(2))
    t.match(result, { done: ['a'], missing: [{ name: 'b' }] }, 'it has not confirmed')
    await cluster.kill('b')
    cluster.announced.delete('b')
    await t.rejects(keys.use(name(2)), { code: 'KRG_NOT_EVERYWHERE' })
    const { store } = await cluster.start('b')
    t.equal(store.keys().length, 2, 'from its disk')
    await keys.use(name(2))
  },
)

t.test('a newcomer with an old key gets the ring, and what it brings does not undo a removal', async (t) => {
  const cluster = await Cluster.of(t, 'a', 'b')
  const { keys } = cluster.node('a')
  await keys.install(key(2))
  await keys.use(name(2))
  await cluster.start('c')
  await until('c has the ring', () => String(cluster.keysOf('c')) === '2,1')
  await keys.remove(name(1))
  await cluster.start('d')
  await until('d has the ring', () => String(cluster.keysOf('d')) === '2')
  for (const id of ['a', 'b', 'c']) t.same(cluster.keysOf(id), [2])
})

t.test('what one node learns goes on to those it is connected to', async (t) => {
  const cluster = await Cluster.of(t, 'a', 'b', 'c')
  cluster.net.cut('a', 'c')
  const result = await cluster.node('a').keys.install(key(2))
  t.same(result.done, ['a', 'b'])
  await until('c has it from b', () => cluster.keysOf('c').length === 2)
})

t.test(
  'of use and remove of one key at once from two nodes one is refused, and nobody gets a third key',
  async (t) => {
    for (const [user, remover] of [
      ['b', 'c'],
      ['c', 'b'],
    ] as const) {
      for (let turns = -6; turns <= 6; turns += 1) {
        const cluster = await Cluster.of(t, 'a', 'b', 'c', 'd')
        await cluster.node('a').keys.install(key(2))
        await cluster.node('a').keys.install(key(3))
        const using = after(-turns, () => cluster.node(user).keys.use(name(2)))
        const removing = after(turns, () => cluster.node(remover).keys.remove(name(2)))
        const [used, removed] = await Promise.allSettled([using, removing])
        const said = `${turns}: ${describe(used)}, ${describe(removed)}`
        t.not(used.status, removed.status, said)
        const wanted = used.status === 'fulfilled' ? '2,3,1' : '1,3'
        const state = () => ['a', 'b', 'c', 'd'].map((id) => String(cluster.keysOf(id)))
        await until(`${said}: all have ${wanted}, not ${state()}`, () =>
          state().every((keys) => keys === wanted),
        )
        const refused = used.status === 'rejected' ? used.reason : (removed as PromiseRejectedResult).reason
        t.match(refused, { code: /^KRG_(PRIMARY|STILL_NEEDED|UNKNOWN_KEY|NOT_EVERYWHERE)$/ }, said)
      }
    }
  },
)

t.test('a key that is removed while use asks whether all have it is not brought back', async (t) => {
  const cluster = await Cluster.of(t, 'a', 'b', 'c')
  await cluster.node('a').keys.install(key(2))
  await cluster.node('a').keys.install(key(3))
  const { keys, store } = cluster.node('b')
  const change = store.change.bind(store)
  store.change = async (say) => {
    await cluster.node('c').keys.remove(name(2))
    return await change(say)
  }
  await t.rejects(keys.use(name(2)), { code: 'KRG_UNKNOWN_KEY' })
  for (const id of ['a', 'b', 'c']) t.same(cluster.keysOf(id), [1, 3])
})

t.test('a key that is chosen while remove asks whether nobody needs it stays', async (t) => {
  const cluster = await Cluster.of(t, 'a', 'b', 'c')
  await cluster.node('a').keys.install(key(2))
  const { keys, store } = cluster.node('b')
  const change = store.change.bind(store)
  store.change = async (say) => {
    store.change = change
    await cluster.node('c').keys.use(name(2))
    return await change(say)
  }
  await t.rejects(keys.remove(name(2)), { code: 'KRG_PRIMARY' })
  for (const id of ['a', 'b', 'c']) t.same(cluster.keysOf(id), [2, 1])
})

t.test('a node that made the key its primary one keeps it, and who removed it gives it back', async (t) => {
  const cluster = await Cluster.of(t, 'a', 'b', 'c')
  await cluster.node('a').keys.install(key(2))
  await cluster.node('a').keys.install(key(3))
  const c = cluster.node('c')
  const { keys, store } = cluster.node('b')
  const change = store.change.bind(store)
  store.change = async (say) => {
    store.change = change
    const ring = c.store.ring
    const entry = ring?.entries.find(({ fingerprint }) => fingerprint === name(2))
    if (!ring || !entry) throw new Error('c has key 2')
    // As if its order had not reached anybody yet.
    await c.store.merge(statement(ring, entry, { fingerprint: name(2), version: nextVersion(ring) }))
    return await change(say)
  }
  await t.rejects(keys.remove(name(2)), { code: 'KRG_PRIMARY', message: 'at the same time' })
  for (const id of ['a', 'b', 'c']) {
    await until(`${id} has 2 as its primary one`, () => String(cluster.keysOf(id)) === '2,3,1')
  }
  await cluster.node('a').keys.use(name(1))
  for (const id of ['a', 'b', 'c']) t.ok(cluster.keysOf(id).includes(2), 'the removal was taken back')
})

function describe(outcome: PromiseSettledResult<unknown>): string {
  return outcome.status === 'fulfilled' ? 'done' : String(outcome.reason)
}

async function after<T>(turns: number, act: () => Promise<T>): Promise<T> {
  for (let i = 0; i < turns; i += 1) await new Promise((resolve) => setImmediate(resolve))
  return act()
}

t.test(
  'of a node that hangs it is said that it does not answer, or that it has failed by then',
  async (t) => {
    const cluster = await Cluster.of(t, 'a', 'b')
    const { keys, mesh } = cluster.node('a')
    for (const code of ['MSH_TIMEOUT', 'MSH_CLOSED', 'MSH_UNREACHABLE'] as const) {
      mesh.request = async () => {
        throw new MeshError(code, '12D3KooW… was forgotten')
      }
      t.match(await keys.install(key(2)), { missing: [{ name: 'b', reason: /^it does not answer$/ }] }, code)
    }
    mesh.request = async () => {
      throw new MeshError('MSH_REMOTE', 'the keyring cannot be written')
    }
    t.match(await keys.install(key(2)), { missing: [{ name: 'b', reason: 'cannot be written' }] })
    mesh.request = async () => {
      cluster.statuses.set('b', 'failed')
      throw new MeshError('MSH_CLOSED', '12D3KooW… was forgotten')
    }
    t.match(await keys.install(key(2)), { missing: [{ name: 'b', reason: /^it has failed$/ }] })
  },
)

t.test('a node without a cluster key says so', async (t) => {
  const dir = tempDir(t)
  const log = pino({ level: 'silent' })
  const store = await RingStore.open({ dataDir: dir, fileKey: null }, { log })
  const mesh = new FakeNetwork().add('a')
  const self: Member = { id: 'a', name: 'a', address: 'a:1', status: 'alive', incarnation: 1, meta: {} }
  const membership = { members: () => [self], get: () => self, local: () => self }
  const keys = new ClusterKeyring({}, { store, mesh, membership, belonging: () => ['a'], log })
  t.match(await keys.list(), { primary: null, keys: [], nodes: [{ name: 'a', keys: [] }] })
  await t.rejects(keys.install(key(2)), { code: 'KRG_NO_KEY' })
})
