import { writeFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Cluster, ms } from './cluster.ts'
import { startCommand } from './command.ts'
import { missingPrograms, programPath } from './dns-tools.ts'
import { checkedServer, registerWeb } from './services.ts'
import { until } from './until.ts'

const skip = missingPrograms({ haproxy: 'haproxy' })
const BETWEEN_MS = 10

function configuration(port: number, dns: readonly number[]): string {
  const nameServers = dns.map((each, i) => `  nameserver n${i + 1} 127.0.0.1:${each}`)
  return `defaults
  mode http
  timeout connect 500ms
  timeout client 5s
  timeout server 5s
  retries 3
  retry-on conn-failure empty-response
  option redispatch 1
resolvers constellation
${nameServers.join('\n')}
  accepted_payload_size 8192
  timeout resolve 200ms
  timeout retry 200ms
  hold valid 200ms
  hold nx 200ms
  hold obsolete 0s
frontend web
  bind 127.0.0.1:${port}
  default_backend web
backend web
  balance roundrobin
  server-template web 6 _web._tcp.service.consul resolvers constellation resolve-prefer ipv4 init-addr none
`
}

/** Requests through HAProxy, one after the other, each on a connection of its own, until stopped. */
class Traffic {
  readonly #port: number
  readonly #agent = new Agent({ keepAlive: false })
  sent = 0
  failed = 0
  #stopped = false
  readonly #done: Promise<void>

  constructor(port: number) {
    this.#port = port
    this.#done = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#done
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.sent++
      if (!(await answered(this.#port, this.#agent))) this.failed++
      await delay(BETWEEN_MS)
    }
  }
}

function answered(port: number, agent: Agent): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, agent, timeout: 6_000 }, (response) => {
      response.resume().on('close', () => resolve(response.statusCode === 200))
    })
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(false))
  })
}

t.test('HAProxy follows the instances of a service by SRV', { skip, timeout: 110_000 }, async (t) => {
  const cluster = await Cluster.create(t)
  await cluster.addFounders(['n1', 'n2', 'n3'])
  await cluster.start()
  const servers = []
  for (let i = 0; i < 3; i++) servers.push(checkedServer(t, await cluster.freePort()))
  const [s1, s2, s3] = servers
  const [n1, n2, n3] = cluster.agents
  if (!s1 || !s2 || !s3 || !n1 || !n2 || !n3) throw new Error('three of each')
  const port = await cluster.freePort()
  const file = join(cluster.folder, 'haproxy.cfg')
  writeFileSync(
    file,
    configuration(
      port,
      cluster.agents.map(({ ports }) => ports.dns),
    ),
  )
  const haproxy = startCommand(programPath('haproxy') ?? '', ['-db', '-f', file], { timeoutMs: 110_000 })
  t.teardown(async () => {
    haproxy.signal('SIGKILL')
    await haproxy.ended
  })

  for (const server of [s1, s2]) await server.start()
  await registerWeb(n1, s1.port, { check: true })
  await registerWeb(n2, s2.port, { check: true })
  await until('HAProxy has a server', () => answered(port, new Agent()), {
    timeoutMs: 20_000,
    state: () => haproxy.err(),
  })
  const traffic = new Traffic(port)
  t.teardown(() => traffic.stop())
  /** Waits until a server gets requests, or none for a second. */
  const gets = async (what: string, server: typeof s1, some: boolean): Promise<void> => {
    const started = performance.now()
    let { hits, since } = { hits: server.hits(), since: traffic.sent }
    await until(
      what,
      () => {
        // A check asks once a second too; so a share of the requests is what counts.
        if (traffic.sent - since < 40) return false
        const share = (server.hits() - hits) / (traffic.sent - since)
        hits = server.hits()
        since = traffic.sent
        return some ? share > 0.2 : share < 0.1
      },
      { timeoutMs: 20_000, state: () => ({ sent: traffic.sent, hits: server.hits() }) },
    )
    t.comment(`${what} after ${ms(performance.now() - started)}`)
  }
  await gets('n1 gets requests', s1, true)
  await gets('n2 gets requests', s2, true)

  await s3.start()
  await registerWeb(n3, s3.port, { check: true })
  await gets('n3, which came, gets requests', s3, true)
  t.equal(traffic.failed, 0, 'no request failed while instances came')

  // It cuts connections with requests on them: those HAProxy sends again because of empty-response.
  let [sent, failed] = [traffic.sent, traffic.failed]
  await s2.stop()
  await until('n2 is critical in DNS for HAProxy', async () => {
    const rows = await n1.json<readonly unknown[]>('/v1/health/service/web?passing')
    return rows.length === 2
  })
  const before = s2.hits()
  await s2.start()
  await gets('n2, which is well again, gets requests', s2, true)
  t.ok(s2.hits() > before)
  t.comment(
    `${traffic.failed - failed} of ${traffic.sent - sent} requests failed around a server that stopped and came back`,
  )
  t.equal(traffic.failed, failed)

  ;[sent, failed] = [traffic.sent, traffic.failed]
  await Promise.all([n3.kill(), s3.stop()])
  await until(
    'n3 has left DNS',
    async () => {
      const rows = await n1.json<readonly unknown[]>('/v1/health/service/web?passing')
      return rows.length === 2
    },
    { timeoutMs: 20_000 },
  )
  // The port answers again, but not for this service any more.
  await s3.start()
  await gets('n3, whose host died, gets no requests', s3, false)
  t.comment(`${traffic.failed - failed} of ${traffic.sent - sent} requests failed around a host that died`)
  t.equal(traffic.failed, failed)

  await n2.ask('/v1/agent/service/deregister/web-n2', { method: 'PUT' })
  await gets('n2, which was deregistered, gets no requests', s2, false)
  t.equal(traffic.failed, failed)
  await traffic.stop()
})
