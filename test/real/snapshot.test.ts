import { join } from 'node:path'
import { clusterTest } from './cluster.ts'
import { runCommand } from './command.ts'
import { until } from './until.ts'

clusterTest(
  'a snapshot saved through one node and restored through another',
  { nodes: 3 },
  async (t, cluster) => {
    const leader = await cluster.leader()
    const [follower, other] = cluster.others(leader)
    if (follower === undefined || other === undefined) throw new Error('two followers')
    const file = join(cluster.folder, 'keys.tgz')
    const run = (agent: typeof leader, ...args: readonly string[]) =>
      runCommand(cluster.program, ['snapshot', ...args, '--http-addr', `127.0.0.1:${agent.ports.http}`])
    const entries = async (agent: typeof leader) => (await agent.ask('/v1/kv/app/?recurse&stale')).text

    const lease = await until('a lease is held', async () =>
      (await leader.leases()).find(({ holder }) => holder !== null),
    )
    for (const key of ['a', 'b', 'c']) t.ok(await leader.put(`app/${key}`, `old ${key}`))
    t.match(await run(other, 'save', file), { code: 0, err: '', out: /keys: +3\n/ })

    t.ok(await leader.put('app/a', 'new a'))
    t.ok(await leader.put('app/d', 'new d'))
    t.equal((await leader.ask('/v1/kv/app/b', { method: 'DELETE' })).status, 200)
    const { headers } = await other.ask('/v1/kv/app/?recurse')
    const blocked = other.ask(`/v1/kv/app/?recurse&index=${headers['x-consul-index']}&wait=15s`, {
      timeoutMs: 20_000,
    })
    await until('the query waits', async () =>
      /blocking_queries\{[^}]*\} 1\b/.test((await other.ask('/metrics')).text),
    )
    t.match(await run(follower, 'restore', file), { code: 0, err: '', out: /^restored: / })

    const woken = await blocked
    t.ok(woken.ms < 15_000, `the query woke after ${Math.round(woken.ms)} ms`)
    t.strictSame(
      (woken.json() as { Key: string; Value: string }[]).map(({ Key, Value }) => [Key, atob(Value)]),
      [
        ['app/a', 'old a'],
        ['app/b', 'old b'],
        ['app/c', 'old c'],
      ],
    )
    for (const agent of cluster.agents) {
      await until(`${agent.name} has the same`, async () => (await entries(agent)) === woken.text, {
        state: () => entries(agent),
      })
    }
    for (const agent of cluster.agents) {
      const { holder, fencingToken } = (await agent.leases()).find(({ name }) => name === lease.name) ?? {}
      t.strictSame(
        { holder, fencingToken },
        { holder: lease.holder, fencingToken: lease.fencingToken },
        'the lock is held',
      )
    }
    t.match(await run(leader, 'restore', file), { code: 0 })
    t.equal(await entries(leader), woken.text, 'twice changes nothing')
  },
)
