import { renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { clusterTest } from './cluster.ts'
import { shaped } from './raft-peers.ts'
import { until } from './until.ts'

clusterTest(
  'a node may move to another address, but never forget what it stored',
  { nodes: 3 },
  async (t, cluster) => {
    const leader = await cluster.leader()
    const [moved, wiped] = cluster.others(leader)
    if (moved === undefined || wiped === undefined) throw new Error('two followers')
    t.equal(await leader.put('k', '1'), true)

    await t.test('the same data at another address is the same voter', async (t) => {
      const idOf = async () =>
        (await leader.json<{ name: string; id: string; address: string }[]>('/api/v1/nodes')).find(
          ({ name }) => name === moved.name,
        )
      const before = await idOf()
      await moved.stop()
      const again = await cluster.add(moved.name, {
        join: [`127.0.0.1:${leader.ports.mesh}`],
        bootstrapExpect: 3,
      })
      again.start()
      await cluster.settled()
      const after = await idOf()
      t.equal(after?.id, before?.id)
      t.equal(after?.address, `127.0.0.1:${again.ports.mesh}`)
      await shaped(cluster.running, 'n1 n2 n3')
      t.equal(await again.put('moved', '2'), true)
    })

    await t.test('the same identity without its log is refused, with the way out', async (t) => {
      await wiped.kill()
      rmSync(join(wiped.dataDir, 'raft'), { recursive: true })
      wiped.start()
      const line = await until('it says why it is not let in', () =>
        wiped.log().find(({ level, msg }) => level === 40 && msg.includes('comes without its log')),
      )
      t.match(
        line.msg,
        /move its whole data directory away, identity\.key included, and start it again as a new node/,
      )
      t.match(await wiped.status(), { clusterId: null, ready: false, role: 'none' })
      await shaped([leader], 'n1 n2 n3')
    })

    await t.test('which works', async (t) => {
      await wiped.stop()
      renameSync(wiped.dataDir, `${wiped.dataDir}.old`)
      wiped.start()
      await until('it has everything', async () => (await wiped.get('k', '&stale')) === '1')
      await until('it is ready', async () => (await wiped.status()).ready)
      t.equal(await wiped.put('back', '3'), true)
    })
  },
)
