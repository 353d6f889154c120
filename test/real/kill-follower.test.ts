import { runsMs } from '../held-up.ts'
import { clusterTest, ms } from './cluster.ts'
import { avoids, checkedServer, registerWeb, sendsTo, webViews } from './services.ts'
import { until } from './until.ts'

clusterTest('a killed follower fails, and returns by itself', { nodes: 3 }, async (t, cluster) => {
  const leader = await cluster.leader()
  const [victim, survivor] = cluster.others(leader)
  if (victim === undefined || survivor === undefined) throw new Error('two followers')
  const server = checkedServer(t, await cluster.freePort())
  await server.start()
  const otherPort = await cluster.freePort()
  await registerWeb(victim, server.port, { check: true })
  await registerWeb(leader, otherPort, { check: false })
  for (const agent of cluster.agents) {
    await until(`${agent.name} sends to both`, async () => {
      const views = await webViews(agent)
      return sendsTo(views, server.port) && sendsTo(views, otherPort)
    })
  }
  const { term } = await leader.status()

  const killed = runsMs()
  await victim.kill()
  await Promise.all(
    [leader, survivor].map(async (agent) => {
      await until(
        `${agent.name} calls ${victim.name} failed`,
        async () =>
          (await agent.nodes()).some(({ name, status }) => name === victim.name && status === 'failed'),
        { state: () => agent.nodes() },
      )
      const failedAfter = runsMs() - killed
      t.ok(failedAfter < 5000, `${agent.name} calls it failed within 5 s: ${ms(failedAfter)}`)
      await until(`${agent.name} sends nothing to ${victim.name}`, async () =>
        avoids(await webViews(agent), server.port),
      )
      t.ok(sendsTo(await webViews(agent), otherPort), `${agent.name} still sends to the other instance`)
      t.comment(
        `${agent.name}: failed after ${ms(failedAfter)}, out of the views after ${ms(runsMs() - killed)}`,
      )
    }),
  )
  t.equal(await survivor.put('without', victim.name), true, 'two of three write on')
  t.equal((await leader.status()).term, term, 'no election was needed')

  const restarted = runsMs()
  victim.start()
  for (const agent of cluster.agents) {
    await until(
      `${agent.name} sees ${victim.name} alive and sends to it again`,
      async () => {
        const alive = (await agent.nodes()).some(
          ({ name, status }) => name === victim.name && status === 'alive',
        )
        return alive && sendsTo(await webViews(agent), server.port)
      },
      { state: async () => [await agent.nodes(), await webViews(agent)] },
    )
  }
  const backAfter = runsMs() - restarted
  t.ok(backAfter < 10_000, `alive and passing within 10 s of its start: ${ms(backAfter)}`)
  await cluster.settled()
  t.equal(await victim.get('without'), victim.name, 'it has what was written meanwhile')
  t.comment(`alive and passing on all nodes ${ms(backAfter)} after its start`)
})
