import t from 'tap'
import type { KeyRecord } from '../../consensus/client.ts'
import { KeyBackup } from '../../consensus/key-backup.ts'
import { textToKey } from '../../consensus/state/keys.ts'
import { RESTORE_BYTES_MAX } from '../../consensus/state/restore.ts'
import { eventually, get, set, TestCluster } from './cluster.ts'
import { SESSION } from './state/machine.ts'

function record(key: string, value: string | Uint8Array): KeyRecord {
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value
  return { key: textToKey(key), value: bytes, flags: 0n }
}

/** Enough records for several parts. */
function large(count: number, mark: string): KeyRecord[] {
  const value = new Uint8Array(100_000).fill(mark.charCodeAt(0))
  return Array.from({ length: count }, (_, i) => record(`large/${String(i).padStart(3, '0')}`, value))
}

/** Every key of a node with the first letter of its value. */
async function content(cluster: TestCluster, id: string): Promise<readonly string[]> {
  const { view } = await cluster.client(id).read('consistent')
  return view.kvList('').map(({ key, value }) => `${key}=${String.fromCharCode(value[0] ?? 0)}`)
}

t.test('saved through one node and restored through another, all nodes agree', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const ids = await cluster.found(3)
  const leader = await cluster.leader()
  const [follower = ''] = ids.filter((id) => id !== leader)
  const client = cluster.client(leader)
  await client.propose({ type: 'session.create', session: SESSION })
  const lock = { type: 'kv.acquire', value: new Uint8Array([0x6c]), flags: 0n, session: SESSION.id } as const
  const { index: lockedAt } = await client.propose({ ...lock, key: textToKey('lock') })
  await client.propose({ ...lock, key: textToKey('constellation/lease/x') })
  await client.cordon('n1', 'n1')
  await client.setAutopilot({ minQuorum: 3 })
  const { index } = await client.propose(set('k', 'before'))
  const saved = await new KeyBackup(client).read('default')
  t.same(
    saved.records.map(({ key }) => key),
    ['k', 'lock'],
    'leases, cordons and the configuration of autopilot are left out',
  )
  t.match(saved, { index, clusterId: cluster.client(leader).status().clusterId, modifyIndex: index })

  await client.propose(set('k', 'after'))
  await client.propose(set('new', 'x'))
  let woken = 0
  cluster.client(follower).watch({ kind: 'key', key: 'k' }, () => woken++)
  await new KeyBackup(cluster.client(follower)).restore([...saved.records, ...large(30, 'y')])
  for (const id of ids) {
    const expected = [
      'constellation/autopilot={',
      'constellation/cordon/n1={',
      'constellation/lease/x=l',
      'k=b',
      ...large(30, 'y').map(({ key }) => `${key}=y`),
      'lock=l',
    ]
    t.same(await content(cluster, id), expected)
  }
  const { view } = await client.read('consistent')
  t.match(view.kvGet(textToKey('lock')), { session: SESSION.id, lockIndex: 1, modifyIndex: lockedAt })
  t.equal(woken, 1)

  const entries = view.kvList('')
  await new KeyBackup(client).restore([...saved.records, ...large(30, 'y')])
  t.same((await client.read('consistent')).view.kvList(''), entries, 'twice changes nothing')
})

t.test('readers and writers see either all of it or nothing', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.found(3)
  const client = cluster.client('a')
  await new KeyBackup(client).restore(large(30, 'a'))
  let done = false
  const seen = new Set<string>()
  let writes = 0
  const reader = (async () => {
    while (!done) {
      const { view } = await cluster.client('b').read('stale')
      seen.add(
        view
          .kvList(textToKey('large/'))
          .map(({ value }) => String.fromCharCode(value[0] ?? 0))
          .join(''),
      )
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  const writer = (async () => {
    while (!done) {
      t.ok((await cluster.client('c').propose(set('other', `${++writes}`))).ok)
    }
  })()
  await new KeyBackup(client).restore(large(30, 'b'))
  await eventually('b has it', () => seen.has('b'.repeat(30)))
  done = true
  await Promise.all([reader, writer])
  t.ok(writes > 1, `${writes} writes went on meanwhile`)
  t.same(
    [...seen].filter((row) => row !== ''),
    ['a'.repeat(30), 'b'.repeat(30)],
  )
})

t.test('given up midway, or pushed aside by another, a restore changes nothing', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  await cluster.add('a', { expect: 1 })
  await cluster.leader()
  const client = cluster.client('a')
  await client.propose(set('k', 'v'))
  const before = await content(cluster, 'a')

  const abort = new AbortController()
  function* leaving(): Generator<KeyRecord> {
    yield* large(10, 'x')
    abort.abort()
    yield* large(20, 'x').slice(10)
  }
  let reads = 0
  const gone = { [Symbol.iterator]: () => (reads++ === 0 ? large(1, 'x')[Symbol.iterator]() : leaving()) }
  await t.rejects(new KeyBackup(client).restore(gone, abort.signal))
  t.same(await content(cluster, 'a'), before)

  const second = Promise.withResolvers<void>()
  let proposals = 0
  const slow = {
    ...client,
    propose: async (...args: Parameters<typeof client.propose>) => {
      if (++proposals === 3) await second.promise
      return client.propose(...args)
    },
  } as unknown as typeof client
  const first = new KeyBackup(slow).restore(large(20, 'x'))
  await eventually('it is under way', () => proposals === 3)
  await new KeyBackup(client).restore([record('k', 'w')])
  second.resolve()
  await t.rejects(first, { code: 'CST_RESTORE_FAILED', message: /nothing was restored: .*replaced/ })
  t.same(await content(cluster, 'a'), ['k=w'])

  const value = new Uint8Array(RESTORE_BYTES_MAX / 4)
  const tooMuch = ['1', '2', '3', '4'].map((key) => record(key, value))
  await t.rejects(new KeyBackup(client).restore(tooMuch), { code: 'CST_TOO_LARGE' })
  t.same(await content(cluster, 'a'), ['k=w'])
})

t.test('a restore goes on over a change of leader and the restart of a node', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const ids = await cluster.found(3, { snapshotEntries: 6 })
  const leader = await cluster.leader()
  const [other = '', third = ''] = ids.filter((id) => id !== leader)
  const client = cluster.client(other)
  let proposals = 0
  const interrupted = {
    ...client,
    propose: async (...args: Parameters<typeof client.propose>) => {
      const at = ++proposals
      if (at === 4) cluster.kill(third)
      // It comes back in the middle, from its snapshot and its log.
      if (at === 12) await cluster.restart(third)
      if (at === 16) await cluster.client(other).transferLeadership(other)
      return client.propose(...args)
    },
  } as unknown as typeof client
  await new KeyBackup(interrupted).restore(large(100, 'z'))
  t.ok(proposals > 20, `${proposals}`)
  const expected = large(100, 'z').map(({ key }) => `${key}=z`)
  for (const id of ids) t.same(await content(cluster, id), expected, id)
  t.equal(await get(cluster.client(third), 'large/000'), 'z'.repeat(100_000))
  t.same(cluster.fatal, [])
})
