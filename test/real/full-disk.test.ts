import { join } from 'node:path'
import t, { type Test } from 'tap'
import { mountSmallDisk, type SmallDisk } from '../small-disk.ts'
import { Cluster } from './cluster.ts'
import { until } from './until.ts'

const probe = mountSmallDisk(1)
const skip = typeof probe === 'string' ? probe : false
if (typeof probe !== 'string') probe.remove()

const SIZE_MB = 32
const VALUE = 'x'.repeat(400_000)

function disk(t: Test): SmallDisk {
  const mounted = mountSmallDisk(SIZE_MB)
  if (typeof mounted === 'string') throw new Error(mounted)
  t.teardown(() => mounted.remove())
  return mounted
}

t.test('the leader of three runs out of disk', { skip, timeout: 90_000 }, async (t) => {
  const cluster = await Cluster.create(t)
  const disks = new Map(['n1', 'n2', 'n3'].map((name) => [name, disk(t)]))
  await cluster.addFounders([...disks.keys()], (name) => ({
    dataDir: join(disks.get(name)?.path ?? '', 'data'),
  }))
  await cluster.start()
  const full = await cluster.leader()
  const [other] = cluster.others(full)
  t.equal(await full.put('kept', 'here'), true)
  const its = disks.get(full.name)
  its?.fill()
  let i = 0
  await until('another node leads', async () => {
    await full.put(`k${i++ % 3}`, VALUE)
    return (await full.status()).role !== 'leader' && (await full.status()).leader !== null
  })
  t.equal(await full.put('kept', 'changed'), true, 'writes through the full node are passed on')
  t.equal(await other?.get('kept'), 'changed')
  const ready = await full.ask('/readyz')
  t.equal(ready.status, 503)
  t.match(ready.text, /no writes are taken here: the disk that holds .* is full; .*free some space/)
  t.match((await full.ask('/metrics')).text, /^constellation_raft_disk_full\{.*\} 1$/m)
  t.match(await full.json('/api/v1/raft'), { diskFull: /No space left on device/ })

  await full.kill()
  full.start()
  const ended = await full.exited
  t.equal(ended.code, 1, 'it does not start while the disk is full')
  const last = full.log().at(-1)
  t.match(last?.msg, /is full; nothing stored is lost: free some space/)
  t.notMatch(last?.msg, /damaged|move/)

  its?.free()
  full.start()
  await cluster.settled()
  t.equal(await full.get('kept'), 'changed')
  await until('the full node has everything', async () => (await full.get('kept', '&stale')) === 'changed')
})

t.test(
  'a node alone runs out of disk and recovers without a restart',
  { skip, timeout: 60_000 },
  async (t) => {
    const cluster = await Cluster.create(t)
    const its = disk(t)
    const agent = await cluster.add('solo', { join: [], dataDir: join(its.path, 'data') })
    await cluster.start()
    t.equal(await agent.put('a', '1'), true)
    its.fill()
    const refused = await until('a write is refused for the disk', async () => {
      const answer = await agent.ask('/v1/kv/b', { method: 'PUT', body: VALUE })
      return answer.status === 500 && !answer.text.startsWith('outcome unknown') && answer
    })
    t.match(refused.text, /^the disk that holds .* is full; nothing stored is lost: free some space/)
    t.equal(await agent.get('a'), '1', 'reads go on')
    its.free()
    await until('a write is taken', () => agent.put('c', '3'))
    t.equal((await agent.ask('/readyz')).status, 200)
    const pid = agent.pid
    await agent.kill()
    agent.start()
    await cluster.settled()
    t.not(agent.pid, pid)
    t.equal(await agent.get('a'), '1')
    t.equal(await agent.get('c'), '3')
  },
)
