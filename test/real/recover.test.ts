import { existsSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { AgentProcess } from './agent-process.ts'
import { clusterTest, ms } from './cluster.ts'
import { runCommand } from './command.ts'
import { raftStatus, shaped } from './raft-peers.ts'
import { until } from './until.ts'

/** How often an agent has led since the test began. */
function ledBy(agent: AgentProcess): number {
  return agent.log().filter(({ msg }) => msg === 'this node leads the cluster').length
}

clusterTest(
  'a cluster that lost two of three for good is recovered out of the third',
  { nodes: 3, timeoutMs: 90_000 },
  async (t, cluster) => {
    const [n1, n2, n3] = [cluster.agent('n1'), cluster.agent('n2'), cluster.agent('n3')]
    for (let i = 0; i < 20; i++) t.equal(await n1.put(`k${i}`, `value ${i}`), true)
    const { clusterId } = await n1.status()
    const recover = (...args: readonly string[]) =>
      runCommand(cluster.program, ['raft', 'recover', '--data-dir', n1.dataDir, ...args])

    t.match(await recover(), { code: 1, err: /raft is in use by another process/ })
    await Promise.all([n2.kill(), n3.kill()])
    // Kept to come back as the dead that were not dead.
    renameSync(n2.dataDir, `${n2.dataDir}.old`)
    renameSync(n3.dataDir, `${n3.dataDir}.old`)
    await n1.stop()

    const dry = await recover()
    t.match(dry, { code: 0, err: '', out: /^Nothing was changed/m })
    t.comment(`\n${dry.out}`)
    t.match(await recover('--confirm', String(clusterId)), { code: 0, err: '', out: /^recovered: / })
    t.ok(existsSync(join(n1.dataDir, 'raft.before-recovery')))

    const started = performance.now()
    n1.start()
    await until('it leads alone', async () => (await n1.status()).role === 'leader')
    t.comment(`leads ${ms(performance.now() - started)} after its start`)
    for (let i = 0; i < 20; i++) t.equal(await n1.get(`k${i}`), `value ${i}`)
    t.equal(await n1.put('after', 'recovery'), true)
    const recovered = (await n1.status()).clusterId
    t.match(recovered, new RegExp(`^${clusterId}\\+1-[0-9a-f]{8}$`))
    await until('the backup is gone', () => !existsSync(join(n1.dataDir, 'raft.before-recovery')))
    t.match(await recover(), { code: 1, err: /in use by another process/ })

    await t.test('new nodes join, under their old names as well', async (t) => {
      const n4 = await cluster.add('n4')
      n4.start()
      n2.start()
      await shaped([n1, n2, n4], 'n1 n2 n4')
      t.equal(await n2.get('k7'), 'value 7')
      t.equal(await n4.put('n4', 'x'), true)
      t.equal((await n4.status()).clusterId, recovered)
    })

    await t.test('the dead come back together with what they had, and do no harm', async (t) => {
      await n2.stop()
      rmSync(n2.dataDir, { recursive: true })
      renameSync(`${n2.dataDir}.old`, n2.dataDir)
      renameSync(`${n3.dataDir}.old`, n3.dataDir)
      const { term } = await n1.status()
      const before = new Map([n2, n3].map((agent) => [agent, ledBy(agent)]))
      n2.start()
      n3.start()
      for (const dead of [n2, n3]) {
        const status = await until(
          `${dead.name} knows that its cluster is over`,
          async () => {
            const now = await raftStatus(dead)
            return now.supersededBy === recovered && now
          },
          { state: () => raftStatus(dead) },
        )
        t.match(status, { leader: null, clusterId })
        t.match(status.problem, /move its data directory away and start it as a new node/)
        t.equal((await dead.ask('/readyz')).status, 503)
        t.equal(await dead.put('k0', 'of the dead'), false)
        const line = await until(`${dead.name} says what to do`, () =>
          dead.log().find(({ level, msg }) => level === 50 && msg.includes('was recovered without it')),
        )
        t.match(line.msg, /move its whole data directory away, identity\.key included/)
        t.equal(ledBy(dead), before.get(dead), `${dead.name} has not led again`)
      }
      t.equal(await n1.get('k0'), 'value 0')
      t.equal(await n1.put('still', 'writes'), true)
      t.equal((await n1.status()).term, term)
    })

    await t.test('one of them starts afresh and joins', async (t) => {
      await n3.stop()
      rmSync(n3.dataDir, { recursive: true })
      n3.start()
      await until('it has everything', async () => (await n3.get('still', '&stale')) === 'writes')
      t.equal((await n3.status()).clusterId, recovered)
    })
  },
)
