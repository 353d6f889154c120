import type { Test } from 'tap'
import { runsMs } from '../held-up.ts'
import type { AgentProcess } from './agent-process.ts'
import { type Cluster, clusterTest, ms } from './cluster.ts'
import { checkedServer, registerWeb, sendsTo, webViews } from './services.ts'
import { until } from './until.ts'

const WRITE_MS_MAX = 2500

/** What a lone survivor of three does and does not do. */
async function assertAlone(t: Test, survivor: AgentProcess, port: number): Promise<void> {
  const times: number[] = []
  for (let i = 0; i < 3; i++) {
    const write = await survivor.ask('/v1/kv/alone', { method: 'PUT', body: String(i) })
    t.equal(write.status, 500)
    t.equal(write.text, 'No cluster leader', `write ${i}`)
    t.ok(write.ms - write.heldUpMs < WRITE_MS_MAX, `refused within ${WRITE_MS_MAX} ms: ${ms(write.ms)}`)
    times.push(write.ms)
  }
  const read = await survivor.ask('/v1/kv/kept')
  t.equal(read.status, 500, 'a default read does not answer from what may be old')
  t.equal(read.text, 'No cluster leader')
  const stale = await survivor.ask('/v1/kv/kept?stale&raw')
  t.equal(stale.status, 200)
  t.equal(stale.text, 'here')
  t.equal(stale.headers['x-consul-knownleader'], 'false')
  for (const path of [
    '/v1/catalog/services',
    '/v1/catalog/nodes',
    '/v1/catalog/service/web',
    '/v1/health/service/web?passing',
    '/v1/health/state/any',
    '/v1/agent/services',
    '/v1/status/leader',
    '/api/v1/traefik',
    '/api/v1/status',
    '/healthz',
    '/metrics',
  ]) {
    const answer = await survivor.ask(path)
    t.equal(answer.status, 200, path)
    t.ok(answer.ms - answer.heldUpMs < 1000, `${path} at once: ${ms(answer.ms)}`)
  }
  t.equal((await survivor.ask('/readyz')).status, 503)
  t.ok(sendsTo(await webViews(survivor), port), 'Traefik still gets the instance of this node')
  t.comment(`refused after ${times.map(ms).join(', ')}; default read after ${ms(read.ms)}`)
}

async function leaveOnly(cluster: Cluster, survivor: AgentProcess): Promise<readonly AgentProcess[]> {
  const killed = cluster.others(survivor)
  await Promise.all(killed.map((agent) => agent.kill()))
  return killed
}

async function bringBack(t: Test, survivor: AgentProcess, killed: readonly AgentProcess[]): Promise<void> {
  const [first, ...rest] = killed
  const started = runsMs()
  first?.start()
  await until('a write is acknowledged', () => survivor.put('again', 'two of three'), { timeoutMs: 15_000 })
  const worksAfter = runsMs() - started
  t.ok(worksAfter < 10_000, `writes work within 10 s of the start of one more: ${ms(worksAfter)}`)
  t.comment(`writes work ${ms(worksAfter)} after the start of one more`)
  for (const agent of rest) agent.start()
}

clusterTest(
  'without a quorum: no writes, but every view',
  { nodes: 3, timeoutMs: 90_000 },
  async (t, cluster) => {
    const server = checkedServer(t, await cluster.freePort())
    await server.start()
    for (const agent of cluster.agents) await registerWeb(agent, server.port, { check: true })
    t.equal(await cluster.agent('n1').put('kept', 'here'), true)
    for (const agent of cluster.agents) {
      await until(`${agent.name} has the key`, async () => (await agent.get('kept', '&stale')) === 'here')
      await until(`${agent.name} sends to it`, async () => sendsTo(await webViews(agent), server.port))
    }

    await t.test('the survivor was the leader', async (t) => {
      const leader = await cluster.leader()
      const killed = await leaveOnly(cluster, leader)
      // A leader finds out that nobody follows; a write that comes before may only be called unknown.
      const alone = runsMs()
      const first = await leader.ask('/v1/kv/alone', { method: 'PUT', body: 'first' })
      t.equal(first.status, 500)
      t.ok(
        first.ms - first.heldUpMs < WRITE_MS_MAX,
        `the first write is answered within ${WRITE_MS_MAX} ms: ${ms(first.ms)}`,
      )
      t.comment(`first write: ${ms(first.ms)}, ${first.text}`)
      await until('the leader steps down', async () => (await leader.status()).leader === null)
      t.comment(`stepped down within ${ms(runsMs() - alone)}`)
      await assertAlone(t, leader, server.port)
      await bringBack(t, leader, killed)
    })

    await t.test('the survivor was a follower', async (t) => {
      await cluster.settled()
      const [follower] = cluster.others(await cluster.leader())
      if (follower === undefined) throw new Error('a follower')
      const killed = await leaveOnly(cluster, follower)
      await assertAlone(t, follower, server.port)
      await bringBack(t, follower, killed)
      await cluster.settled()
    })
  },
)
