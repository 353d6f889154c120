import { Agreement, Invariants, SwimViolation } from './invariants.ts'
import { type Happening, Measurements, type Spread } from './measurements.ts'
import type { Transport } from './network.ts'
import { CHURN_MEAN_MS, type Scenario, type Stage } from './scenarios.ts'
import { SwimWorld } from './world.ts'

/** What distinguishes one run from another. */
export interface RunOptions {
  readonly nodes: number
  readonly seed: number
  readonly scenario: Scenario
  readonly transport: Transport
  /** Chance that a packet is lost. */
  readonly loss: number
  /** See mesh.connections_max. */
  readonly connectionsMax: number
  /** How long the faults last, in virtual ms. */
  readonly ms: number
  /** Called about every virtual ten seconds with the virtual time. */
  readonly onProgress?: (nowMs: number) => void
}

/** What a run showed. */
export interface RunResult {
  readonly options: Omit<RunOptions, 'scenario' | 'onProgress'> & { readonly scenario: string }
  readonly violation: string | null
  /** The faulty phase alone: what is counted. */
  readonly virtualMs: number
  readonly nodeHours: number
  readonly wallMs: number
  /** Of this thread and its helpers, in ms. */
  readonly cpuMs: number
  readonly formedMs: number
  readonly steps: number
  readonly falseSuspicions: number
  readonly falseDeaths: number
  readonly falseVerdicts: number
  readonly bytes: Readonly<Record<string, number>>
  readonly messages: Readonly<Record<string, number>>
  readonly spreads: Readonly<Partial<Record<Happening, Spread>>>
  readonly convergencesMs: readonly number[]
  /** From the end of all faults until everybody agreed. */
  readonly healedMs: number
  /** Of everything that was learned and when: two runs of one seed have the same. */
  readonly hash: string
}

const AGREE_MS = 300_000
const WARM_UP_MS = 3000

/** One run: a cluster that is whole, a scenario, and a healed phase in which all must come to agree. */
export function runSwim(options: RunOptions): RunResult {
  const { nodes, seed, scenario, transport, loss, connectionsMax, ms } = options
  const began = performance.now()
  const usageBefore = process.cpuUsage()
  const identitiesMax = nodes + 16 + Math.ceil((nodes * ms) / CHURN_MEAN_MS) + Math.ceil(ms / 20_000)
  const world = new SwimWorld({ seed, nodes, transport, identitiesMax, connectionsMax })
  // The pings that were under way while the cluster was put together.
  world.run(WARM_UP_MS)
  const formedMs = performance.now() - began
  const measurements = new Measurements(world)
  const invariants = new Invariants(world)
  const hash = new Hash()
  world.observe(invariants, measurements, hash)
  hash.world = world
  const agreement = new Agreement(world)
  const convergencesMs: number[] = []
  const agree = (limitMs: number) => world.run(limitMs, () => agreement.disagreement() === null)
  const stage: Stage = { world, measurements, invariants, convergencesMs, agree }
  if (options.onProgress) beat(world, options.onProgress)
  let violation: string | null = null
  let virtualMs = 0
  let healedMs = Number.NaN
  const counted = { bytes: {}, messages: {}, nodeMs: 0 }
  try {
    world.network.loss = loss
    const from = world.now
    scenario.play(stage, ms)
    virtualMs = world.now - from
    measurements.end()
    counted.bytes = Object.fromEntries(measurements.bytes)
    counted.messages = Object.fromEntries(measurements.messages)
    counted.nodeMs = measurements.nodeMs
    healedMs = heal(world, invariants, agreement)
  } catch (error) {
    if (!(error instanceof SwimViolation)) throw error
    violation = `${error.message} (at ${(world.now / 1000).toFixed(3)} s)`
  }
  const usage = process.cpuUsage(usageBefore)
  return {
    options: { nodes, seed, scenario: scenario.name, transport, loss, connectionsMax, ms },
    violation,
    virtualMs,
    nodeHours: counted.nodeMs / 3_600_000,
    wallMs: performance.now() - began,
    cpuMs: (usage.user + usage.system) / 1000,
    formedMs,
    steps: world.steps,
    falseSuspicions: measurements.falseSuspicions,
    falseDeaths: measurements.falseDeaths.size,
    falseVerdicts: measurements.falseVerdicts,
    bytes: counted.bytes,
    messages: counted.messages,
    spreads: Object.fromEntries(measurements.spreads),
    convergencesMs,
    healedMs,
    hash: hash.text,
  }
}

function heal(world: SwimWorld, invariants: Invariants, agreement: Agreement): number {
  world.network.healAll()
  invariants.disturbedAt = world.now
  const from = world.now
  // A stall that is under way ends by itself; what hangs goes on.
  for (const member of world.members) if (member.process === 'hung') world.resume(member)
  const agreed = () =>
    world.members.every((m) => m.process !== 'stalled') && agreement.disagreement() === null
  if (!world.run(AGREE_MS, agreed))
    throw new SwimViolation('a healed cluster agrees', agreement.disagreement() ?? 'a process stands still')
  return world.now - from
}

function beat(world: SwimWorld, onProgress: (nowMs: number) => void): void {
  world.at(world.now + 10_000, () => {
    onProgress(world.now)
    beat(world, onProgress)
  })
}

/** A running hash (FNV-1a) of what happened. */
class Hash {
  world: SwimWorld | null = null
  #value = 0x811c9dc5

  get text(): string {
    return (this.#value >>> 0).toString(16).padStart(8, '0')
  }

  changed(viewer: { index: number }, member: { status: string; incarnation: number }): void {
    this.#add(viewer.index)
    this.#add(member.status.length * 131 + member.incarnation)
    this.#add(Math.round((this.world?.now ?? 0) * 1000))
  }

  sent(from: { index: number }, _kind: string, bytes: number): void {
    this.#add(from.index * 70_001 + bytes)
  }

  removed(): void {}

  acted(): void {}

  #add(value: number): void {
    this.#value = Math.imul(this.#value ^ (value | 0), 0x01000193)
  }
}
