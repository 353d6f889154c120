import type { Invariants } from './invariants.ts'
import type { Measurements } from './measurements.ts'
import type { SimMember, SwimWorld } from './world.ts'

/** What a scenario acts on. */
export interface Stage {
  readonly world: SwimWorld
  readonly measurements: Measurements
  readonly invariants: Invariants
  /** Time until everybody agreed again after each partition, in ms; NaN where they did not. */
  readonly convergencesMs: number[]
  /** Runs until all agree, at most `ms`. True if they did. */
  agree(ms: number): boolean
}

/** A way for things to go wrong. */
export interface Scenario {
  readonly name: string
  readonly sentence: string
  readonly play: (stage: Stage, ms: number) => void
}

/** Time for one event to become known to all before the next one of its kind. */
const SETTLE_MS = 90_000
/** Each member sees one event of churn in this time on average. */
export const CHURN_MEAN_MS = 300_000

function idle({ world }: Stage, ms: number): void {
  world.run(ms)
}

/** Join, change of meta, leave, kill and hang, one after the other, each observed until all know of it. */
function events(stage: Stage, ms: number): void {
  const { world, measurements } = stage
  const end = world.now + ms
  const observed = () => measurements.pending === 0
  while (world.now < end) {
    const joined = join(stage)
    world.run(SETTLE_MS, observed)
    world.setMeta(joined, { zone: String(world.random.below(1000)) })
    measurements.expect('meta', joined)
    world.run(SETTLE_MS, observed)
    world.run(world.random.between(1000, 5000))
    leave(stage, joined)
    world.run(SETTLE_MS, observed)
    world.run(world.random.between(1000, 5000))
    const killed = someone(world)
    kill(stage, killed)
    world.run(SETTLE_MS, observed)
    world.run(world.random.between(1000, 5000))
    restart(stage, killed)
    world.run(SETTLE_MS, observed)
    world.run(world.random.between(1000, 5000))
    const hung = someone(world)
    measurements.expect('hang', hung)
    world.hang(hung)
    measurements.populationChanged()
    world.run(SETTLE_MS, observed)
    world.resume(hung)
    measurements.populationChanged()
    stage.agree(SETTLE_MS)
  }
}

/** One link of fifty is bad in one direction, and stays so; and a few pairs do not reach each other at all. */
function badLinks({ world }: Stage): void {
  const { members, random, network } = world
  const pairs = Math.ceil((members.length * (members.length - 1)) / 50)
  for (let i = 0; i < pairs; i++) {
    const [a, b] = [random.below(members.length), random.below(members.length)]
    if (a !== b) network.worsen(a, b, random.between(0.1, 0.5))
  }
}

function loss(stage: Stage, ms: number): void {
  badLinks(stage)
  stage.world.run(ms)
}

/** Some pairs do not reach each other while everybody else reaches both. */
function links({ world }: Stage, ms: number): void {
  const { members, random, network } = world
  const pairs = Math.max(1, Math.floor(members.length / 5))
  for (let i = 0; i < pairs; i++) {
    const [a, b] = [random.below(members.length), random.below(members.length)]
    if (a === b) continue
    network.cut(a, b)
    network.cut(b, a)
  }
  world.run(ms)
}

function partition(stage: Stage, ms: number): void {
  const { world, invariants, convergencesMs } = stage
  const { random, network } = world
  const end = world.now + ms
  while (world.now < end) {
    const hosts = random.shuffle(world.running().map((m) => m.index))
    const share = random.pick([0.5, 0.1, 1 / hosts.length])
    network.part(hosts.slice(0, Math.max(1, Math.floor(hosts.length * share))), 1)
    invariants.disturbedAt = world.now
    world.run(random.pick([20_000, 60_000]))
    network.heal()
    invariants.disturbedAt = world.now
    const healedAt = world.now
    convergencesMs.push(stage.agree(180_000) ? world.now - healedAt : Number.NaN)
    world.run(random.between(5000, 15_000))
  }
}

/** Every process stands still every 30 s on average, for 50 ms to 3 s: collections, long computations, a loaded machine. */
function pauses({ world }: Stage, ms: number): void {
  repeat(world, ms, 30_000, () => {
    const lengthMs = 50 * 60 ** world.random.next()
    world.stall(someone(world), lengthMs)
  })
}

/** Members come and go: joins, leaves, kills, restarts, some under the name of a dead one. */
function churn(stage: Stage, ms: number): void {
  const { world } = stage
  repeat(world, ms, CHURN_MEAN_MS, () => {
    const what = world.random.pick(['join', 'leave', 'kill', 'kill', 'restart', 'restart', 'rename', 'meta'])
    const gone = world.members.filter((m) => m.process === 'dead')
    const room = world.members.length < world.options.identitiesMax
    if (what === 'join' && room) join(stage)
    else if (what === 'meta') {
      const member = someone(world)
      world.setMeta(member, { zone: String(world.random.below(1000)) })
      stage.measurements.expect('meta', member)
    } else if (what === 'leave') leave(stage, someone(world))
    else if (what === 'kill' && world.running().length > world.options.nodes / 2) kill(stage, someone(world))
    else if (gone.length > 0) {
      const member = world.random.pick(gone)
      const known = someone(world).core.get(member.id)
      const renamed = what === 'rename' && room && known?.status !== 'alive'
      if (!renamed) restart(stage, member)
      else if (!world.members.some((m) => m.name === member.name && m.process !== 'dead'))
        join(stage, member.name)
    }
  })
}

/** Everything at once. */
function all(stage: Stage, ms: number): void {
  const { world, invariants } = stage
  badLinks(stage)
  const end = world.now + ms
  const at = (meanMs: number, act: () => void) => {
    const next = () => {
      if (world.now >= end) return
      act()
      world.at(world.now + world.random.exponential(meanMs), next)
    }
    world.at(world.now + world.random.exponential(meanMs), next)
  }
  at(20_000, () => {
    world.network.part([someone(world).index, someone(world).index], 1)
    invariants.disturbedAt = world.now
  })
  at(25_000, () => {
    world.network.heal()
    invariants.disturbedAt = world.now
  })
  at(30_000 / world.options.nodes, () => world.stall(someone(world), 50 * 60 ** world.random.next()))
  at(15_000, () => {
    const member = someone(world)
    world.hang(member)
    world.at(world.now + world.random.between(1000, 40_000), () => world.resume(member))
  })
  at(5000, () => world.breakConnection(someone(world), someone(world)))
  churn(stage, ms)
}

function someone(world: SwimWorld): SimMember {
  return world.random.pick(world.running())
}

function join(stage: Stage, name?: string): SimMember {
  const { world, measurements } = stage
  const joined = world.join(someone(world), name)
  measurements.expect('join', joined)
  return joined
}

function leave({ world, measurements }: Stage, member: SimMember): void {
  world.leave(member)
  measurements.expect('leave', member)
}

function kill({ world, measurements }: Stage, member: SimMember): void {
  world.kill(member)
  measurements.expect('kill', member)
}

function restart({ world, measurements, invariants }: Stage, member: SimMember): void {
  if (world.members.some((m) => m !== member && m.name === member.name && m.process !== 'dead')) return
  invariants.restarted(member)
  world.restart(member, someone(world))
  measurements.expect('join', member)
}

/** Calls `act` so often that it concerns every member once in `meanMs` on average. */
function repeat(world: SwimWorld, ms: number, meanMs: number, act: () => void): void {
  const end = world.now + ms
  for (;;) {
    const waitMs = world.random.exponential(meanMs / world.options.nodes)
    if (world.now + waitMs >= end) break
    world.run(waitMs, undefined, waitMs)
    act()
  }
  world.run(end - world.now)
}

/** What can be played, by name. */
export const scenarios: readonly Scenario[] = [
  { name: 'idle', sentence: 'nothing happens', play: idle },
  { name: 'events', sentence: 'join, change, leave, kill -9, hang, one after the other', play: events },
  { name: 'loss', sentence: 'packets are lost, and one link of fifty is bad in one direction', play: loss },
  { name: 'links', sentence: 'some pairs do not reach each other', play: links },
  {
    name: 'partition',
    sentence: 'halves, tenths and single members are cut off and come back',
    play: partition,
  },
  { name: 'pauses', sentence: 'processes stand still for 50 ms to 3 s', play: pauses },
  {
    name: 'churn',
    sentence: 'each member joins, leaves, dies, restarts or changes once in five minutes on average',
    play: churn,
  },
  { name: 'all', sentence: 'everything at once', play: all },
]
