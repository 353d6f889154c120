import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { ConsensusClient } from '../../consensus/client.ts'
import { systemClock } from '../../consensus/clock.ts'
import { LeaseClaims } from '../../consensus/lease-claims.ts'
import { eventually, silent, TestCluster } from './cluster.ts'

const NAME = 'shop floor/1'
const TTL_MS = 1000
const LOCK_DELAY_MS = 2500

/** How long the claimants wait for each other. `step`: by how much each is preferred over the next. */
interface Pace {
  readonly ttlMs: number
  readonly settleMs: number
  readonly step: number
}

const BRISK: Pace = { ttlMs: TTL_MS, settleMs: 200, step: 1 }
/** A machine that stands still for half a second does not change who is first. */
const CALM: Pace = { ttlMs: 10 * TTL_MS, settleMs: 1000, step: 3 }

/** A cluster whose nodes claim one lease, watched all the time. */
class Claimants {
  readonly cluster = new TestCluster()
  readonly claims = new Map<string, LeaseClaims>()
  readonly barred = new Set<string>()
  readonly violations: string[] = []
  #sampling = true

  constructor(t: { teardown(fn: () => Promise<void>): void }) {
    t.teardown(() => this.close())
    const sample = () => {
      const holders = [...this.claims].filter(([, claims]) => claims.holds(NAME)).map(([id]) => id)
      if (holders.length > 1) this.violations.push(holders.join(' and '))
      if (this.#sampling) setImmediate(sample)
    }
    sample()
  }

  /** They are preferred by their letter. */
  async start(size: number, pace: Pace = BRISK): Promise<string[]> {
    const ids = await this.cluster.found(size)
    for (const id of ids) await this.run(id, pace)
    return ids
  }

  async run(id: string, { ttlMs, settleMs, step }: Pace = BRISK): Promise<LeaseClaims> {
    const claims = new LeaseClaims(
      {
        node: `node-${id}`,
        nodeId: id,
        prefix: 'run-once/',
        ttlMs,
        lockDelayMs: LOCK_DELAY_MS,
        settleMs,
        rank: (claimants) => step * claimants.filter((other) => other < id).length,
        mayHold: () => !this.barred.has(id),
      },
      { client: this.cluster.client(id), clock: systemClock, log: silent },
    )
    this.claims.set(id, claims)
    await claims.start()
    claims.claim(new Set([NAME]))
    return claims
  }

  of(id: string): LeaseClaims {
    const claims = this.claims.get(id)
    if (claims === undefined) throw new Error(`no node ${id}`)
    return claims
  }

  holder(other = ''): Promise<string> {
    return eventually('a node holds the lease', () =>
      [...this.claims.keys()].find((id) => id !== other && this.of(id).holds(NAME)),
    )
  }

  async close(): Promise<void> {
    this.#sampling = false
    this.cluster.network.heal()
    await Promise.all([...this.claims.values()].map((claims) => claims.stop()))
    await this.cluster.close()
  }
}

t.test('the preferred one gets it, all know who could, and it stays where it is', async (t) => {
  const k = new Claimants(t)
  await k.start(3, CALM)
  t.equal(await k.holder(), 'a')
  await eventually('everybody sees it', () =>
    [...k.claims.values()].every((claims) => {
      const lease = claims.get(NAME)
      return lease?.holder === 'node-a' && lease.claimants.join() === 'a,b,c'
    }),
  )
  const token = k.of('a').get(NAME)?.fencingToken ?? 0
  t.ok(token > 0)
  k.barred.add('a')
  let again = false
  k.of('a').onChange(() => {
    again ||= k.of('a').holds(NAME)
  })
  k.of('a').release(NAME)
  t.notOk(k.of('a').holds(NAME), 'from now on')
  t.equal(await k.holder('a'), 'b', 'given back, it moves at once')
  t.notOk(again, 'it is not taken back before the log has heard of it')
  t.ok((k.of('b').get(NAME)?.fencingToken ?? 0) > token)
  k.barred.delete('a')
  k.of('c').claim(new Set())
  await eventually('its claim is gone', () => k.of('b').get(NAME)?.claimants.join() === 'a,b')
  t.ok(k.of('b').holds(NAME), 'the preferred one leaves it where it is')
  t.same(k.violations, [])
})

t.test('a holder that is cut off stops long before another may start', async (t) => {
  const k = new Claimants(t)
  const ids = await k.start(3)
  const first = await k.holder()
  k.cluster.network.partition(
    [first],
    ids.filter((id) => id !== first),
  )
  let told = 0
  k.of(first).onChange(() => {
    if (!k.of(first).holds(NAME) && told === 0) told = performance.now()
  })
  const stopped = await eventually('it may act no more', () => !k.of(first).holds(NAME) && performance.now())
  const second = await k.holder(first)
  const taken = performance.now()
  const gapMs = taken - stopped
  t.not(second, first)
  // Without the delay it would be the time to elect a leader and a TTL at most.
  t.ok(gapMs >= LOCK_DELAY_MS * 0.8, `${Math.round(gapMs)} ms to stop what it was doing`)
  t.ok(told > 0 && told < taken, 'and it is told in time')
  k.cluster.network.heal()
  await eventually('the old holder claims again', () => k.of(second).get(NAME)?.claimants.includes(first))
  t.ok(k.of(second).holds(NAME))
  t.same(k.violations, [])
})

t.test('a run after a crash goes on with the session of the run before', async (t) => {
  const k = new Claimants(t)
  await k.start(1)
  await k.holder()
  const token = k.of('a').get(NAME)?.fencingToken
  // As a process that is killed leaves it: nothing is given back.
  await k.of('a').stop()
  const next = await k.run('a')
  await eventually('it knows', () => next.known)
  t.ok(next.holds(NAME))
  t.equal(next.get(NAME)?.fencingToken, token)
  next.release(NAME)
  next.claim(new Set())
  await eventually('nobody holds or claims it', () => next.list().length === 0)
  await next.stop()
  const { view } = await k.cluster.client('a').read('consistent')
  t.same(view.sessions(), [], 'without a lease it ends its session')
})

t.test('the end of what it may do is told, also when timers are early', async (t) => {
  const cluster = new TestCluster()
  await cluster.found(1)
  // Timers of Node count from the beginning of a turn of the loop, so they may fire before their time on the clock.
  const clock = { now: () => systemClock.now() * 0.9, wall: () => systemClock.wall() * 0.9 }
  const options = { node: 'a', nodeId: 'a', prefix: 'x/', rank: () => 0, mayHold: () => true }
  const claims = new LeaseClaims(
    { ...options, ttlMs: TTL_MS, settleMs: 0 },
    { client: cluster.client('a'), clock, log: silent },
  )
  let told = false
  t.teardown(async () => {
    await claims.stop()
    await cluster.close()
  })
  await claims.start()
  claims.claim(new Set(['y']))
  await eventually('it holds', () => claims.holds('y'))
  claims.onChange(() => {
    if (!claims.holds('y')) told = true
  })
  await cluster.stop('a')
  await eventually('it is told', () => told)
})

t.test('what nobody claims costs no session', async (t) => {
  const cluster = new TestCluster()
  await cluster.found(1)
  const options = { node: 'a', nodeId: 'a', prefix: 'x/', rank: () => 0, mayHold: () => true }
  const claims = new LeaseClaims(options, { client: cluster.client('a'), clock: systemClock, log: silent })
  t.teardown(async () => {
    await claims.stop()
    await cluster.close()
  })
  await claims.start()
  claims.claim(new Set())
  t.same((await cluster.client('a').read('consistent')).view.sessions(), [])
  claims.claim(new Set(['y']))
  await eventually('claimed', () => claims.get('y')?.claimants.length === 1)
  t.notOk(claims.get('y')?.heldBySelf, 'not before others had time to say that they want it')
  t.equal((await cluster.client('a').read('consistent')).view.sessions().length, 1)
})

/** A client one of whose calls is another. */
function withCall<K extends keyof ConsensusClient>(
  client: ConsensusClient,
  name: K,
  call: ConsensusClient[K],
): ConsensusClient {
  return new Proxy(client, {
    get(target, key) {
      const value: unknown = key === name ? call : Reflect.get(target, key)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

t.test('many leases whose commits together take longer than the session lasts are all got', async (t) => {
  const cluster = new TestCluster()
  await cluster.found(1)
  const options = { node: 'a', nodeId: 'a', prefix: 'x/', rank: () => 0, mayHold: () => true }
  const client = cluster.client('a')
  const slow = withCall(client, 'propose', async (command, callOptions) => {
    const result = await client.propose(command, callOptions)
    await delay(30)
    return result
  })
  const claims = new LeaseClaims(
    { ...options, ttlMs: TTL_MS, settleMs: 0 },
    { client: slow, clock: systemClock, log: silent },
  )
  t.teardown(async () => {
    await claims.stop()
    await cluster.close()
  })
  await claims.start()
  const names = Array.from({ length: 40 }, (_, i) => `job-${i}`)
  claims.claim(new Set(names))
  await eventually('all are held', () => names.every((name) => claims.holds(name)), 20_000)
})

t.test('a lease that was granted is not asked for again before the own state may say so', async (t) => {
  const cluster = new TestCluster()
  await cluster.found(1)
  const options = { node: 'a', nodeId: 'a', prefix: 'x/', rank: () => 0, mayHold: () => true }
  const client = cluster.client('a')
  const asked: number[] = []
  const late = withCall(client, 'propose', async (command, callOptions) => {
    const isLease = command.type === 'kv.acquire' && !command.key.includes('claim')
    if (isLease) asked.push(performance.now())
    // As a state that is behind: granted, and not to be seen.
    if (isLease && asked.length === 1) return { ok: true } as Awaited<ReturnType<typeof client.propose>>
    return client.propose(command, callOptions)
  })
  const claims = new LeaseClaims(
    { ...options, ttlMs: 10 * TTL_MS, settleMs: 0 },
    { client: late, clock: systemClock, log: silent },
  )
  t.teardown(async () => {
    await claims.stop()
    await cluster.close()
  })
  await claims.start()
  claims.claim(new Set(['y']))
  await eventually('it holds', () => claims.holds('y'))
  const [first = 0, second = 0] = asked
  t.equal(asked.length, 2)
  t.ok(second - first >= 990, `again after ${Math.round(second - first)} ms`)
})

t.test('nothing is told any more after it was stopped in the middle of a step', async (t) => {
  const cluster = new TestCluster()
  await cluster.found(1)
  const options = { node: 'a', nodeId: 'a', prefix: 'x/', rank: () => 0, mayHold: () => true }
  const client = cluster.client('a')
  let stopped: Promise<void> | null = null
  const ttlMs = 300
  const stopping = withCall(client, 'propose', async (command, callOptions) => {
    if (command.type === 'session.create') {
      stopped = claims.stop()
      return client.propose(command)
    }
    return client.propose(command, callOptions)
  })
  const claims = new LeaseClaims(
    { ...options, ttlMs, settleMs: 0 },
    { client: stopping, clock: systemClock, log: silent },
  )
  t.teardown(() => cluster.close())
  await claims.start()
  claims.claim(new Set(['y']))
  await eventually('it stops', () => stopped !== null)
  await stopped
  let told = 0
  claims.onChange(() => {
    told += 1
  })
  const end = performance.now() + ttlMs
  await eventually('its session would be over', () => performance.now() > end)
  t.equal(told, 0)
})
