import { writeFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Cluster, ms } from './cluster.ts'
import { startCommand } from './command.ts'
import { missingPrograms, programPath } from './dns-tools.ts'
import { checkedServer, registerWeb } from './services.ts'
import { toHaproxy } from './traefik-adapter.ts'
import { until } from './until.ts'

const skip = missingPrograms({ haproxy: 'haproxy' })
const POLL_MS = 1_000
const BETWEEN_MS = 10

/** Status of a request through the proxy, on a connection of its own; 0 if there was no answer. */
function statusOf(port: number, host: string): Promise<number> {
  return new Promise((resolve) => {
    const options = { host: '127.0.0.1', port, headers: { host }, agent: new Agent(), timeout: 6_000 }
    const request = get(options, (response) => {
      response.resume().on('close', () => resolve(response.statusCode ?? 0))
    })
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(0))
  })
}

t.test(
  'a proxy that is fed the document serves on through kill -9 of a host',
  { skip, timeout: 110_000 },
  async (t) => {
    const cluster = await Cluster.create(t)
    await cluster.addFounders(['n1', 'n2', 'n3'])
    await cluster.start()
    const [n1, n2, n3] = cluster.agents
    const [s2, s3] = [checkedServer(t, await cluster.freePort()), checkedServer(t, await cluster.freePort())]
    if (!n1 || !n2 || !n3) throw new Error('three agents')
    const port = await cluster.freePort()
    const file = join(cluster.folder, 'haproxy.cfg')
    for (const [agent, server] of [
      [n2, s2],
      [n3, s3],
    ] as const) {
      await server.start()
      await registerWeb(agent, server.port, { check: true })
    }

    // Polls n1 as Traefik would, status 200 alone, and reloads the proxy when the bytes are new.
    let body = ''
    let reloads = 0
    const poll = async (): Promise<boolean> => {
      const answer = await n1.ask('/api/v1/traefik')
      if (answer.status !== 200 || answer.text === body) return false
      body = answer.text
      writeFileSync(file, toHaproxy(body, port))
      return true
    }
    await until(
      'the document has both',
      async () => {
        await poll()
        return [s2, s3].every((server) => body.includes(`:${server.port}"`))
      },
      { state: () => body },
    )
    const haproxy = startCommand(programPath('haproxy') ?? '', ['-W', '-f', file], { timeoutMs: 100_000 })
    t.teardown(async () => {
      // The master ends its workers, which SIGKILL would leave behind.
      haproxy.signal('SIGTERM')
      await haproxy.ended
    })
    await until('the proxy answers', async () => (await statusOf(port, 'web.example')) === 200, {
      state: () => haproxy.err(),
    })

    let polling = true
    const poller = (async () => {
      while (polling) {
        await delay(POLL_MS)
        if (await poll().catch(() => false)) {
          reloads++
          haproxy.signal('SIGUSR2')
        }
      }
    })()
    t.teardown(() => {
      polling = false
      return poller
    })
    const counts = { sent: 0, failed: 0 }
    let sending = true
    let lastFailure = performance.now()
    const traffic = (async () => {
      while (sending) {
        counts.sent++
        if ((await statusOf(port, 'web.example')) !== 200) {
          counts.failed++
          lastFailure = performance.now()
        }
        await delay(BETWEEN_MS)
      }
    })()
    t.teardown(() => {
      sending = false
      return traffic
    })
    await until('a hundred requests were sent', () => counts.sent >= 100, { state: () => counts })
    t.equal(counts.failed, 0, 'none failed before')

    const killed = performance.now()
    await Promise.all([n2.kill(), s2.stop()])
    await until('the document has lost n2', () => !body.includes(`:${s2.port}"`), { state: () => body })
    const known = performance.now() - killed
    await until('no request has failed for a second', () => performance.now() - lastFailure > 1000, {
      state: () => ({ ...counts, body }),
    })
    const { sent, failed } = { ...counts }
    t.ok(failed < sent / 2, `${failed} of ${sent} requests failed: those that went to the dead host`)
    t.comment(
      `${failed} of ${sent} requests failed, the last ${ms(lastFailure - killed)} after the kill; the proxy knew after ${ms(known)}, polling every ${ms(POLL_MS)} and retrying nothing`,
    )
    t.equal(reloads, 1, 'one change, one reload')

    sending = false
    await traffic
    await s3.stop()
    await until(
      '503 and not 404 when nobody is left',
      async () => (await statusOf(port, 'web.example')) === 503 && !body.includes(`:${s3.port}"`),
      { state: () => body },
    )
    await n3.ask(`/v1/agent/service/deregister/web-${n3.name}`, { method: 'PUT' })
    await until(
      'n1 knows that n3 has none any more',
      async () => (await n1.json<readonly unknown[]>('/v1/catalog/service/web')).length === 1,
    )
    await poll()
    t.match(body, /"web":\{"rule"/, 'the router stays, for n2 is expected back')
    t.equal(await statusOf(port, 'other.example'), 404)
  },
)
