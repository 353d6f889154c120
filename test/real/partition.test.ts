import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { runsMs } from '../held-up.ts'
import type { AgentProcess } from './agent-process.ts'
import { Cluster, ms } from './cluster.ts'
import { LeaseWatch } from './leases.ts'
import { Network } from './network.ts'
import { until } from './until.ts'

const NAMES = ['n1', 'n2', 'n3']
const CUT_MS = 6000

/** Writes keys one after the other and remembers those that were acknowledged. */
class Writer {
  readonly acknowledged: string[] = []
  longestGapMs = 0
  readonly #over = new AbortController()
  readonly #running: Promise<void>

  constructor(t: Test, agent: AgentProcess, prefix: string) {
    t.teardown(() => this.#over.abort())
    this.#running = (async () => {
      let lastGood = runsMs()
      for (let i = 0; !this.#over.signal.aborted; i++) {
        const key = `${prefix}/${i}`
        if (await agent.put(key, 'x').catch(() => false)) {
          this.acknowledged.push(key)
          this.longestGapMs = Math.max(this.longestGapMs, runsMs() - lastGood)
          lastGood = runsMs()
        }
        await delay(5)
      }
      this.longestGapMs = Math.max(this.longestGapMs, runsMs() - lastGood)
    })()
  }

  async end(): Promise<void> {
    this.#over.abort()
    await this.#running
  }
}

/** Three agents that reach each other through the network of the test only. */
async function start(t: Test): Promise<{ cluster: Cluster; network: Network }> {
  const cluster = await Cluster.create(t)
  const network = new Network(() => cluster.agents)
  t.teardown(() => network.close())
  const fronts = new Map<string, number>()
  for (const name of NAMES) fronts.set(name, await cluster.freePort())
  for (const name of NAMES) {
    const join = NAMES.filter((other) => other !== name).map((other) => `127.0.0.1:${fronts.get(other)}`)
    const front = fronts.get(name) ?? 0
    const advertise = { CONSTELLATION_MESH_ADVERTISE: `127.0.0.1:${front}` }
    const agent = await cluster.add(name, { join, bootstrapExpect: NAMES.length, env: advertise })
    await network.listen(front, name, agent.ports.mesh)
  }
  await cluster.start()
  return { cluster, network }
}

async function assertKept(t: Test, cluster: Cluster, keys: readonly string[]): Promise<void> {
  for (const agent of cluster.agents) {
    const found = new Set(await agent.json<string[]>('/v1/kv/?keys&consistent'))
    const lost = keys.filter((key) => !found.has(key))
    t.strictSame(lost, [], `${agent.name} has every acknowledged write`)
  }
}

const skip = existsSync('/proc/net/tcp') ? false : 'needs /proc to tell connections apart'

t.test('the leader is cut off', { skip, timeout: 60_000 }, async (t) => {
  const { cluster, network } = await start(t)
  const leader = await cluster.leader()
  const others = cluster.others(leader)
  const [writer] = others
  if (writer === undefined) throw new Error('a follower')
  await until('every lease is held', async () =>
    (await leader.leases()).every(({ holder }) => holder !== null),
  )
  const watch = new LeaseWatch(t, cluster.agents)
  const majority = new Writer(t, writer, 'majority')
  const minority = new Writer(t, leader, 'minority')
  await until('both write', () => Math.min(majority.acknowledged.length, minority.acknowledged.length) > 10)

  const began = performance.now()
  const before = majority.acknowledged.length
  for (const other of others) network.cut(leader.name, other.name)
  await until(
    'the majority has another leader and writes',
    () => majority.acknowledged.length > before + 20,
    {
      timeoutMs: 15_000,
    },
  )
  t.not((await cluster.leader({ not: leader })).name, leader.name)
  const gapMs = majority.longestGapMs
  t.ok(gapMs < 5000, `the majority waited at most 5 s: ${ms(gapMs)}`)
  const leasesMoved = async (): Promise<number> => {
    await until(
      'the leases moved',
      async () => (await writer.leases()).every(({ holder }) => others.some(({ name }) => name === holder)),
      { timeoutMs: 15_000, state: () => writer.leases() },
    )
    return performance.now() - began
  }
  const alone = async (): Promise<void> => {
    await until('the one cut off knows no leader', async () => (await leader.status()).leader === null)
    const write = await leader.ask('/v1/kv/alone', { method: 'PUT', body: 'x' })
    t.match(write, { status: 500, text: 'No cluster leader' })
    const read = await leader.ask('/v1/kv/majority/0')
    t.match(read, { status: 500, text: 'No cluster leader' }, 'and answers no read that could be old')
    t.equal((await leader.ask('/v1/kv/majority/0?stale')).status, 200)
    t.equal((await leader.ask('/api/v1/traefik')).status, 200)
  }
  const [movedMs] = await Promise.all([leasesMoved(), alone()])
  t.ok(
    (await leader.leases()).every(({ heldBySelf }) => !heldBySelf),
    'the one cut off acts on none',
  )
  await delay(Math.max(0, CUT_MS - (performance.now() - began)))

  network.heal()
  const healed = runsMs()
  await cluster.settled()
  const rejoinedMs = runsMs() - healed
  t.ok(rejoinedMs < 10_000, `all together within 10 s: ${ms(rejoinedMs)}`)
  await Promise.all([majority.end(), minority.end()])
  await assertKept(t, cluster, [...majority.acknowledged, ...minority.acknowledged])
  t.strictSame(await watch.end(), [], 'never two holders of one lease')
  t.comment(
    `majority paused for ${ms(gapMs)}, leases moved after ${ms(movedMs)}, together ${ms(rejoinedMs)} after it healed, ` +
      `${majority.acknowledged.length} + ${minority.acknowledged.length} writes`,
  )
})

t.test(
  'one link breaks: a follower reaches the leader no more, and both the third',
  { skip, timeout: 60_000 },
  async (t) => {
    const { cluster, network } = await start(t)
    const leader = await cluster.leader()
    const [third, half] = cluster.others(leader)
    if (third === undefined || half === undefined) throw new Error('two followers')
    const writer = new Writer(t, third, 'third')
    await until('it writes', () => writer.acknowledged.length > 10)
    network.cut(leader.name, half.name)
    await delay(CUT_MS)
    const gapMs = writer.longestGapMs
    t.ok(gapMs < 5000, `who sees both waited at most 5 s: ${ms(gapMs)}`)
    t.equal((await third.ask('/readyz')).status, 200)
    for (const agent of cluster.agents) {
      const nodes = await agent.nodes()
      t.ok(
        nodes.every(({ status }) => status === 'alive' || status === 'suspect'),
        `${agent.name} takes nobody for failed: the third vouches`,
      )
    }
    network.heal()
    await cluster.settled()
    await writer.end()
    await assertKept(t, cluster, writer.acknowledged)
    t.comment(`longest wait ${ms(gapMs)}, ${writer.acknowledged.length} writes`)
  },
)
