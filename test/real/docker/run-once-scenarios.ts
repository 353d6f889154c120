import t from 'tap'
import { Cluster, ms } from '../cluster.ts'
import { until } from '../until.ts'
import { RealEngine } from './engine.ts'
import { HostProxy } from './host-proxy.ts'

const LABELS = {
  'constellation.enable': 'true',
  'constellation.service': 'job',
  'constellation.run-once': 'true',
}
const HOSTS = ['n1', 'n2', 'n3']
const MOVE_MS = 40_000
/** The time until the lease of a dead host is free makes this part long: set to run it. */
const WITH_HOST_DEATH = process.env.CONSTELLATION_TEST_HOST_DEATH === '1'

t.test('of three containers on three hosts one runs', { timeout: 240_000 }, async (t) => {
  const engine = new RealEngine('docker')
  const proxies = HOSTS.map((host) => new HostProxy(engine, host))
  t.teardown(async () => {
    for (const proxy of proxies) proxy.close()
    await engine.close()
  })
  await engine.start()
  await engine.load()
  for (const proxy of proxies) await proxy.listen()
  const cluster = await Cluster.create(t)
  await cluster.addFounders(HOSTS, (name) => ({
    env: {
      CONSTELLATION_PROVIDERS_DOCKER: 'true',
      CONSTELLATION_PROVIDERS_DOCKER_SOCKET: proxies[HOSTS.indexOf(name)]?.socket ?? '',
      CONSTELLATION_PROVIDERS_DOCKER_RUN_ONCE: 'true',
      CONSTELLATION_NODE_PRIORITY: name === 'n2' ? '10' : '100',
    },
  }))
  await cluster.start()
  const create = (host: string) => engine.create(`${host}-job`, { labels: LABELS, restartPolicy: 'no' })
  // Who comes first need not wait for the others for long: that is the preferred one.
  for (const host of ['n2', 'n1', 'n3']) await create(host)
  const agentOf = (host: string) => cluster.agent(host)

  /** Hosts whose copy runs. */
  const running = async () => {
    const containers = await engine.client.listContainers({
      filters: { label: ['constellation.run-once=true'] },
    })
    return containers.map(({ Names }) => (Names[0] ?? '').slice(1).replace('-job', '')).sort()
  }
  const tooMany: string[] = []
  let isByHand = false
  let isOver = false
  const watched = (async () => {
    while (!isOver) {
      const hosts = await running()
      if (hosts.length > 1 && !isByHand) tooMany.push(hosts.join(' and '))
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })()
  watched.catch(() => {})
  const state = async () => [
    await running(),
    ...(await Promise.all(
      cluster.running.map(async (agent) => [
        agent.name,
        await agent.leases(),
        (
          await agent.json<{ containers: readonly { name: string; runOnce: unknown }[] }>('/api/v1/docker')
        ).containers,
      ]),
    )),
  ]
  /** Waits until one copy runs, where `isSo`, on the holder of the lease as everybody sees it. Answers where. */
  const runsOn = async (what: string, isSo: (host: string) => boolean): Promise<string> => {
    const started = performance.now()
    const host = await until(
      what,
      async () => {
        const hosts = await running()
        const [host] = hosts
        if (hosts.length !== 1 || host === undefined || !isSo(host)) return false
        const holders = await Promise.all(
          cluster.running.map(async (agent) =>
            (await agent.leases()).find(({ name }) => name === 'run-once/job'),
          ),
        )
        return holders.every((lease) => lease?.holder === host) && host
      },
      { timeoutMs: MOVE_MS, state },
    )
    t.comment(`${what}: on ${host} after ${ms(performance.now() - started)}`)
    return host
  }
  const containerOf = (host: string) => engine.client.getContainer(`${host}-job`)

  const first = await runsOn('one copy runs, on the preferred node', () => true)
  t.equal(first, 'n2')
  t.match(await agentOf('n1').json('/api/v1/docker'), {
    containers: [
      { name: 'n1-job', instance: null, runOnce: { holder: 'n2', note: 'stands by: n2 holds the lease' } },
    ],
  })
  const held = (await agentOf('n2').leases()).find(({ name }) => name === 'run-once/job')
  t.match(held, { holder: 'n2', heldBySelf: true })

  isByHand = true
  await containerOf('n1').start()
  await runsOn('one that is started by hand is stopped', (host) => host === 'n2')
  isByHand = false

  await containerOf('n2').stop()
  const second = await runsOn('after docker stop another starts', (host) => host !== 'n2')

  await containerOf(second).remove({ force: true })
  const third = await runsOn('after docker rm another starts', (host) => host !== second)
  await create(second)

  await agentOf(third).ask(`/api/v1/nodes/${third}/cordon`, { method: 'PUT' })
  const fourth = await runsOn('a cordon moves it', (host) => host !== third)
  await agentOf(third).ask(`/api/v1/nodes/${third}/uncordon`, { method: 'PUT' })

  const { StartedAt } = (await containerOf(fourth).inspect()).State
  await agentOf(fourth).kill()
  agentOf(fourth).start()
  await cluster.settled()
  t.equal(await runsOn('an agent that was killed and is back', () => true), fourth)
  const tellsNote = async () =>
    (await agentOf(fourth).json<{ containers: readonly { runOnce: { note: string } }[] }>('/api/v1/docker'))
      .containers[0]?.runOnce.note
  await until(
    'the agent goes on with its lease',
    async () => (await tellsNote()) === 'this node holds the lease',
    {
      timeoutMs: 20_000,
      state,
    },
  )
  t.equal((await containerOf(fourth).inspect()).State.StartedAt, StartedAt, 'its container ran on')

  await agentOf(fourth).stop()
  const fifth = await runsOn('an agent that is stopped gives it up', (host) => host !== fourth)
  t.notOk((await containerOf(fourth).inspect()).State.Running)
  agentOf(fourth).start()
  await cluster.settled()

  if (WITH_HOST_DEATH) {
    // A host that dies takes its agent and its container with it.
    await agentOf(fifth).kill()
    await containerOf(fifth).kill()
    await runsOn('the host dies', (host) => host !== fifth)
  }
  isOver = true
  await watched
  t.same(tooMany, [], 'never two')
})
