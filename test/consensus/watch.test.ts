/** Catalogue B27: what somebody sees who watches a key, while leaders change, links break and snapshots replace the state. */
import t, { type Test } from 'tap'
import { textToKey } from '../../consensus/state/keys.ts'
import { eventually, set, TestCluster } from './cluster.ts'

const KEY = textToKey('k')

interface Seen {
  readonly value: number
  readonly index: number
  readonly appliedIndex: number
}

/** Reads the key whenever the watch of `id` fires, as a blocking query does. */
async function watcher(cluster: TestCluster, id: string): Promise<Seen[]> {
  const seen: Seen[] = []
  const client = cluster.client(id)
  const { view } = await client.read('stale')
  client.watch({ kind: 'key', key: KEY }, () => {
    const entry = view.kvGet(KEY)
    if (entry === undefined) return
    const value = Number(new TextDecoder().decode(entry.value))
    seen.push({ value, index: entry.modifyIndex, appliedIndex: view.appliedIndex })
  })
  return seen
}

function checkOrder(t: Test, id: string, seen: readonly Seen[]): void {
  for (const [i, now] of seen.entries()) {
    const before = seen[i - 1]
    t.ok(now.index <= now.appliedIndex, `${id}: nothing is shown before it is applied`)
    if (before === undefined) continue
    t.ok(now.index >= before.index && now.value >= before.value, `${id} does not go back`, { before, now })
  }
}

async function write(cluster: TestCluster, id: string, from: number, to: number): Promise<void> {
  for (let i = from; i <= to; i++)
    await cluster.client(id).propose(set('k', String(i)), { timeoutMs: 20_000 })
}

t.test('B27: a watcher hears of every change, in order, whoever leads', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const ids = await cluster.found(3)
  const all = new Map<string, Seen[]>()
  for (const id of ids) all.set(id, await watcher(cluster, id))
  await write(cluster, 'a', 1, 10)
  const leader = await cluster.leader()
  const others = ids.filter((id) => id !== leader)
  cluster.network.partition([leader], others)
  await write(cluster, others[0] ?? '', 11, 20)
  cluster.network.heal()
  await write(cluster, leader, 21, 30)
  const expected = Array.from({ length: 30 }, (_, i) => i + 1)
  for (const [id, seen] of all) {
    await eventually(`${id} sees the last value`, () => seen.at(-1)?.value === 30)
    checkOrder(t, id, seen)
    t.same(
      seen.map(({ value }) => value),
      expected,
      `${id}: nothing is left out, nothing comes twice`,
    )
  }
})

t.test('B27: a watcher wakes when a snapshot brings what it waits for', async (t) => {
  const cluster = new TestCluster()
  t.teardown(() => cluster.close())
  const ids = await cluster.found(3, { snapshotEntries: 20 })
  await write(cluster, 'a', 1, 3)
  const leader = await cluster.leader()
  const behind = ids.find((id) => id !== leader) ?? ''
  const rest = ids.filter((id) => id !== behind)
  await eventually('it has the first writes', async () => {
    const { view } = await cluster.client(behind).read('stale')
    return view.kvGet(KEY) !== undefined
  })
  const first = cluster.client(behind).status().snapshotIndex
  cluster.network.partition([behind], rest)
  await write(cluster, leader, 4, 60)
  const last = cluster.client(leader).status().lastLogIndex
  // Nobody keeps the writes of the key in the log any more: only a snapshot brings them.
  for (let i = 0; i < 60; i++)
    await cluster.client(leader).propose(set(`other/${i}`, ''), { timeoutMs: 20_000 })
  await eventually('the log is compacted', () =>
    rest.every((id) => cluster.client(id).status().firstLogIndex > last),
  )
  let woken = 0
  let value = ''
  cluster.client(behind).watch({ kind: 'key', key: KEY }, () => woken++)
  cluster.network.heal()
  await eventually('it has caught up by a snapshot', async () => {
    const { view } = await cluster.client(behind).read('stale')
    value = new TextDecoder().decode(view.kvGet(KEY)?.value)
    return value === '60' && cluster.client(behind).status().snapshotIndex > first
  })
  t.equal(value, '60')
  t.ok(woken > 0, 'whoever waited was woken')
})
