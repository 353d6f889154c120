import t from 'tap'
import { Cluster, ms } from '../cluster.ts'
import { RealEngine } from './engine.ts'
import { HOST_ADDRESS } from './own-namespace.ts'
import { all, everywhere, instances } from './views.ts'

const ENABLED = { 'constellation.enable': 'true' }

t.test('an agent follows the containers of Podman', { timeout: 90_000 }, async (t) => {
  const engine = new RealEngine('podman')
  t.teardown(() => engine.close())
  await engine.start()
  await engine.load()
  const cluster = await Cluster.create(t)
  const env = {
    CONSTELLATION_PROVIDERS_DOCKER: 'true',
    CONSTELLATION_PROVIDERS_DOCKER_SOCKET: engine.socket,
    CONSTELLATION_PROVIDERS_DOCKER_ADDRESS: HOST_ADDRESS,
  }
  const agents = await cluster.addFounders(['n1'], () => ({ env }))
  await cluster.start()
  const [n1] = agents
  if (n1 === undefined) throw new Error('no agent')

  await t.test('started, stopped, renamed, removed', async (t) => {
    await engine.run('web', { publish: { '80/tcp': ':18090' }, labels: ENABLED })
    t.comment(`passing ${ms(await everywhere(agents, 'web', 'passing', all('passing', 1)))} after the start`)
    t.match(await instances(n1, 'web'), [{ id: 'web@n1', at: `${HOST_ADDRESS}:18090` }])
    const web = engine.client.getContainer('web')
    await web.stop({ t: 1 })
    await everywhere(agents, 'web', 'critical', all('critical', 1))
    await web.start()
    await everywhere(agents, 'web', 'passing', all('passing', 1))
    await web.rename({ name: 'shop' })
    await everywhere(agents, 'shop', 'passing', all('passing', 1))
    await engine.client.getContainer('shop').remove({ force: true })
    await everywhere(agents, 'shop', 'gone', (rows) => rows.length === 0)
  })

  await t.test('the network of the host, with a HEALTHCHECK', async (t) => {
    await engine.run('checked', {
      network: 'host',
      healthyWhile: '/ok',
      command: ['/bin/httpd', '-f', '-p', '18091', '-h', '/www'],
      labels: { ...ENABLED, 'constellation.port': '18091' },
    })
    await everywhere(agents, 'checked', 'critical', all('critical', 1))
    // Without systemd nobody runs its HEALTHCHECK but who asks for it.
    const check = () => engine.podman('healthcheck', 'run', 'checked')
    await engine.exec('checked', '/bin/touch', '/ok')
    check()
    await everywhere(agents, 'checked', 'passing', all('passing', 1))
    t.match(await instances(n1, 'checked'), [{ at: `${HOST_ADDRESS}:18091` }])
    await engine.exec('checked', '/bin/rm', '/ok')
    for (let i = 0; i < 2; i++) check()
    await everywhere(agents, 'checked', 'critical', all('critical', 1))
  })

  await t.test('the service of the socket ends and comes back', async (t) => {
    await engine.run('quiet', { network: 'host', command: ['/bin/sleep', '1000'], labels: ENABLED })
    await everywhere(agents, 'quiet', 'passing', all('passing', 1))
    await engine.end()
    await everywhere(agents, 'quiet', 'with a warning', all('warning', 1))
    await engine.start()
    t.comment(
      `passing ${ms(await everywhere(agents, 'quiet', 'passing', all('passing', 1)))} after it was back`,
    )
  })
})
