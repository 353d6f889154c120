import t from 'tap'
import { isConsensusError } from '../../consensus/errors.ts'
import { textToKey } from '../../consensus/state/keys.ts'
import { eventually, get, set, TestCluster } from './cluster.ts'
import { prng } from './raft/harness.ts'

const SEED = Number(process.env.SOAK_SEED ?? 1)
const DURATION_MS = Number(process.env.SOAK_MS ?? 8000)
const PREFIX = textToKey('w/')

/** What a node showed at one moment: so many of the written keys with everything up to `appliedIndex`. */
interface Sample {
  readonly node: string
  readonly appliedIndex: number
  readonly keys: number
}

/** Five nodes, their clients, and what was seen of them. */
class Soak {
  readonly cluster = new TestCluster()
  readonly random = prng(SEED)
  readonly leaders = new Map<number, string>()
  readonly problems: string[] = []
  readonly acknowledged = new Set<string>()
  readonly unwritten = new Set<string>()
  readonly samples: Sample[] = []
  unknown = 0
  reads = 0
  ids: string[] = []
  done = false
  #register = 0

  pick<T>(items: readonly T[]): T | undefined {
    return items[Math.floor(this.random() * items.length)]
  }

  watch(id: string): void {
    this.cluster.client(id).onStatus(({ role, term }) => {
      if (role !== 'leader') return
      const other = this.leaders.get(term) ?? id
      if (other !== id) this.problems.push(`${id} and ${other} both led in term ${term}`)
      this.leaders.set(term, id)
    })
  }

  running(): string[] {
    return this.ids.filter((id) => this.cluster.member(id).running)
  }

  /** Writes keys that are never written again, through whichever node there is. */
  async write(writer: number): Promise<void> {
    for (let i = 0; !this.done; i++) {
      const key = `w/${writer}/${i}`
      const id = this.pick(this.running()) ?? 'a'
      try {
        const { ok } = await this.cluster.client(id).propose(set(key, '', 0), { timeoutMs: 400 })
        if (ok) this.acknowledged.add(key)
        else this.problems.push(`${key} was written twice`)
      } catch (error) {
        if (isConsensusError(error, 'CST_NO_LEADER') || isConsensusError(error, 'CST_STOPPED'))
          this.unwritten.add(key)
        else if (isConsensusError(error, 'CST_OUTCOME_UNKNOWN')) this.unknown++
        else this.problems.push(`${key}: ${String(error)}`)
      }
    }
  }

  /** One register, written by one client: what a read shows is never older than what was acknowledged before it. */
  async writeRegister(): Promise<void> {
    for (let i = 1; !this.done; i++) {
      const id = this.pick(this.running()) ?? 'a'
      const sent = this.cluster.client(id).propose(set('register', `${i}`), { timeoutMs: 400 })
      await sent.then(
        () => {
          this.#register = i
        },
        () => {},
      )
    }
  }

  async readRegister(): Promise<void> {
    while (!this.done) {
      const id = this.pick(this.running()) ?? 'a'
      const atLeast = this.#register
      try {
        const value = Number((await get(this.cluster.client(id), 'register')) ?? 0)
        if (value < atLeast) this.problems.push(`${id} read ${value} after ${atLeast} was acknowledged`)
        this.reads++
      } catch {
        // No leader just now.
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async sample(): Promise<void> {
    for (const node of this.running()) {
      const { view } = await this.cluster.client(node).read('stale')
      this.samples.push({ node, appliedIndex: view.appliedIndex, keys: view.kvList(PREFIX).length })
    }
  }

  /** One thing that goes wrong, or right again. */
  async trouble(): Promise<void> {
    const { network } = this.cluster
    const running = this.running()
    const down = this.ids.filter((id) => !running.includes(id))
    const dice = this.random()
    if (dice < 0.3) {
      network.heal()
      const side = this.ids.filter(() => this.random() < 0.5)
      network.partition(
        side,
        this.ids.filter((id) => !side.includes(id)),
      )
    } else if (dice < 0.4) {
      const leader = running.find((id) => this.cluster.client(id).status().role === 'leader')
      if (leader !== undefined)
        network.partition(
          [leader],
          this.ids.filter((id) => id !== leader),
        )
    } else if (dice < 0.6) {
      network.heal()
    } else if (dice < 0.8 && down.length < 2) {
      const victim = this.pick(running) ?? 'a'
      if (this.random() < 0.7) this.cluster.kill(victim)
      else await this.cluster.stop(victim)
    } else if (down.length > 0) {
      await this.restart(this.pick(down) ?? 'a')
    }
  }

  async restart(id: string): Promise<void> {
    await this.cluster.restart(id)
    this.watch(id)
  }
}

t.test('five nodes with partitions, crashes and restarts: no split, no loss, no stale read', async (t) => {
  const soak = new Soak()
  const { cluster } = soak
  t.teardown(() => cluster.close())
  soak.ids = await cluster.found(5, { random: prng(SEED + 1), snapshotEntries: 60 })
  for (const id of soak.ids) soak.watch(id)
  const clients = [
    ...[0, 1, 2].map((writer) => soak.write(writer)),
    soak.writeRegister(),
    ...[0, 1].map(() => soak.readRegister()),
  ]
  const end = performance.now() + DURATION_MS
  // A busy machine gets more time to do enough for the run to mean something.
  const isEnough = () => soak.acknowledged.size > 100 && soak.reads > 100 && soak.leaders.size > 2
  while (performance.now() < end || (!isEnough() && performance.now() < end + 5 * DURATION_MS)) {
    await soak.trouble()
    const pauseUntil = performance.now() + 50 + soak.random() * 250
    while (performance.now() < pauseUntil) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      await soak.sample()
    }
  }
  soak.done = true
  await Promise.all(clients)

  cluster.network.heal()
  for (const id of soak.ids) if (!cluster.member(id).running) await soak.restart(id)
  const leader = await cluster.leader()
  await cluster.client(leader).propose(set('end', '1'), { timeoutMs: 20_000 })
  const { view } = await cluster.client(leader).read('consistent', { timeoutMs: 20_000 })
  const final = view.kvList(PREFIX)
  const index = view.appliedIndex
  await eventually('all nodes have everything', () =>
    soak.ids.every((id) => cluster.client(id).status().appliedIndex >= index),
  )

  const note = `seed ${SEED}`
  t.same(soak.problems, [], note)
  t.same(cluster.fatal, [], note)
  const keys = new Set(final.map(({ key }) => key))
  t.same(
    [...soak.acknowledged].filter((key) => !keys.has(key)),
    [],
    `no acknowledged write is lost, ${note}`,
  )
  t.same(
    [...soak.unwritten].filter((key) => keys.has(key)),
    [],
    `what was refused was not written, ${note}`,
  )
  for (const id of soak.ids) {
    const { view } = await cluster.client(id).read('stale')
    t.same(
      view.kvList(PREFIX).map(({ key, modifyIndex }) => [key, modifyIndex]),
      final.map(({ key, modifyIndex }) => [key, modifyIndex]),
      `${id} applied the same, ${note}`,
    )
  }
  const indexes = final.map(({ modifyIndex }) => modifyIndex).sort((a, b) => a - b)
  const wrong = soak.samples.filter(
    ({ appliedIndex, keys }) => keys !== indexes.filter((at) => at <= appliedIndex).length,
  )
  t.same(wrong, [], `what any node showed at any time is a prefix of the end, ${note}`)
  t.ok(
    soak.acknowledged.size > 100,
    `${soak.acknowledged.size} writes, ${soak.unknown} unknown, ${soak.reads} reads`,
  )
  t.ok(soak.leaders.size > 2, `${soak.leaders.size} leaders`)
  t.ok(soak.reads > 100)
})
