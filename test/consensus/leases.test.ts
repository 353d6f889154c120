import t from 'tap'
import type { Clock } from '../../consensus/clock.ts'
import { systemClock } from '../../consensus/clock.ts'
import { LeaseKeeper } from '../../consensus/leases.ts'
import { LEASE_PREFIX, textToKey } from '../../consensus/state/keys.ts'
import { runsMs } from '../held-up.ts'
import { eventually, silent, TestCluster } from './cluster.ts'

const TTL_MS = 300
const LEASE = 'dns-writer'

/** A cluster of which every node keeps the lease, watched all the time. */
class Keepers {
  readonly cluster = new TestCluster()
  readonly keepers = new Map<string, LeaseKeeper>()
  /** Who may hold none. */
  readonly barred = new Set<string>()
  /** Every moment at which more than one node might act. */
  readonly violations: string[] = []
  samples = 0
  #sampling = true

  constructor(t: { teardown(fn: () => Promise<void>): void }) {
    t.teardown(() => this.close())
    const sample = () => {
      this.samples++
      const holders = [...this.keepers].filter(([, keeper]) => keeper.holds(LEASE)).map(([id]) => id)
      if (holders.length > 1) this.violations.push(holders.join(' and '))
      if (this.#sampling) setImmediate(sample)
    }
    sample()
  }

  async start(size: number, ttlMs = TTL_MS): Promise<string[]> {
    const ids = await this.cluster.found(size)
    await Promise.all(ids.map((id) => this.#keep(id, ttlMs)))
    return ids
  }

  async #keep(id: string, ttlMs: number): Promise<void> {
    const keeper = new LeaseKeeper(
      { node: id, names: [LEASE], ttlMs, mayHold: () => !this.barred.has(id) },
      { client: this.cluster.client(id), clock: systemClock, log: silent },
    )
    this.keepers.set(id, keeper)
    await keeper.start()
  }

  /** Who may act now. */
  holder(other = ''): Promise<string> {
    return eventually('a node holds the lease', () =>
      [...this.keepers.keys()].find((id) => id !== other && this.keepers.get(id)?.holds(LEASE)),
    )
  }

  token(id: string): number {
    return (
      this.keepers
        .get(id)
        ?.list()
        .find(({ name }) => name === LEASE)?.fencingToken ?? 0
    )
  }

  async close(): Promise<void> {
    this.#sampling = false
    this.cluster.network.heal()
    await Promise.all([...this.keepers.values()].map((keeper) => keeper.stop()))
    await this.cluster.close()
  }
}

t.test(
  'when its holder dies the lease moves on, after it has surely stopped, with a larger token',
  async (t) => {
    const k = new Keepers(t)
    await k.start(3)
    const first = await k.holder()
    const token = k.token(first)
    t.ok(token > 0)
    k.cluster.kill(first)
    const second = await k.holder(first)
    t.ok(k.token(second) > token)
    t.equal(k.keepers.get(first)?.holds(LEASE), false)
    await eventually('everybody sees it', () =>
      k.keepers
        .get(second)
        ?.list()
        .every(({ holder, heldBySelf }) => holder === second && heldBySelf),
    )
    t.same(k.violations, [])
    t.ok(k.samples > 100)
  },
)

t.test('a holder that is cut off stops before another starts, again and again', async (t) => {
  const k = new Keepers(t)
  const ids = await k.start(3)
  let token = 0
  for (let round = 0; round < 4; round++) {
    const first = await k.holder()
    t.ok(k.token(first) >= token)
    token = k.token(first)
    k.cluster.network.partition(
      [first],
      ids.filter((id) => id !== first),
    )
    const second = await k.holder(first)
    t.ok(k.token(second) > token)
    k.cluster.network.heal()
    await eventually('the old holder sees the new one', () => k.token(first) === k.token(second))
  }
  t.same(k.violations, [])
})

t.test('a holder that stops gives the lease back at once', async (t) => {
  const k = new Keepers(t)
  await k.start(3, 10_000)
  const first = await k.holder()
  const before = runsMs()
  await k.keepers.get(first)?.stop()
  t.equal(k.keepers.get(first)?.holds(LEASE), false)
  await k.holder(first)
  t.ok(runsMs() - before < 5000, 'without waiting for its time to run out')
  t.same(k.violations, [])
})

t.test(
  'a holder that may not hold it any more gives it back at once, and takes it again when it may',
  async (t) => {
    const k = new Keepers(t)
    const ids = await k.start(3, 10_000)
    const first = await k.holder()
    const token = k.token(first)
    let moves = 0
    k.keepers.get(first)?.onChange(() => moves++)
    k.barred.add(first)
    await k.cluster.client(first).cordon(first, first)
    const second = await k.holder(first)
    t.ok(k.token(second) > token)
    t.ok(moves > 0, 'who listens is told')
    for (const id of ids) if (id !== first) k.barred.add(id)
    k.barred.delete(first)
    await k.cluster.client(second).cordon(second, second)
    await eventually('it is back', () => k.keepers.get(first)?.holds(LEASE))
    t.same(k.violations, [])
  },
)

t.test('a holder keeps the lease over a change of the leader', async (t) => {
  const k = new Keepers(t)
  const ttlMs = 2000
  const ids = await k.start(3, ttlMs)
  const first = await k.holder()
  const token = k.token(first)
  const leader = await k.cluster.leader()
  if (leader === first) {
    await k.cluster.member(leader).node.handOver()
  } else {
    k.cluster.kill(leader)
    await eventually('another leads', () => {
      const now = k.cluster.client(first).status().leader
      return now !== null && now !== leader
    })
  }
  const since = performance.now()
  await eventually('a whole time to live passes', () => performance.now() - since > ttlMs)
  // On a machine that stood still the next renewal may be on its way.
  await eventually('it holds it', () => k.keepers.get(first)?.holds(LEASE))
  t.equal(k.token(first), token)
  t.equal(ids.length, 3)
})

/** A clock whose two hands can be moved. */
class MovedClock implements Clock {
  ahead = 0
  wallAhead = 0
  now = () => systemClock.now() + this.ahead
  wall = () => systemClock.wall() + this.wallAhead
}

async function alone(t: { teardown(fn: () => Promise<void>): void }) {
  const cluster = new TestCluster()
  await cluster.found(1)
  const clock = new MovedClock()
  const keeper = new LeaseKeeper(
    { node: 'a', names: [LEASE], ttlMs: 60_000 },
    { client: cluster.client('a'), clock, log: silent },
  )
  t.teardown(async () => {
    await keeper.stop()
    await cluster.close()
  })
  await keeper.start()
  await eventually('it holds', () => keeper.holds(LEASE))
  return { cluster, clock, keeper }
}

t.test('the holder counts on its monotonic clock, from when it sent the renewal', async (t) => {
  const { clock, keeper } = await alone(t)
  clock.ahead = 40_000
  t.equal(keeper.holds(LEASE), true)
  clock.ahead = 48_001
  t.equal(keeper.holds(LEASE), false, 'a fifth before the session can expire')
  t.equal(keeper.list()[0]?.heldBySelf, false)
})

t.test('a machine that slept does not hold what it held before', async (t) => {
  const { clock, keeper } = await alone(t)
  // The monotonic clock stands still while the machine sleeps.
  clock.wallAhead = 3_600_000
  t.equal(keeper.holds(LEASE), false)
  clock.wallAhead = -3_600_000
  t.equal(keeper.holds(LEASE), true, 'a wall clock that is set back changes nothing')
})

t.test('a session that somebody ended takes the lease with it; a new one gets it again', async (t) => {
  const { cluster, keeper } = await alone(t)
  const [before] = keeper.list()
  await cluster.client('a').propose({ type: 'session.destroy', id: before?.session ?? '' })
  await eventually('it is lost', () => !keeper.holds(LEASE) || keeper.list()[0]?.session !== before?.session)
  const { view } = await cluster.client('a').read('stale')
  t.not(view.kvGet(textToKey(LEASE_PREFIX + LEASE))?.session, before?.session)
})

t.test('a lease of others that goes is told', async (t) => {
  const { cluster, keeper } = await alone(t)
  const client = cluster.client('a')
  const key = textToKey(`${LEASE_PREFIX}zz`)
  const session = keeper.list()[0]?.session ?? ''
  await client.propose({ type: 'kv.acquire', key, value: new Uint8Array(), flags: 0n, session })
  await eventually('it is there', () => keeper.list().some(({ name }) => name === 'zz'))
  let told = 0
  keeper.onChange(() => told++)
  await client.propose({ type: 'kv.delete', key })
  await eventually('it is gone', () => !keeper.list().some(({ name }) => name === 'zz'))
  await eventually('told', () => told === 1)
})

t.test('a preferred node gets a head start', async (t) => {
  const cluster = new TestCluster()
  await cluster.found(1)
  const keepers = ['low', 'high'].map(
    (node) =>
      new LeaseKeeper(
        // Ten are preferred over it, and it waits as long as anybody does: a second.
        { node, names: [LEASE], ttlMs: 10_000, rank: () => (node === 'low' ? 10 : 0) },
        { client: cluster.client('a'), clock: systemClock, log: silent },
      ),
  )
  t.teardown(async () => {
    await Promise.all(keepers.map((keeper) => keeper.stop()))
    await cluster.close()
  })
  for (const keeper of keepers) await keeper.start()
  await eventually('one holds', () => keepers.some((keeper) => keeper.holds(LEASE)))
  t.equal(keepers[0]?.list()[0]?.holder, 'high')
})
