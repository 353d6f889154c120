import { changeConfiguration } from '../../consensus/raft/configuration.ts'
import type { ConfigChange, ConfigChangeStep } from '../../consensus/raft/types.ts'
import type { SimClient } from './client.ts'
import type { Action } from './event-queue.ts'
import type { CutMode, SimNetwork } from './network.ts'
import type { FaultRates } from './options.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

const VOTERS_MAX = 7

/** Does harm, each kind at its own rate, until the world heals. Faults of different kinds overlap. */
export class Nemesis {
  readonly #world: World
  readonly #network: SimNetwork
  readonly #nodes: ReadonlyMap<string, SimNode>
  readonly #clients: readonly SimClient[]

  constructor(
    world: World,
    network: SimNetwork,
    nodes: ReadonlyMap<string, SimNode>,
    clients: readonly SimClient[],
  ) {
    this.#world = world
    this.#network = network
    this.#nodes = nodes
    this.#clients = clients
  }

  start(): void {
    const actions: Readonly<Record<keyof FaultRates, Action>> = {
      crash: () => this.#crash(this.#victim()),
      pause: () => this.#pause(),
      partition: () => this.#partition(),
      oneWay: () => this.#oneWay(),
      connectivity: () => this.#connectivity(),
      clog: () => this.#clog(),
      breakConnection: () => this.#breakConnection(),
      slowDisk: () => this.#slowDisk(),
      writeError: () => this.#writeError(),
      diskFull: () => this.#fillDisk(),
      membership: () => this.#changeMembers(),
      transfer: () => this.#transfer(),
      falseHint: () => this.#falseHint(),
      clockSkew: () => this.#skewClock(),
      clockJump: () => this.#jumpClock(),
      restartAll: () => this.#restartAll(),
    }
    for (const kind of Object.keys(actions) as (keyof FaultRates)[]) {
      this.#repeat(this.#world.options.rates[kind], actions[kind])
    }
  }

  #repeat(mean: number, action: Action): void {
    if (!Number.isFinite(mean)) return
    const { random } = this.#world
    this.#world.after(random.exponential(mean), async () => {
      if (!this.#world.faulty) return
      this.#repeat(mean, action)
      await action()
    })
  }

  /** Undoes something later, unless everything was healed meanwhile. */
  #later(meanMs: number, action: Action): void {
    this.#world.after(this.#world.random.exponential(meanMs), () =>
      this.#world.faulty ? action() : undefined,
    )
  }

  #all(): SimNode[] {
    return [...this.#nodes.values()]
  }

  #leaders(): SimNode[] {
    return this.#all().filter((node) => node.isLeader)
  }

  /** Any node, but often one that leads: that is where faults bite. */
  #victim(): SimNode {
    const { random } = this.#world
    const leaders = this.#leaders()
    return random.pick(leaders.length > 0 && random.chance(0.5) ? leaders : this.#all())
  }

  // ---- processes ---------------------------------------------------------------------------------------------

  async #crash(node: SimNode): Promise<void> {
    const { random } = this.#world
    if (!node.up) return
    this.#world.count(node.isLeader ? 'leader crashed' : 'follower crashed')
    if (node.isWriting) this.#world.count('crash while writing')
    node.crash()
    if (this.#world.options.connectionsKnown) await this.#noticeLoss(node)
    this.#later(random.pick([50, 500, 4000]), () => node.start())
  }

  async #noticeLoss(lost: SimNode): Promise<void> {
    for (const node of this.#all()) {
      if (node === lost || this.#world.random.chance(0.3)) continue
      this.#world.count('true hint')
      await node.peerLost(lost.id)
    }
  }

  async #restartAll(): Promise<void> {
    this.#world.count('all crashed')
    for (const node of this.#world.random.shuffle(this.#all())) await this.#crash(node)
  }

  #pause(): void {
    const node = this.#victim()
    if (!node.up || node.paused) return
    this.#world.count(node.isLeader ? 'leader paused' : 'follower paused')
    node.pause()
    this.#later(this.#world.random.pick([200, 1500, 5000]), () => node.resume())
  }

  #skewClock(): void {
    const { random } = this.#world
    const node = this.#victim()
    const [fast, slow] = this.#tickLengths()
    this.#setTick(node, random.between(fast, slow))
    this.#world.count('clock skewed')
  }

  /** The shortest and the longest tick. A lease outlives its promise if one is twice as long as the other. */
  #tickLengths(): readonly [number, number] {
    return this.#world.options.leaseReads ? [0.8, 1.4] : [0.5, 2.5]
  }

  #setTick(node: SimNode, length: number): void {
    node.setTickLength(length)
    this.#world.log(node.id, 'tick length', length.toFixed(3))
  }

  /** The wall clock is set, as an operator or a bad time server does; ticks go on as before. */
  #jumpClock(): void {
    const node = this.#victim()
    node.clockOffset = this.#world.random.between(-5000, 5000)
    this.#world.log(node.id, 'wall clock', Math.floor(node.clockOffset))
    this.#world.count('wall clock set')
  }

  // ---- network -----------------------------------------------------------------------------------------------

  /** Cuts the links for a while. */
  #cut(name: string, links: readonly (readonly [SimNode, SimNode])[], meanMs: number): void {
    const { random } = this.#world
    const mode: CutMode = random.chance(0.3) ? 'hold' : 'drop'
    this.#world.log('network', name, mode, links.map(([a, b]) => `${a.id}>${b.id}`).join(','))
    this.#world.count(name)
    for (const [from, to] of links) this.#network.cut(from.id, to.id, mode)
    this.#later(meanMs, () => {
      this.#world.log('network', 'heal', name)
      for (const [from, to] of links) this.#network.heal(from.id, to.id)
    })
  }

  #between(one: readonly SimNode[], other: readonly SimNode[]): [SimNode, SimNode][] {
    return one.flatMap((a) => other.filter((b) => b !== a).map((b): [SimNode, SimNode] => [a, b]))
  }

  #partition(): void {
    const { random } = this.#world
    const nodes = this.#all()
    if (nodes.length < 2) return
    const victim = this.#victim()
    const alone = random.chance(0.5)
    const side = alone ? [victim] : random.shuffle(nodes).slice(0, 1 + random.below(nodes.length - 1))
    const rest = nodes.filter((node) => !side.includes(node))
    const name = alone && victim.isLeader ? 'leader partitioned' : 'symmetric partition'
    // It is the last to notice that it leads no more, and somebody still asks it.
    const isSlow = alone && victim.isLeader && random.chance(0.6)
    this.#cut(name, [...this.#between(side, rest), ...this.#between(rest, side)], isSlow ? 5000 : 2500)
    if (isSlow) {
      random.pick(this.#clients).readOn(victim)
      this.#setTick(victim, this.#tickLengths()[1])
      this.#world.count('slow leader cut off')
    }
  }

  #oneWay(): void {
    const { random } = this.#world
    const victim = this.#victim()
    const others = this.#all().filter((node) => node !== victim)
    if (others.length === 0) return
    const peers = random.chance(0.5) ? others : [random.pick(others)]
    const links = random.chance(0.5) ? this.#between([victim], peers) : this.#between(peers, [victim])
    this.#cut('one-way partition', links, 2500)
  }

  /** Everybody reaches only a few: a ring, or everybody only the hub of a star. */
  #connectivity(): void {
    const { random } = this.#world
    const nodes = random.shuffle(this.#all())
    if (nodes.length < 4) return
    const ring = random.chance(0.5)
    const position = new Map(nodes.map((node, i) => [node, i]))
    const links = this.#between(nodes, nodes).filter(([a, b]) => {
      const i = position.get(a) ?? 0
      const j = position.get(b) ?? 0
      if (!ring) return i !== 0 && j !== 0
      const distance = Math.abs(i - j)
      return distance !== 1 && distance !== nodes.length - 1
    })
    this.#cut(ring ? 'ring connectivity' : 'star connectivity', links, 4000)
  }

  /** A link that stands still for a while and then delivers what piled up. */
  #clog(): void {
    const { random } = this.#world
    const from = this.#victim()
    const others = this.#all().filter((node) => node !== from)
    if (others.length === 0) return
    const to = random.pick(others)
    this.#network.cut(from.id, to.id, 'hold')
    this.#world.log('network', 'clog', `${from.id}>${to.id}`)
    this.#world.count('link clogged')
    this.#later(random.pick([300, 3000]), () => this.#network.heal(from.id, to.id))
  }

  async #breakConnection(): Promise<void> {
    const { random } = this.#world
    const a = this.#victim()
    const others = this.#all().filter((node) => node !== a)
    if (others.length === 0) return
    const b = random.pick(others)
    this.#network.breakConnection(a.id, b.id)
    this.#world.log('network', 'connection lost', a.id, b.id)
    this.#world.count('connection lost')
    await a.peerLost(b.id)
    await b.peerLost(a.id)
    this.#later(2000, () => {
      this.#network.heal(a.id, b.id)
      this.#network.heal(b.id, a.id)
    })
  }

  #falseHint(): void | Promise<void> {
    const node = this.#victim()
    const leader = node.raft?.leader ?? ''
    if (leader === '' || leader === node.id) return
    this.#world.log(node.id, 'false hint', leader)
    this.#world.count('false hint')
    return node.peerLost(leader)
  }

  // ---- disks -------------------------------------------------------------------------------------------------

  #slowDisk(): void {
    const { random } = this.#world
    const { disk, id } = this.#victim()
    disk.slowness = random.pick([5, 50, Number.POSITIVE_INFINITY])
    this.#world.log(id, 'slow disk', String(disk.slowness))
    this.#world.count('disk slow')
    this.#later(2000, () => {
      disk.slowness = 1
    })
  }

  #writeError(): void {
    const node = this.#victim()
    if (!node.up) return
    node.disk.failNext = true
    // Something must restart the node once it has stopped.
    this.#later(2000, () => node.start())
  }

  /** No write succeeds until somebody makes room; a node that died meanwhile cannot start before that. */
  #fillDisk(): void {
    const node = this.#victim()
    node.disk.full = true
    this.#world.log(node.id, 'disk filled')
    this.#later(this.#world.random.pick([500, 5000]), () => {
      node.disk.full = false
      this.#world.log(node.id, 'disk cleared')
      return node.start()
    })
  }

  // ---- operators ---------------------------------------------------------------------------------------------

  /** A node is told to take over, and then nobody hears it: it comes back with a term of its own. */
  async deadTransfer(): Promise<void> {
    const leader = this.#leaders().at(-1)
    await leader?.step(() => {
      const { raft } = leader
      // A paused node gets to this only when everything is healed.
      if (raft?.role !== 'leader' || !this.#world.faulty) return
      const others = raft.configuration.voters.filter((id) => id !== leader.id)
      const to = others.length > 0 ? this.#world.random.pick(others) : leader.id
      if (!raft.transferLeadership(to)) return
      this.#world.log(leader.id, 'dead transfer', to)
      this.#world.count('dead transfer')
      for (const id of this.#nodes.keys()) this.#network.cut(to, id, 'drop')
    })
  }

  #transfer(): void | Promise<void> {
    const { random } = this.#world
    const [leader] = random.shuffle(this.#leaders())
    if (leader === undefined) return
    return leader.step(() => {
      const { raft } = leader
      if (raft?.role !== 'leader') return
      const to = random.pick(raft.configuration.voters)
      if (!raft.transferLeadership(to)) return
      this.#world.log(leader.id, 'transfer', to)
      this.#world.count('transfer begun')
    })
  }

  /** Often several changes at once, of which all but one must be refused. */
  async #changeMembers(): Promise<void> {
    const { random } = this.#world
    const [leader] = random.shuffle(this.#leaders())
    if (leader === undefined) return
    const times = random.pick([1, 1, 2, 3])
    for (let i = 0; i < times; i++) await leader.step(() => this.#proposeChange(leader))
  }

  #proposeChange(leader: SimNode): void {
    const { raft } = leader
    if (raft?.role !== 'leader') return
    const change = this.#drawChange(raft.configuration.voters.length)
    try {
      if (changeConfiguration(raft.configuration, change).voters.length > VOTERS_MAX) return
    } catch {
      // No such change can be made from here; an operator would be told.
      return
    }
    if (!leader.proposeChange(change)) {
      this.#world.count('change refused')
      return
    }
    this.#world.log(leader.id, 'change', change.steps.map(({ kind, node }) => `${kind} ${node}`).join(', '))
    this.#world.count('change proposed')
  }

  #drawChange(voters: number): ConfigChange {
    const { random } = this.#world
    const ids = random.shuffle([...this.#nodes.keys()])
    const steps = ids.slice(0, random.pick([1, 1, 1, 2, 3])).map((node): ConfigChangeStep => {
      const shrinks = voters > 5 || (voters > 2 && random.chance(0.4))
      const kinds = shrinks
        ? (['remove', 'remove', 'addLearner'] as const)
        : (['addVoter', 'addVoter', 'addLearner'] as const)
      return { kind: random.pick(kinds), node }
    })
    return { steps }
  }
}
