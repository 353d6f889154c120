import t from 'tap'
import type { AgentProcess } from '../agent-process.ts'
import { Cluster, ms } from '../cluster.ts'
import { until } from '../until.ts'
import { RealEngine } from './engine.ts'
import { HOST_ADDRESS } from './own-namespace.ts'
import { all, everywhere, instances, sameDocument } from './views.ts'

const ENABLED = { 'constellation.enable': 'true' }
const ROUTED = { 'traefik.enable': 'true' }

interface Report {
  readonly engine: { readonly connected: boolean }
  readonly containers: readonly {
    readonly name: string
    readonly instance: string | null
    readonly reason: string
    readonly problems: readonly { readonly code: string; readonly message: string }[]
  }[]
}

const report = (agent: AgentProcess) => agent.json<Report>('/api/v1/docker')

t.test('three agents follow the containers of one Docker engine', { timeout: 110_000 }, async (t) => {
  const engine = new RealEngine('docker')
  t.teardown(() => engine.close())
  await engine.start()
  await engine.load()
  const cluster = await Cluster.create(t)
  const env = {
    CONSTELLATION_PROVIDERS_DOCKER: 'true',
    CONSTELLATION_PROVIDERS_DOCKER_SOCKET: engine.socket,
    CONSTELLATION_PROVIDERS_DOCKER_ADDRESS: HOST_ADDRESS,
    CONSTELLATION_PROVIDERS_DOCKER_ROUTABLE_NETWORKS: 'overlay',
    CONSTELLATION_PROVIDERS_DOCKER_RESTART: 'true',
  }
  const agents = await cluster.addFounders(['n1', 'n2', 'n3'], () => ({ env }))
  await cluster.start()
  const [n1] = agents
  if (n1 === undefined) throw new Error('no agent')
  const document = async () => (await n1.ask('/api/v1/traefik')).text

  await t.test('a container that starts is a service of each of them', async (t) => {
    const labels = {
      'traefik.enable': 'true',
      'traefik.http.routers.web.rule': 'Host(`web.example`)',
      'constellation.check.http': '/',
      'constellation.check.interval': '1s',
    }
    await engine.run('web', { publish: { '80/tcp': ':18080' }, expose: ['81/tcp'], labels })
    const took = await everywhere(agents, 'web', 'passing', all('passing', 3))
    t.comment(`everywhere ${ms(took)} after the start`)
    const rows = await instances(n1, 'web')
    t.same(
      rows.map(({ id, at }) => `${id} ${at}`),
      ['n1', 'n2', 'n3'].map((node) => `web@${node} ${HOST_ADDRESS}:18080`),
    )
    t.equal(await (await fetch(`http://${HOST_ADDRESS}:18080/`)).text(), 'ok\n', 'where it is said to be')
    await sameDocument(agents, `http://${HOST_ADDRESS}:18080`, true)
    t.match(await document(), 'Host(`web.example`)')
    const { containers } = await report(n1)
    t.match(containers, [
      {
        name: 'web',
        instance: 'web@n1',
        problems: [{ code: 'unreachable', message: /81\/tcp is not published/ }],
      },
    ])
  })

  await t.test('a HEALTHCHECK decides', async (t) => {
    await engine.run('checked', { publish: { '80/tcp': ':18081' }, healthyWhile: '/ok', labels: ROUTED })
    await everywhere(agents, 'checked', 'critical', all('critical', 3))
    await engine.exec('checked', '/bin/touch', '/ok')
    const up = await everywhere(agents, 'checked', 'passing', all('passing', 3))
    await sameDocument(agents, ':18081', true)
    await engine.exec('checked', '/bin/rm', '/ok')
    const down = await everywhere(agents, 'checked', 'critical', all('critical', 3))
    t.comment(`healthy everywhere after ${ms(up)}, unhealthy after ${ms(down)}, HEALTHCHECK runs included`)
    await sameDocument(agents, ':18081', false)
    const [row] = await instances(n1, 'checked')
    t.ok(
      row?.outputs.some((output) => output.startsWith('unhealthy')),
      `${row?.outputs}`,
    )
  })

  await t.test('stopped, started, renamed, removed', async (t) => {
    const web = engine.client.getContainer('web')
    await web.stop({ t: 1 })
    t.comment(
      `critical ${ms(await everywhere(agents, 'web', 'critical', all('critical', 3)))} after the stop`,
    )
    t.equal((await instances(n1, 'web'))[0]?.at, `${HOST_ADDRESS}:18080`, 'where it was is still known')
    await sameDocument(agents, ':18080', false)
    await web.start()
    await everywhere(agents, 'web', 'passing', all('passing', 3))
    await sameDocument(agents, ':18080', true)
    await web.rename({ name: 'shop' })
    await everywhere(agents, 'shop', 'passing', all('passing', 3))
    await everywhere(agents, 'web', 'gone', (rows) => rows.length === 0)
    await engine.client.getContainer('checked').remove({ force: true })
    t.comment(`gone ${ms(await everywhere(agents, 'checked', 'gone', (rows) => rows.length === 0))} after it`)
  })

  await t.test('addresses: two networks, unpublished, loopback', async (t) => {
    for (const [Name, Subnet] of [
      ['back', '172.31.1.0/24'],
      ['overlay', '172.31.2.0/24'],
    ]) {
      await engine.client.createNetwork({
        Name: Name ?? '',
        IPAM: { Driver: 'default', Config: [{ Subnet: Subnet ?? '' }] },
      })
    }
    await engine.run('two', { expose: ['80/tcp'], network: 'back', labels: ENABLED })
    await engine.run('local', { publish: { '80/tcp': '127.0.0.1:18082' }, labels: ENABLED })
    await engine.run('hidden', { publish: { '80/tcp': ':18083' } })
    await everywhere(agents, 'two', 'critical', all('critical', 3))
    await engine.client.getNetwork('overlay').connect({ Container: 'two' })
    await everywhere(agents, 'two', 'passing', all('passing', 3))
    const [two] = await instances(n1, 'two')
    t.match(two?.at, /^172\.31\.2\.\d+:80$/, 'its address in the network that is declared routable')
    t.equal(await (await fetch(`http://${two?.at}/`)).text(), 'ok\n')
    await engine.client.getNetwork('overlay').disconnect({ Container: 'two' })
    await everywhere(agents, 'two', 'critical', all('critical', 3))
    await engine.client.getNetwork('overlay').connect({ Container: 'two' })
    await everywhere(agents, 'two', 'passing', all('passing', 3))
    const local = await instances(n1, 'local')
    t.match(local, [{ status: 'critical', at: `${HOST_ADDRESS}:0` }, {}, {}])
    t.ok(local[0]?.outputs.some((output) => output.includes('for its own host only')))
    t.same(await instances(n1, 'hidden'), [])
    const hidden = (await report(n1)).containers.find(({ name }) => name === 'hidden')
    t.match(hidden, { instance: null, reason: /does not say constellation\.enable/ })
    t.notMatch(await document(), /127\.0\.0\.1:18082/)
  })

  await t.test('an engine that goes away takes no service with it', async (t) => {
    await engine.end()
    await everywhere(agents, 'two', 'with a warning, as it runs on', all('warning', 3))
    await everywhere(agents, 'shop', 'critical, as its port went with the engine', all('critical', 3))
    t.notOk((await report(n1)).engine.connected)
    t.equal(await (await fetch(`http://${(await instances(n1, 'two'))[0]?.at}/`)).text(), 'ok\n')
    await n1.stop()
    n1.start()
    await cluster.settled()
    await everywhere(agents, 'two', 'still there after a restart of an agent', all('warning', 3))
    await engine.start()
    const took = await everywhere(agents, 'two', 'passing', all('passing', 3))
    await everywhere(agents, 'shop', 'passing', all('passing', 3))
    t.comment(`passing everywhere ${ms(took)} after the engine was back`)
  })

  await t.test('an unhealthy container is restarted once, though three agents see it', async (t) => {
    const labels = { ...ENABLED, 'constellation.restart': 'on-unhealthy' }
    const sick = await engine.run('sick', { healthyWhile: '/ok', labels })
    const startedAt = (await sick.inspect()).State.StartedAt
    const restarted = await until(
      'it is restarted',
      async () => {
        const { StartedAt } = (await sick.inspect()).State
        return StartedAt !== startedAt && StartedAt
      },
      { timeoutMs: 20_000 },
    )
    await engine.exec('sick', '/bin/touch', '/ok')
    await everywhere(agents, 'sick', 'passing', all('passing', 3))
    t.equal((await sick.inspect()).State.StartedAt, restarted, 'and no more')
    const events = await Promise.all(
      agents.map(async (agent) => {
        const answer = await agent.ask('/metrics')
        const done = /constellation_docker_restarts_total\{result="done"[^}]*\} (\d+)/.exec(answer.text)
        return Number(done?.[1] ?? 0)
      }),
    )
    t.equal(
      events.reduce((a, b) => a + b, 0),
      1,
    )
    t.ok(await n1.get('constellation/restart/service/sick'), 'the brake names who did')
  })
})
