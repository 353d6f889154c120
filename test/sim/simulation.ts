import { initialConfiguration, isJoint } from '../../consensus/raft/configuration.ts'
import { EMPTY_STATE } from '../../consensus/raft/options.ts'
import type { SnapshotMeta } from '../../consensus/raft/types.ts'
import type { LogRecord } from '../../consensus/state/codec.ts'
import { StateMachine } from '../../consensus/state/state-machine.ts'
import { SimClient } from './client.ts'
import { SimDisk } from './disk.ts'
import { Invariants } from './invariants.ts'
import { Nemesis } from './nemesis.ts'
import { SimNetwork } from './network.ts'
import { drawOptions, type SimOptions } from './options.ts'
import { Oracle } from './oracle.ts'
import { SimNode } from './sim-node.ts'
import { check, SimFailure, World } from './world.ts'

/** Virtual time a healed cluster has to converge. */
const CONVERGE_MS = 60_000
const LOOK_EVERY_MS = 200
/** For this long a leader must hold its office against a follower that cannot hear it. */
const STABLE_MS = 8000

/** Why a run failed, without what cannot pass between threads. */
export interface Failure {
  /** Short name of the violated property. */
  readonly property: string
  readonly message: string
}

/** What a run came to. */
export interface SimResult {
  readonly seed: number
  readonly failure: Failure | null
  readonly hash: string
  readonly virtualMs: number
  readonly events: number
  readonly coverage: ReadonlyMap<string, number>
  readonly acknowledgedWrites: number
  readonly answeredReads: number
  /** The end of the trace of a run that failed. */
  readonly lastLines: readonly string[]
}

/** One cluster under faults, then healed. Everything follows from the seed. */
export class Simulation {
  readonly #world: World
  readonly #network: SimNetwork
  readonly #nodes = new Map<string, SimNode>()
  readonly #clients: SimClient[]
  readonly #oracle: Oracle
  readonly #invariants: Invariants
  #clientsRun = true

  constructor(options: SimOptions, print: ((line: string) => void) | null) {
    const world = new World(options, print)
    this.#world = world
    this.#network = new SimNetwork(world)
    this.#oracle = new Oracle(world, () => this.#leaseHolders())
    this.#invariants = new Invariants(world, this.#nodes)
    const surroundings = {
      world,
      network: this.#network,
      invariants: this.#invariants,
      oracle: this.#oracle,
      nodes: this.#nodes,
      decoded: new WeakMap<Uint8Array, LogRecord>(),
    }
    const ids = Array.from({ length: options.nodes }, (_, i) => `n${i + 1}`)
    const founders = ids.slice(0, options.voters)
    const meta: SnapshotMeta = { index: 1, term: 1, configuration: initialConfiguration(founders) }
    const first = new StateMachine()
    first.skip(1)
    const records = [...first.snapshot()]
    this.#invariants.founded(meta.index, meta.term, meta.configuration)
    for (const id of ids) {
      const disk = founders.includes(id)
        ? new SimDisk(world, id, meta, records)
        : new SimDisk(world, id, EMPTY_STATE.snapshot, [])
      this.#nodes.set(id, new SimNode(id, disk, surroundings))
    }
    this.#clients = Array.from(
      { length: options.clients },
      (_, i) => new SimClient(`c${i + 1}`, world, this.#nodes, this.#oracle),
    )
  }

  *#leaseHolders(): Generator<{ id: string; index: number }> {
    if (!this.#world.options.leaseReads) return
    for (const { id, raft, holdsLease } of this.#nodes.values())
      if (holdsLease && raft !== null) yield { id, index: raft.log.committedIndex }
  }

  /** Runs to the end or to the first violated property. */
  async run(): Promise<SimResult> {
    let failure: Failure | null = null
    try {
      await this.#faultyPhase()
      if (this.#world.options.coreFirst) await this.#corePhase()
      await this.#healedPhase()
    } catch (error) {
      if (!(error instanceof SimFailure)) throw error
      failure = { property: error.property, message: error.message }
    }
    const { options, trace, now, coverage } = this.#world
    return {
      seed: options.seed,
      failure,
      hash: trace.hash,
      virtualMs: now,
      events: trace.count,
      coverage,
      acknowledgedWrites: this.#oracle.acknowledgedWrites,
      answeredReads: this.#oracle.answeredReads,
      lastLines: failure === null ? [] : trace.lastLines(),
    }
  }

  async #faultyPhase(): Promise<void> {
    for (const node of this.#nodes.values()) await node.start()
    for (const client of this.#clients) client.start()
    const nemesis = new Nemesis(this.#world, this.#network, this.#nodes, this.#clients)
    nemesis.start()
    await this.#world.runUntil(this.#world.options.faultyMs)
    if (this.#world.options.endsWithDeadTransfer) {
      await nemesis.deadTransfer()
      await this.#world.runUntil(this.#world.now + 1000)
    }
    this.#oracle.report()
  }

  /** Only a majority comes back; the rest stays away. It must work on its own. */
  async #corePhase(): Promise<void> {
    const { random } = this.#world
    const nodes = random.shuffle([...this.#nodes.values()])
    const core = nodes.slice(0, Math.floor(nodes.length / 2) + 1)
    for (const node of nodes) if (!core.includes(node)) node.crash()
    this.#world.count('core healed first')
    await this.#heal(core)
    await this.#converge(core, 'a quorum works on its own')
  }

  async #heal(nodes: readonly SimNode[]): Promise<void> {
    const { random } = this.#world
    this.#world.faulty = false
    this.#world.log('world', 'heal', nodes.length)
    this.#network.healAll()
    for (const node of nodes) {
      node.setTickLength(1)
      node.disk.slowness = 1
      node.disk.failNext = false
      node.disk.full = false
      await node.resume()
      // Half of them go on as they are: a node that is stuck must find its way without help.
      if (random.chance(0.5)) node.crash()
      await node.start()
    }
  }

  async #healedPhase(): Promise<void> {
    const nodes = [...this.#nodes.values()]
    await this.#heal(nodes)
    await this.#converge(nodes, 'a healed cluster converges')
    for (const client of this.#clients) client.stop()
    this.#clientsRun = false
    // Whatever clients have under way is settled or given up by then.
    await this.#world.runUntil(this.#world.now + 3000)
    await this.#converge(nodes, 'a quiet cluster stays converged')
    this.#checkEnd(nodes)
    await this.#checkStickiness(nodes)
  }

  async #converge(nodes: readonly SimNode[], property: string): Promise<void> {
    const { now } = this.#world
    for (const client of this.#clients) client.answeredHealed = 0
    for (;;) {
      await this.#world.runUntil(this.#world.now + LOOK_EVERY_MS)
      const why = this.#notConverged(nodes)
      if (why === '') break
      if (this.#world.now > now + CONVERGE_MS) throw new SimFailure(property, why)
    }
    this.#world.log('world', 'converged', Math.round(this.#world.now - now))
  }

  /** What is missing for the cluster to be as one, or ''. */
  #notConverged(nodes: readonly SimNode[]): string {
    const leaders = nodes.filter((node) => node.isLeader)
    const [leader] = leaders
    if (leader?.raft === null || leader === undefined || leaders.length > 1)
      return `${leaders.length} leaders: ${nodes.map(describe).join('; ')}`
    const { raft } = leader
    if (isJoint(raft.configuration)) return 'the configuration is still joint'
    const members = nodes.filter((node) => raft.progress.has(node.id))
    for (const node of members) {
      const follows = node.raft?.term === raft.term && node.raft.leader === leader.id
      if (!follows) return `${describe(node)} does not follow ${describe(leader)}`
      // While clients write, the last entries are on their way.
      if (node.state.appliedIndex + (this.#clientsRun ? 10 : 0) < raft.log.lastIndex)
        return `${describe(node)} is behind ${describe(leader)}`
    }
    if (this.#clientsRun && this.#clients.some((client) => client.answeredHealed < 3))
      return `clients get no answers from ${describe(leader)}`
    return ''
  }

  #checkEnd(nodes: readonly SimNode[]): void {
    const leader = nodes.find((node) => node.isLeader)
    const raft = leader?.raft
    check(raft !== undefined && raft !== null, 'a leader at the end', () => 'none')
    for (const node of nodes) {
      if (!raft.progress.has(node.id)) continue
      const { appliedIndex } = node.state
      check(
        appliedIndex >= this.#oracle.acknowledgedIndex && appliedIndex >= this.#invariants.committedIndex,
        'acknowledged writes survive',
        () => `${node.id} has applied ${appliedIndex}, ${this.#oracle.acknowledgedIndex} was acknowledged`,
      )
      this.#oracle.compareState(node.id, node.state)
    }
  }

  /** One follower can neither hear its leader nor be heard by it; the others can: the leader stays (thesis 4.2.3). */
  async #checkStickiness(nodes: readonly SimNode[]): Promise<void> {
    const leader = nodes.find((node) => node.isLeader)
    const raft = leader?.raft
    if (leader === undefined || raft === null || raft === undefined) return
    const others = raft.configuration.voters.filter((id) => id !== leader.id)
    if (others.length < 2) return
    const id = this.#world.random.pick(others)
    const { term } = raft
    this.#network.cut(leader.id, id, 'drop')
    this.#network.cut(id, leader.id, 'drop')
    this.#world.log('network', 'deaf follower', id, leader.id)
    this.#world.count('deaf follower')
    await this.#nodes.get(id)?.peerLost(leader.id)
    await this.#world.runUntil(this.#world.now + STABLE_MS)
    this.#network.healAll()
    await this.#world.runUntil(this.#world.now + STABLE_MS / 4)
    check(
      leader.isLeader && raft.term === term,
      'a leader is not deposed by a node that cannot hear it',
      () => `${leader.id} led in ${term}; now ${nodes.map(describe).join('; ')}`,
    )
  }
}

function describe({ id, raft, state, paused }: SimNode): string {
  if (raft === null) return `${id} is down`
  const { role, term, leader, log } = raft
  const { voters, votersOutgoing } = raft.configuration
  return `${id}${paused ? ' (paused)' : ''} ${role} of term ${term} (leader ${leader || 'none'}, voters ${voters.join('+')}${votersOutgoing.length > 0 ? ` and ${votersOutgoing.join('+')}` : ''}) applied ${state.appliedIndex} commit ${log.committedIndex} last ${log.lastIndex}`
}

/** Runs the simulation of one seed. */
export function simulate(seed: number, print: ((line: string) => void) | null = null): Promise<SimResult> {
  return new Simulation(drawOptions(seed), print).run()
}
