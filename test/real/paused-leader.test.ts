import { setTimeout as delay } from 'node:timers/promises'
import { runsMs } from '../held-up.ts'
import { clusterTest, ms } from './cluster.ts'
import { LeaseWatch } from './leases.ts'
import { until } from './until.ts'

const PAUSE_MS = 5000

clusterTest('a leader that was paused comes back as a follower', { nodes: 3 }, async (t, cluster) => {
  const leader = await cluster.leader()
  const others = cluster.others(leader)
  const [writer] = others
  if (writer === undefined) throw new Error('a follower')
  const { term } = await leader.status()
  const watch = new LeaseWatch(t, cluster.agents)
  const acknowledged: string[] = []
  for (let i = 0; i < 20; i++) if (await leader.put(`before/${i}`, 'x')) acknowledged.push(`before/${i}`)

  leader.signal('SIGSTOP')
  const paused = runsMs()
  // Written to the socket of the paused leader: whether it happens is its own matter, but its answer has to be true.
  const inFlight = leader.put('in-flight', 'x', 20_000).catch(() => false)
  await until('a write is acknowledged', () => writer.put('first', 'x'), { timeoutMs: 15_000 })
  acknowledged.push('first')
  const worksAfter = runsMs() - paused
  t.ok(worksAfter < 5000, `the others write on within 5 s: ${ms(worksAfter)}`)
  t.not((await cluster.leader({ not: leader })).name, leader.name)
  for (let i = 0; runsMs() - paused < PAUSE_MS || acknowledged.length <= 50; i++) {
    if (await writer.put(`during/${i}`, 'x').catch(() => false)) acknowledged.push(`during/${i}`)
    await delay(10)
  }
  await until('another holds the leases', async () =>
    (await writer.leases()).every(({ holder }) => others.some(({ name }) => name === holder)),
  )
  leader.signal('SIGCONT')
  const resumed = runsMs()
  if (await inFlight) acknowledged.push('in-flight')
  await cluster.settled()
  const rejoinedAfter = runsMs() - resumed
  t.ok(rejoinedAfter < 10_000, `it rejoins within 10 s: ${ms(rejoinedAfter)}`)
  const status = await leader.status()
  t.equal(status.role, 'follower')
  t.ok(status.term > term, 'in a later term')
  for (const agent of cluster.agents) {
    const keys = new Set(await agent.json<string[]>('/v1/kv/?keys'))
    t.strictSame(
      acknowledged.filter((key) => !keys.has(key)),
      [],
      `${agent.name} has every acknowledged write`,
    )
  }
  t.ok(acknowledged.length > 50, `${acknowledged.length} writes were acknowledged`)
  t.strictSame(await watch.end(), [], 'never two holders of one lease')
  t.comment(
    `writes work ${ms(worksAfter)} into the pause; rejoined ${ms(rejoinedAfter)} after it; ${acknowledged.length} writes`,
  )
})
