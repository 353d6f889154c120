import { setTimeout as delay } from 'node:timers/promises'
import { runsMs } from '../held-up.ts'
import { clusterTest, ms } from './cluster.ts'
import { LeaseWatch } from './leases.ts'
import { until } from './until.ts'

/** What an agent logs when the configuration of Raft changed. */
interface Configuration {
  readonly voters: readonly string[]
  readonly votersOutgoing: readonly string[]
}

clusterTest('a leader that is told to stop hands everything over', { nodes: 3 }, async (t, cluster) => {
  const leader = await cluster.leader()
  const others = cluster.others(leader)
  const [writer] = others
  if (writer === undefined) throw new Error('a follower')
  const before = await until('every lease is held', async () => {
    const leases = await leader.leases()
    return leases.every(({ holder }) => holder !== null) && leases
  })
  const watch = new LeaseWatch(t, cluster.agents)
  const over = new AbortController()
  t.teardown(() => over.abort())
  const refused: string[] = []
  let longestMs = 0
  let written = 0
  const writing = (async () => {
    let lastGood = runsMs()
    for (let i = 0; !over.signal.aborted; i++) {
      const answer = await writer.ask('/v1/kv/handover', { method: 'PUT', body: String(i) })
      if (answer.text === 'true') {
        longestMs = Math.max(longestMs, runsMs() - lastGood)
        lastGood = runsMs()
        written++
      } else {
        refused.push(`${answer.status} ${answer.text}`)
      }
      await delay(5)
    }
  })()
  await until('writes flow', () => written > 20)

  const told = runsMs()
  const ended = await leader.stop()
  t.match(ended, { code: 0, signal: null }, 'exit 0')
  t.ok(ended.ms < 10_000, `within 10 s: ${ms(ended.ms)}`)
  for (const agent of others) {
    await until(
      `${agent.name} calls it left`,
      async () => (await agent.nodes()).find(({ name }) => name === leader.name)?.status === 'left',
      { state: () => agent.nodes() },
    )
  }
  t.comment(`left for all after ${ms(runsMs() - told)}`)
  for (const agent of others) {
    const leases = await until(`${agent.name} sees every lease with a living node`, async () => {
      const rows = await agent.leases()
      return rows.every(({ holder }) => others.some(({ name }) => name === holder)) && rows
    })
    for (const { name, holder, fencingToken } of leases) {
      const old = before.find((lease) => lease.name === name)
      const [now, then] = [fencingToken ?? 0, old?.fencingToken ?? 0]
      t.ok(old?.holder === leader.name ? now > then : now === then, `${name}: ${then} -> ${now} (${holder})`)
    }
  }
  const leasesAfter = runsMs() - told
  t.ok(leasesAfter < ended.ms + 1000, `leases were given back, not left to expire: ${ms(leasesAfter)}`)
  t.not((await cluster.leader()).name, leader.name)
  const atHandover = written
  await until('writes flow on', () => written > atHandover + 20)
  over.abort()
  await writing
  t.ok(longestMs < 1500, `writes by another node never waited longer than 1.5 s: ${ms(longestMs)}`)
  t.strictSame(refused, [], 'and none was refused')
  t.comment(`exit after ${ms(ended.ms)}; ${written} writes, longest gap ${ms(longestMs)}`)

  const started = runsMs()
  leader.start()
  await cluster.settled()
  t.comment(`back ${ms(runsMs() - started)} after its start`)
  t.equal(await leader.put('back', 'again'), true)
  t.strictSame(await watch.end(), [], 'never two holders of one lease')
  t.ok(watch.samples > 50, 'and it was looked at')
})

clusterTest('a node that comes later joins and gets everything', { nodes: 3 }, async (t, cluster) => {
  const keys = Array.from({ length: 200 }, (_, i) => `many/${String(i).padStart(3, '0')}`)
  for (const [i, key] of keys.entries()) {
    if (!(await (cluster.agents[i % 3] ?? cluster.agent('n1')).put(key, `value of ${key}`))) t.fail(key)
  }
  const n1 = cluster.agent('n1')
  const { clusterId } = await n1.status()
  const n4 = await cluster.add('n4')
  const started = runsMs()
  n4.start()
  await cluster.settled()
  const readyAfter = runsMs() - started
  t.ok(readyAfter < 10_000, `ready within 10 s: ${ms(readyAfter)}`)
  t.equal((await n4.status()).clusterId, clusterId, 'the same cluster')
  const found = await n4.json<string[]>('/v1/kv/many/?keys&stale')
  t.strictSame(found, keys, 'it has every key itself')
  t.equal(await n4.get('many/123'), 'value of many/123')
  t.equal(await n4.put('from/n4', 'written'), true)
  t.equal(await n1.get('from/n4'), 'written')
  // An even number of voters survives no more failures than the odd one below it, so the fifth makes voters of both.
  const n5 = await cluster.add('n5')
  n5.start()
  await cluster.settled()
  // Between the old and the new voters both have a say: only then may two of the old ones go.
  for (const agent of cluster.agents) {
    await until(
      `${agent.name} counts five voters and no old ones`,
      () => {
        const [last] = agent
          .log()
          .flatMap(({ configuration }) => configuration ?? [])
          .slice(-1) as Configuration[]
        return last?.voters.length === 5 && last.votersOutgoing.length === 0
      },
      { state: () => n1.nodes() },
    )
  }
  await cluster.agent('n1').kill()
  await cluster.agent('n2').kill()
  const left = await until('three of five write on', async () => {
    return (await n5.put('five', 'x')) && n5
  })
  t.equal(await left.get('five'), 'x')
  t.comment(`n4 ready ${ms(readyAfter)} after its start`)
})

clusterTest('a node that finds nobody to join makes no cluster', { nodes: 0 }, async (t, cluster) => {
  const nobody = await cluster.freePort()
  const lonely = await cluster.add('lonely', { join: [`127.0.0.1:${nobody}`] })
  lonely.start()
  await until('it answers', () => lonely.status())
  const end = runsMs() + 4000
  while (runsMs() < end) {
    t.match(await lonely.status(), { clusterId: null, ready: false, leader: null, role: 'none' })
    t.equal((await lonely.ask('/readyz')).status, 503)
    await delay(250)
  }
  const warnings = () => lonely.log().filter(({ level, msg }) => level >= 40 && msg.includes(String(nobody)))
  await until('it says whom it cannot reach', async () => warnings().length > 0)
  t.equal(warnings().length, 1, 'once')
  t.comment(warnings()[0]?.msg ?? '')
})
