import { decodeBody } from '../../providers/traefik/strict-decoder.ts'
import { runsMs } from '../held-up.ts'
import { clusterTest, ms } from './cluster.ts'
import { avoids, checkedServer, registerWeb, sendsTo, webViews } from './services.ts'
import { until } from './until.ts'

clusterTest(
  'a registered service is on every node, and its check decides',
  { nodes: 3 },
  async (t, cluster) => {
    const n1 = cluster.agent('n1')
    const server = checkedServer(t, await cluster.freePort())
    const other = await cluster.freePort()
    await server.start()
    await registerWeb(cluster.agent('n2'), other, { check: false })

    const registered = runsMs()
    await registerWeb(n1, server.port, { check: true })
    const returned = runsMs()
    await Promise.all(
      cluster.agents.map((agent) =>
        until(
          `${agent.name} has the new instance in every view`,
          async () => {
            const views = await webViews(agent)
            return views.catalog.includes(server.port) && sendsTo(views, server.port) && sendsTo(views, other)
          },
          { state: () => webViews(agent) },
        ),
      ),
    )
    const everywhere = runsMs() - returned
    t.ok(everywhere < 1000, `in every view of every node within 1 s: ${ms(everywhere)}`)
    t.comment(`registration ${ms(returned - registered)}, then ${ms(everywhere)} until it was everywhere`)
    t.ok(server.hits() > 0, 'it passes because it was checked')

    const documents = await Promise.all(cluster.agents.map((agent) => agent.ask('/api/v1/traefik')))
    const [first] = documents
    for (const document of documents) {
      t.equal(document.text, first?.text, 'the same bytes')
      t.equal(document.headers.etag, first?.headers.etag)
    }
    const decoded = decodeBody(first?.text ?? '')
    t.match(decoded, { accepted: true, empty: false, errors: [] })
    t.match(JSON.parse(first?.text ?? ''), {
      http: {
        routers: { web: { rule: 'Host(`web.example`)', service: 'web' } },
        services: {
          web: {
            loadBalancer: {
              servers: [server.port, other].map((port) => ({ url: `http://127.0.0.1:${port}` })),
            },
          },
        },
      },
    })

    // The node that runs the check is told as late as a second after the server died; the others by gossip.
    const stopped = runsMs()
    await server.stop()
    await Promise.all(
      cluster.agents.map((agent) =>
        until(
          `${agent.name} sends nothing to the dead server`,
          async () => avoids(await webViews(agent), server.port),
          { state: () => webViews(agent) },
        ),
      ),
    )
    const goneAfter = runsMs() - stopped
    t.ok(goneAfter < 5000, `gone within 5 s: ${ms(goneAfter)}`)
    for (const agent of cluster.agents) {
      const views = await webViews(agent)
      t.ok(views.catalog.includes(server.port), `${agent.name} still lists the instance`)
      t.ok(sendsTo(views, other), `${agent.name} still sends to the other instance`)
    }

    const started = runsMs()
    await server.start()
    await Promise.all(
      cluster.agents.map((agent) =>
        until(`${agent.name} sends to it again`, async () => sendsTo(await webViews(agent), server.port)),
      ),
    )
    const backAfter = runsMs() - started
    t.ok(backAfter < 5000, `back within 5 s: ${ms(backAfter)}`)
    t.comment(
      `checked every second: gone everywhere ${ms(goneAfter)} after it died, back ${ms(backAfter)} after its start`,
    )

    t.equal((await n1.ask(`/v1/agent/service/deregister/web-n1`, { method: 'PUT' })).status, 200)
    const removed = runsMs()
    await Promise.all(
      cluster.agents.map((agent) =>
        until(`${agent.name} forgets it`, async () => !(await webViews(agent)).catalog.includes(server.port)),
      ),
    )
    t.comment(`deregistered: forgotten everywhere after ${ms(runsMs() - removed)}`)
  },
)
