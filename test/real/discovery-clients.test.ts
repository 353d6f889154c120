import type { Test } from 'tap'
import type { AgentProcess } from './agent-process.ts'
import { ConsulTemplate } from './clients/replayed/consul-template.ts'
import { Fabio } from './clients/replayed/fabio.ts'
import { Prometheus } from './clients/replayed/prometheus.ts'
import { type Container, Registrator } from './clients/replayed/registrator.ts'
import { SpringApplication } from './clients/replayed/spring.ts'
import { TraefikCatalog } from './clients/replayed/traefik.ts'
import { type Cluster, clusterTest, ms } from './cluster.ts'
import { type CheckedServer, checkedServer } from './services.ts'
import { until } from './until.ts'

/** Where an instance of `web` is, and how it does. */
interface Instance {
  readonly agent: AgentProcess
  readonly port: number
  readonly status: 'passing' | 'critical' | 'maintenance'
}

/** A container of `web` whose page is checked every second. */
function web(server: CheckedServer): Container {
  return {
    name: 'web_1',
    image: 'web',
    hostPort: server.port,
    tags: ['traefik.enable=true', 'urlprefix-web.example/', 'metrics'],
    check: { HTTP: `${server.url}/`, Interval: '1s', Timeout: '5s', Status: 'passing' },
    meta: { env: 'qa' },
  }
}

/** Everybody who follows `web`. */
class Followers {
  readonly prometheus: Prometheus
  readonly traefik: TraefikCatalog
  readonly fabio: Fabio
  readonly template: ConsulTemplate
  readonly spring: SpringApplication

  constructor(t: Test, first: AgentProcess, second: AgentProcess, ports: readonly [number, number]) {
    const [fabio, app] = ports
    this.prometheus = new Prometheus(first.ports.http, {
      tags: ['metrics'],
      filter: 'ServiceName != consul and "metrics" in ServiceTags',
      healthFilter: 'Service.Meta.env == qa and Node.Node matches "^n[0-9]$"',
      refreshMs: 100,
    })
    this.traefik = new TraefikCatalog(second.ports.http)
    this.fabio = new Fabio(second.ports.http, { name: 'fabio', port: fabio })
    this.template = new ConsulTemplate(first.ports.http, 'web')
    this.spring = new SpringApplication(second.ports.http, { name: 'app', port: app }, 'web')
    for (const { client } of this.#goClients()) t.teardown(() => client.close())
    t.teardown(() => this.spring.stop().catch(() => {}))
  }

  #goClients() {
    return [this.prometheus, this.traefik, this.fabio, this.template]
  }

  async start(): Promise<void> {
    await Promise.all([
      this.prometheus.start(),
      this.traefik.start(),
      this.fabio.start(),
      this.spring.start(),
    ])
  }

  /** What went wrong for any of them. */
  errors(): readonly string[] {
    return [...this.#goClients().flatMap(({ follower }) => follower.errors), ...this.spring.errors]
  }

  /** Blocking reads of those who do not poll. */
  reads(): number {
    const blocking = [this.prometheus, this.traefik, this.template].flatMap(({ client }) => client.asked)
    const fabio = this.fabio.client.asked.filter(({ target }) => target.startsWith('/v1/health/'))
    return blocking.length + fabio.length
  }

  /** What each would do now. */
  state() {
    return {
      prometheus: this.prometheus.targets(),
      traefik: this.traefik.servers(),
      fabio: this.fabio.routes(),
      template: this.template.page().split('\n').at(-1) ?? '',
      spring: this.spring.instances(),
      errors: this.errors(),
    }
  }

  /** Waits until each does what these instances of `web` ask for. Answers how long that took. Milliseconds. */
  async see(what: string, instances: readonly Instance[]): Promise<number> {
    const begun = performance.now()
    const at = ({ agent, port }: Instance) => `${agent.name} 127.0.0.1:${port}`
    const passing = instances.filter(({ status }) => status === 'passing').map(at)
    const wanted = {
      prometheus: instances.map((each) => `web ${at(each)} ${each.status}`).toSorted(),
      traefik: passing.map((each) => `web ${each}`).toSorted(),
      fabio: passing.map((each) => `web.example/ ${each}`).toSorted(),
      template: passing.toSorted().join(','),
      spring: passing.toSorted(),
      errors: [],
    }
    await until(
      `${what}: ${JSON.stringify(wanted)}`,
      () => JSON.stringify(this.state()) === JSON.stringify(wanted),
      {
        timeoutMs: 20_000,
        intervalMs: 10,
        state: () => this.state(),
      },
    )
    return performance.now() - begun
  }
}

clusterTest(
  'registrator and Spring register; Prometheus, Traefik, Fabio, consul-template and Spring follow',
  { nodes: 3, timeoutMs: 100_000 },
  async (t, cluster) => {
    // The leader is the one that will die: none of them may need one.
    const victim = await cluster.leader()
    const [first, second] = cluster.others(victim)
    if (first === undefined || second === undefined) throw new Error('there are no two followers')
    const servers = []
    for (let i = 0; i < 3; i++) servers.push(checkedServer(t, await cluster.freePort()))
    const [here, there, app] = servers
    if (here === undefined || there === undefined || app === undefined) throw new Error('three servers')
    for (const server of servers) await server.start()
    const redis: Container = {
      ...{ name: 'redis_1', image: 'redis', hostPort: here.port, tags: [], check: { TTL: '30s' } },
    }

    const hosts = [new Registrator(first.ports.http, 'host'), new Registrator(victim.ports.http, 'host')]
    const [host, otherHost] = hosts
    if (host === undefined || otherHost === undefined) throw new Error('two hosts')
    for (const { client } of hosts) t.teardown(() => client.close())
    const followers = new Followers(t, first, second, [await cluster.freePort(), app.port])
    await followers.start()
    await host.start([web(here), redis])
    await otherHost.start([web(there)])
    const onFirst = { agent: first, port: here.port, status: 'passing' } as const
    const onVictim = { agent: victim, port: there.port, status: 'passing' } as const
    const told: string[] = []
    const see = async (what: string, instances: readonly Instance[]): Promise<void> => {
      const took = await followers.see(what, instances)
      t.pass(what)
      told.push(`${what} ${ms(took)}`)
    }
    await see('both run', [onFirst, onVictim])
    // Traefik 2 puts the two lists side by side.
    const [catalogue, health] = await Promise.all([
      first.json<readonly { readonly Node: string }[]>('/v1/catalog/service/web'),
      first.json<readonly { readonly Node: { readonly Node: string } }[]>('/v1/health/service/web'),
    ])
    t.same(
      catalogue.map(({ Node }) => Node),
      health.map(({ Node }) => Node.Node),
    )
    const { leader, services } = await followers.spring.health()
    t.equal(leader, `127.0.0.1:${victim.ports.mesh}`)
    t.same(services.toSorted(), ['app', 'consul', 'fabio', 'redis', 'web'])
    t.match(followers.template.page(), /^n1,n2,n3\napp,consul,fabio,redis,web\n/)

    await quiet(t, cluster, followers, second)
    await host.sync([web(here), redis])
    await quiet(t, cluster, followers, second)

    await here.stop()
    await see('one fails its check', [{ ...onFirst, status: 'critical' }, onVictim])
    await here.start()
    await see('it passes again', [onFirst, onVictim])
    await maintenance(first, '/service/maintenance/host:web_1:80', true)
    await see('one is in maintenance', [{ ...onFirst, status: 'maintenance' }, onVictim])
    await maintenance(first, '/service/maintenance/host:web_1:80', false)
    await maintenance(victim, '/maintenance', true)
    await see('the other host is in maintenance', [onFirst, { ...onVictim, status: 'maintenance' }])
    await maintenance(victim, '/maintenance', false)
    await see('none is', [onFirst, onVictim])

    await victim.kill()
    await see('the leading host dies', [onFirst, { ...onVictim, status: 'critical' }])
    await cluster.start([victim])
    await see('it comes back with what it had', [onFirst, onVictim])

    // While registrator was away a container went, and somebody else registered something by hand.
    const byHand = { ID: 'host-by-hand', Name: 'manual' }
    await first.ask('/v1/agent/service/register', { method: 'PUT', body: JSON.stringify(byHand) })
    await host.start([redis])
    await see('registrator cleans up', [onVictim])
    t.same(Object.keys(await first.json<object>('/v1/agent/services')).toSorted(), [
      'host-by-hand',
      'host:redis_1:80',
    ])
    await otherHost.remove(web(there))
    await see('the last one goes', [])

    // Fabio's own registration is gone: it makes it again.
    await second.ask(`/v1/agent/service/deregister/${followers.fabio.id}`, { method: 'PUT' })
    await until('Fabio is registered and passes', async () => {
      const checks = await first.json<readonly { readonly Status: string }[]>('/v1/health/checks/fabio')
      return checks.length === 1 && checks[0]?.Status === 'passing'
    })
    await followers.fabio.stop()
    await followers.spring.stop()
    t.same(Object.keys(await second.json<object>('/v1/agent/services')), [])
    t.same(followers.errors(), [])
    for (const line of told) t.comment(line)
    t.comment(
      `Spring told of ${followers.spring.heartbeats} changes, consul-template wrote ${followers.template.renders} pages`,
    )
  },
)

/** Nothing of the catalogue changes: nobody who waits is answered, whatever happens to keys and sessions. */
async function quiet(t: Test, cluster: Cluster, followers: Followers, agent: AgentProcess): Promise<void> {
  const settled = async (): Promise<number> => {
    let [before, since] = [followers.reads(), performance.now()]
    await until('nobody asks for a while', () => {
      if (followers.reads() !== before) [before, since] = [followers.reads(), performance.now()]
      return performance.now() - since > 300
    })
    return before
  }
  const before = await settled()
  for (const each of cluster.running) t.equal(await each.put('unrelated', each.name), true)
  const made = await agent.json<{ readonly ID: string }>('/v1/session/create', { method: 'PUT', body: '{}' })
  await agent.ask(`/v1/session/destroy/${made.ID}`, { method: 'PUT' })
  t.equal(await settled(), before, 'nobody was woken')
}

async function maintenance(agent: AgentProcess, path: string, enable: boolean): Promise<void> {
  const answer = await agent.ask(`/v1/agent${path}?enable=${enable}&reason=upgrade`, { method: 'PUT' })
  if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}: ${answer.text}`)
}
