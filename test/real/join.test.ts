import t from 'tap'
import { Cluster } from './cluster.ts'
import { until } from './until.ts'

t.test('a node that waits for a cluster is told over HTTP whom to join', { timeout: 60_000 }, async (t) => {
  const cluster = await Cluster.create(t)
  const founder = await cluster.add('n1', { join: [], bootstrapExpect: 1 })
  const waiting = await cluster.add('n2', { join: [], bootstrapExpect: 0 })
  founder.start()
  waiting.start()
  await until('the founder is ready', async () => (await founder.ask('/readyz')).status === 200)
  await until('the other one is up', async () => (await waiting.ask('/healthz')).status === 200)
  t.equal((await waiting.ask('/readyz')).status, 503, 'it has no cluster')
  const nobody = await cluster.freePort()
  const refused = await waiting.ask(`/v1/agent/join/127.0.0.1:${nobody}`, { method: 'PUT' })
  t.match(refused, { status: 500, text: /^cannot join through 127\.0\.0\.1:\d+: .*connection refused/ })
  const joined = await waiting.ask(`/v1/agent/join/127.0.0.1:${founder.ports.mesh}`, { method: 'PUT' })
  t.match(joined, { status: 200, text: '' })
  await cluster.settled()
  t.same(
    (await founder.nodes()).map(({ name, status }) => [name, status]),
    [
      ['n1', 'alive'],
      ['n2', 'alive'],
    ],
  )
})
