import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { generateClusterKey } from '../../discovery/mesh/cluster-key.ts'
import type { AgentProcess } from './agent-process.ts'
import { clusterTest, ms } from './cluster.ts'
import { until } from './until.ts'

const WATCH_MS = 4000

/** What the mesh of an agent told the operator about refused peers, by reason. */
function refusals(agent: AgentProcess): readonly { readonly reason: unknown; readonly msg: string }[] {
  return agent
    .log()
    .filter(({ part, level, msg }) => part === 'mesh' && level >= 40 && msg.startsWith('refused peer at '))
    .map(({ reason, msg }) => ({ reason, msg }))
}

clusterTest('nodes with another key or cluster name get nothing', { nodes: 3 }, async (t, cluster) => {
  const members = cluster.agents.slice()
  t.equal(await cluster.agent('n1').put('secret', 'ours'), true)
  const { term, leader } = await cluster.agent('n1').status()
  const keyFile = join(cluster.folder, 'other.key')
  writeFileSync(keyFile, `${generateClusterKey()}\n`, { mode: 0o600 })
  const join_ = members.map(({ ports }) => `127.0.0.1:${ports.mesh}`)
  const strangers = [
    { agent: await cluster.add('otherkey', { join: join_, keyFile }), reason: 'wrong_key' },
    {
      agent: await cluster.add('othername', {
        join: join_,
        env: { CONSTELLATION_CLUSTER_NAME: 'elsewhere' },
      }),
      reason: 'wrong_cluster',
    },
    // One that would make a cluster with whomever it finds.
    {
      agent: await cluster.add('founder', { join: join_, keyFile, bootstrapExpect: 3 }),
      reason: 'wrong_key',
    },
  ]
  const started = performance.now()
  for (const { agent } of strangers) agent.start()
  for (const { agent, reason } of strangers) {
    await until(`${agent.name} and a member say why`, () =>
      [agent, ...members].every((each) => refusals(each).some((line) => line.reason === reason)),
    )
  }
  t.comment(`refused on both sides ${ms(performance.now() - started)} after the start`)

  const end = performance.now() + WATCH_MS
  while (performance.now() < end) {
    for (const { agent } of strangers) {
      const [status, nodes, stale] = await Promise.all([
        agent.status(),
        agent.nodes(),
        agent.ask('/v1/kv/secret?stale'),
      ])
      t.match(status, { ready: false, clusterId: null, leader: null }, `${agent.name} is part of no cluster`)
      t.strictSame(
        nodes.map(({ name }) => name),
        [agent.name],
        `${agent.name} knows itself only`,
      )
      t.equal(stale.status, 404, `${agent.name} has no key`)
    }
    await delay(500)
  }
  await Promise.all(
    strangers.map(async ({ agent }) => {
      const [read, write, services, traefik, ready] = await Promise.all([
        agent.ask('/v1/kv/secret'),
        agent.ask('/v1/kv/secret', { method: 'PUT', body: 'overwritten' }),
        agent.ask('/v1/catalog/services'),
        agent.ask('/api/v1/traefik'),
        agent.ask('/readyz'),
      ])
      t.match(read, { status: 500, text: 'No cluster leader' })
      t.match(write, { status: 500, text: 'No cluster leader' })
      t.match(services.text, /^(No catalogue: .*|\{"consul":\[\]\})$/, 'no service of the others')
      t.equal(traefik.status, 503, 'Traefik keeps what it has')
      t.equal(ready.status, 503)
    }),
  )
  for (const { agent, reason } of strangers) {
    const lines = refusals(agent)
    t.strictSame(
      lines.map((line) => line.reason),
      [reason],
      `${agent.name} says it once`,
    )
    t.comment(`${agent.name}: ${lines[0]?.msg}`)
  }
  for (const agent of members) {
    const lines = refusals(agent)
    t.strictSame(
      lines.map(({ reason }) => reason).sort(),
      ['wrong_cluster', 'wrong_key'],
      `${agent.name} says each once`,
    )
    for (const { msg } of lines) t.comment(`${agent.name}: ${msg}`)
    const status = await agent.status()
    t.equal(status.term, term, `${agent.name}: the term is unchanged`)
    t.equal(status.leader, leader)
    t.strictSame(
      (await agent.nodes()).map(({ name, status }) => `${name} ${status}`),
      ['n1 alive', 'n2 alive', 'n3 alive'],
    )
    t.equal(await agent.get('secret'), 'ours')
  }
})
