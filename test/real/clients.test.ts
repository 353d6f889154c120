import t from 'tap'
import { Cluster, ms } from './cluster.ts'
import { runCommand } from './command.ts'
import { until } from './until.ts'

const ENV = { CONSTELLATION_CLUSTER_VOTERS: '3', CONSTELLATION_CLUSTER_LEARNERS: '1' }

void t.test(
  'a node beyond voters and learners is a client that serves everything',
  { timeout: 60_000 },
  async (t) => {
    const cluster = await Cluster.create(t)
    await cluster.addFounders(['n1', 'n2', 'n3'], () => ({ env: ENV }))
    await cluster.start()
    // One after the other, so that it is known who comes when there is no place any more.
    const learner = await cluster.add('n4', { env: ENV })
    learner.start()
    await until('n4 learns', async () => (await learner.status()).role === 'learner')
    const client = await cluster.add('n5', { env: ENV })
    client.start()
    await cluster.settled()
    const { role, clusterId, feed } = await client.status()
    t.equal(role, 'client')
    t.equal(clusterId, (await learner.status()).clusterId)
    t.equal((await client.ask('/readyz')).status, 200)
    const leader = await cluster.leader()
    t.not(feed?.feeder, leader.name)
    const feeder = await until('the others say so', async () => {
      const row = (await leader.nodes()).find(({ name }) => name === 'n5')
      const told = (await client.status()).feed?.feeder
      return row?.role === 'client' && row.fedBy === told && told
    })
    const status = await runCommand(cluster.program, [
      'raft',
      'status',
      '--http-addr',
      `127.0.0.1:${client.ports.http}`,
    ])
    t.match(status.out, new RegExp(`^role: +client\n(.*\n)*fed by: +${feeder}\nlag: +\\d+ entries\n`, 'm'))

    t.equal(await client.put('k', '1'), true)
    for (const agent of cluster.agents) t.equal(await agent.get('k'), '1', agent.name)
    t.equal(await leader.put('k', '2'), true)
    t.equal(await client.get('k', '&consistent'), '2', 'read right after a write elsewhere')

    const index = (await client.ask('/v1/kv/k')).headers['x-consul-index']
    const blocked = client.ask(`/v1/kv/k?raw&index=${index}&wait=20s`, { timeoutMs: 25_000 })
    t.equal(await leader.put('other', '1'), true)
    t.equal(await leader.put('k', '3'), true)
    const woken = await blocked
    t.equal(woken.text, '3')
    t.ok(woken.ms < 10_000, `the blocking query answers with the change: ${ms(woken.ms)}`)

    const killed = cluster.agent((await client.status()).feed?.feeder ?? '')
    const killedAt = performance.now()
    await killed.kill()
    for (let i = 0; i < 5; i++) {
      t.equal(await until('a write', () => client.put('after', `${i}`)), true)
      t.equal(await until('a read', () => client.get('after')), `${i}`)
    }
    t.comment(`five writes and reads after the death of ${killed.name}: ${ms(performance.now() - killedAt)}`)
    t.not((await client.status()).feed?.feeder, killed.name)

    await client.kill()
    client.start()
    await until('it is a client again', async () => {
      const now = await client.status()
      return now.role === 'client' && now.ready && now.clusterId === clusterId
    })
    t.equal(await client.get('after'), '4')
    const { code, ms: took } = await client.stop()
    t.equal(code, 0)
    t.ok(took < 9000, `it stops in order: ${ms(took)}`)
  },
)
