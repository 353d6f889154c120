import { runsMs } from '../held-up.ts'
import { clusterTest, ms } from './cluster.ts'
import { LeaseWatch } from './leases.ts'
import { until } from './until.ts'

clusterTest(
  'a killed leader is replaced, and so is the holder of the leases',
  { nodes: 3 },
  async (t, cluster) => {
    const leader = await cluster.leader()
    const holder = await until('every lease is held', async () => {
      const leases = await leader.leases()
      return leases.length > 0 && leases.every((lease) => lease.holder !== null) && leases
    })
    const before = new Map(holder.map((lease) => [lease.name, lease]))
    t.strictSame([...before.keys()], ['dns_writer', 'lb_leader'])
    t.equal(await leader.put('before', 'kept'), true)
    const watch = new LeaseWatch(t, cluster.agents)

    const killed = runsMs()
    await leader.kill()
    const survivors = cluster.running
    const [writer] = survivors
    if (writer === undefined) throw new Error('a survivor')
    await until('a write is acknowledged', () => writer.put('after', 'written'), { timeoutMs: 15_000 })
    const writesAfter = runsMs() - killed
    t.ok(writesAfter < 5000, `writes work within 5 s: ${ms(writesAfter)}`)
    for (const agent of survivors) {
      t.equal(await agent.get('before'), 'kept')
      t.equal(await agent.get('after'), 'written')
    }

    // The leader held them or not: a lease of a dead holder has to move, any other has to stay.
    for (const agent of survivors) {
      await until(
        `${agent.name} sees every lease with a living node`,
        async () =>
          (await agent.leases()).every(({ holder }) => survivors.some(({ name }) => name === holder)),
        { timeoutMs: 15_000, state: () => agent.leases() },
      )
    }
    const movedAfter = runsMs() - killed
    t.ok(movedAfter < 10_000, `leases are with the living within 10 s: ${ms(movedAfter)}`)
    for (const lease of await writer.leases()) {
      const old = before.get(lease.name)
      const moved = old?.holder === leader.name
      const [now, then] = [lease.fencingToken ?? 0, old?.fencingToken ?? 0]
      t.ok(
        moved ? now > then : now === then,
        `${lease.name}: ${old?.holder} ${then} -> ${lease.holder} ${now}`,
      )
    }
    t.comment(`writes work after ${ms(writesAfter)}, leases moved after ${ms(movedAfter)}`)

    leader.start()
    await cluster.settled()
    t.equal((await cluster.leader()).name === leader.name, false, 'who returns does not take the lead')
    t.equal(await leader.get('after'), 'written')
    t.strictSame(await watch.end(), [], 'never two holders of one lease')
    t.comment(`asked ${watch.samples} times who holds the leases`)
  },
)
