import t, { type Test } from 'tap'
import { ClusterRunOnceLeases } from '../../agent/run-once-leases.ts'
import { systemClock } from '../../consensus/clock.ts'
import { systemTimers } from '../../discovery/health/timers.ts'
import { DockerRunOnce } from '../../providers/docker/run-once.ts'
import { eventually, silent, TestCluster } from '../consensus/cluster.ts'
import { FakeMembership } from '../discovery/catalog/fixtures.ts'
import { RunOnceHost } from '../providers/docker/run-once-host.ts'

const TIMES = { ttlMs: 2500, lockDelayMs: 1000, settleMs: 300 }
const SERVICE = 'job'

interface HostNode {
  readonly host: RunOnceHost
  readonly leases: ClusterRunOnceLeases
  readonly runner: DockerRunOnce
}

/** Three hosts with a container each, watched all the time. */
async function hosts(t: Test, priorities: Readonly<Record<string, string>> = {}, settleMs = TIMES.settleMs) {
  const cluster = new TestCluster()
  const ids = await cluster.found(3)
  const nodes = new Map<string, HostNode>()
  const tooMany: string[] = []
  for (const id of ids) {
    const host = new RunOnceHost()
    const membership = new FakeMembership(id)
    for (const other of ids) membership.set(other, { meta: { priority: priorities[other] ?? '100' } })
    const client = cluster.client(id)
    const leases = new ClusterRunOnceLeases(
      { node: id, nodeId: id, ...TIMES, settleMs },
      { membership, status: () => client.status(), client, clock: systemClock, log: silent },
    )
    const runner = new DockerRunOnce(
      { hostname: 'host' },
      {
        source: host.source,
        engine: host,
        leases,
        timers: systemTimers,
        log: silent,
        metrics: { ranOnce: () => {} },
        onEvent: () => {},
      },
    )
    host.put({ id: `${id}1` })
    nodes.set(id, { host, leases, runner })
  }
  const running = () => [...nodes].flatMap(([id, { host }]) => (host.running().length > 0 ? [id] : []))
  const watch = setInterval(() => {
    if (running().length > 1) tooMany.push(running().join(' and '))
  }, 1)
  t.teardown(async () => {
    clearInterval(watch)
    cluster.network.heal()
    await Promise.all(
      [...nodes.values()].map(async ({ runner, leases }) => {
        await runner.stop()
        await leases.claims.stop()
      }),
    )
    await cluster.close()
  })
  for (const { leases, runner } of nodes.values()) {
    await leases.claims.start()
    await runner.start()
  }
  const node = (id: string): HostNode => {
    const found = nodes.get(id)
    if (found === undefined) throw new Error(`no node ${id}`)
    return found
  }
  return {
    cluster,
    ids,
    tooMany,
    running,
    node,
    runsOn: (what: string, isSo: (id: string) => boolean) =>
      eventually(what, () => {
        const [id] = running()
        return id !== undefined && isSo(id) && node(id).leases.held().includes(SERVICE) && id
      }),
  }
}

t.test('one copy runs, on the preferred node, and moves with a cordon and an agent that ends', async (t) => {
  const { cluster, ids, tooMany, runsOn, node } = await hosts(t, { b: '10' }, 1500)
  t.equal(await runsOn('it runs', () => true), 'b')
  await cluster.client('a').cordon('b', 'b')
  const second = await runsOn('it has moved', (id) => id !== 'b')
  await cluster.client('a').uncordon('b')
  await eventually('the preferred node claims it', () => {
    const claimants = node(second).leases.claims.get(SERVICE)?.claimants
    return claimants?.length === ids.length
  })
  t.ok(node(second).leases.held().includes(SERVICE), 'no needless move')
  await node(second).runner.stop()
  await node(second).leases.claims.stop()
  t.same(node(second).host.running(), [])
  await runsOn('it has moved', (id) => id !== second)
  t.same(tooMany, [])
})

t.test('a host that is cut off has stopped its copy before another starts', async (t) => {
  const { cluster, ids, tooMany, runsOn, node } = await hosts(t)
  const first = await runsOn('it runs', () => true)
  cluster.network.partition(
    [first],
    ids.filter((id) => id !== first),
  )
  const second = await runsOn('it runs elsewhere', (id) => id !== first)
  t.same(node(first).host.running(), [])
  t.match(node(first).host.calls.at(-1), /^stop .* 10$/)
  cluster.network.heal()
  await eventually('the first one stands by', () =>
    node(first).runner.note(SERVICE)?.endsWith(`${second} holds the lease`),
  )
  t.same(tooMany, [])
})

t.test('without a quorum nothing runs, and with one it does again', async (t) => {
  const { cluster, ids, tooMany, running, runsOn } = await hosts(t)
  await runsOn('it runs', () => true)
  for (const id of ids) {
    cluster.network.partition(
      [id],
      ids.filter((other) => other !== id),
    )
  }
  await eventually('it is stopped', () => running().length === 0)
  cluster.network.heal()
  await runsOn('it runs again', () => true)
  t.same(tooMany, [])
})

t.test('a copy that is started by hand is stopped, and the other runs on', async (t) => {
  const { ids, runsOn, node, running } = await hosts(t)
  const first = await runsOn('it runs', () => true)
  const other = ids.find((id) => id !== first) ?? ''
  node(other).host.put({ id: `${other}1`, status: 'running' })
  await eventually('it is stopped', () => running().join() === first)
  t.same(
    node(first).host.calls.filter((call) => call.startsWith('stop')),
    [],
  )
})
