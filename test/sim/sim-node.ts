import type { Clock } from '../../consensus/clock.ts'
import { allNodes, allVoters } from '../../consensus/raft/configuration.ts'
import { EMPTY_STATE, PACE, RAFT_DEFAULTS } from '../../consensus/raft/options.ts'
import { Raft } from '../../consensus/raft/raft.ts'
import type { ConfigChange, Entry, Message, Ready, SnapshotMeta } from '../../consensus/raft/types.ts'
import type { LogRecord } from '../../consensus/state/codec.ts'
import { StateMachine } from '../../consensus/state/state-machine.ts'
import { decodeMessage, encodeMessage } from '../../consensus/wire.ts'
import type { DiskListener, DiskState, SimDisk, WriteDone, WriteResult } from './disk.ts'
import type { Action } from './event-queue.ts'
import type { Invariants, Observed } from './invariants.ts'
import type { SimNetwork } from './network.ts'
import type { Operation } from './operation.ts'
import type { Oracle } from './oracle.ts'
import { SimApplier } from './sim-applier.ts'
import { type Reply, SimRequests } from './sim-requests.ts'
import { type Deliver, SimSnapshots, TICK_MS } from './sim-snapshots.ts'
import { SimWriter } from './sim-writer.ts'
import { SimFailure, type World } from './world.ts'

const CLUSTER = 'sim'
const UNREACHABLE_TICKS = 3

/** What every node of a simulation shares. */
export interface Surroundings {
  readonly world: World
  readonly network: SimNetwork
  readonly invariants: Invariants
  readonly oracle: Oracle
  readonly nodes: ReadonlyMap<string, SimNode>
  /** Entries that were decoded once: they are the same on every node. */
  readonly decoded: WeakMap<Uint8Array, LogRecord>
}

/** What a node has in memory from one start to the next crash. */
interface Running {
  readonly requests: SimRequests
  readonly applier: SimApplier
  readonly writer: SimWriter
  readonly snapshots: SimSnapshots
}

/**
 * One node: the real core and state machine, driven in the order `Replica` drives them, in virtual time. Writes go to
 * the disk one at a time while the next accumulates; what depends on a write is sent when it is durable.
 */
export class SimNode implements Observed, DiskListener {
  readonly id: string
  readonly disk: SimDisk
  raft: Raft | null = null
  /** What this node's wall clock is wrong by, in milliseconds. */
  clockOffset = 0
  paused = false
  readonly #with: Surroundings
  /** Counts starts: what belongs to an earlier one is void. */
  #incarnation = 0
  #waiting: { readonly incarnation: number; readonly run: Action }[] = []
  #running: Running
  /** Length of this node's tick relative to true time; its monotonic clock is as slow. */
  #tickLength = 1
  /** What the monotonic clock showed when the tick length was set, and when that was. */
  #clockSet = { shown: 0, at: 0 }
  readonly #clock: Clock = {
    now: () => this.#clockSet.shown + (this.#with.world.now - this.#clockSet.at) / this.#tickLength,
    wall: () => this.#with.world.now + this.clockOffset,
  }
  #unreachableTicks = 0
  #seenRole = ''

  constructor(id: string, disk: SimDisk, surroundings: Surroundings) {
    this.id = id
    this.disk = disk
    this.#with = surroundings
    disk.listener = this
    this.#running = this.#newRunning()
  }

  #newRunning(): Running {
    const { id, disk } = this
    const { world, network, invariants, oracle, nodes, decoded } = this.#with
    const incarnation = this.#incarnation
    const raft = () => this.raft
    const later = (delayMs: number, run: Action) => this.#later(delayMs, run)
    const requests: SimRequests = new SimRequests(world.options.electionTicks * TICK_MS, {
      id,
      world,
      oracle,
      clock: this.#clock,
      raft,
      state: () => applier.state,
      diskIsFull: () => disk.isWaiting,
      later,
    })
    const applier = new SimApplier({ node: this, world, invariants, oracle, requests, decoded })
    const writer = new SimWriter({
      world,
      disk,
      guarded: (done) => this.#guarded(done),
      onPersisted: (readies) => this.#persisted(readies),
      onFailed: (result) => this.#storageFailed(result),
    })
    const deliverTo = (to: string): Deliver | undefined => nodes.get(to)?.deliver
    const step = (message: Message) => {
      this.#receive(message)
      this.#pump()
    }
    const enter = (run: Action) => this.#enter(incarnation, run)
    const shared = { id, world, network, oracle, disk, writer, raft }
    const snapshots = new SimSnapshots({ ...shared, enter, later, step, deliverTo })
    return { requests, applier, writer, snapshots }
  }

  /** Takes a snapshot of another node, in a step of its own. */
  readonly deliver: Deliver = (from, transfer, delivered) => () =>
    this.step(() => this.#running.snapshots.receive(from, transfer, delivered))

  get state(): StateMachine {
    return this.#running.applier.state
  }

  /** True if this node would answer a read without asking anybody. */
  get holdsLease(): boolean {
    return this.#running.requests.holdsLease
  }

  setTickLength(length: number): void {
    this.#clockSet = { shown: this.#clock.now(), at: this.#with.world.now }
    this.#tickLength = length
  }

  get up(): boolean {
    return this.raft !== null
  }

  get isLeader(): boolean {
    return this.raft?.role === 'leader'
  }

  /** True while a write or a snapshot is on its way to the disk. */
  get isWriting(): boolean {
    return this.up && this.#running.writer.isBusy
  }

  // ---- life cycle --------------------------------------------------------------------------------------------

  async start(): Promise<void> {
    if (this.raft !== null) return
    const { world, invariants } = this.#with
    if (this.disk.full) {
      world.count('not started: disk full')
      return
    }
    this.#incarnation++
    const stored = this.disk.open()
    const running = this.#newRunning()
    running.applier.state = await this.#restore(stored)
    this.#running = running
    const raft = this.#newRaft(stored)
    this.raft = raft
    this.#unreachableTicks = 0
    this.#seenRole = ''
    world.log(this.id, 'start', raft.term, raft.log.lastIndex)
    invariants.started(this)
    this.#scheduleTick(this.#incarnation)
    await this.step(() => {
      // The only voter has nobody to wait for.
      if (raft.isVoter() && allVoters(raft.configuration).length === 1) raft.campaign()
    })
  }

  async #restore({ snapshot, records }: DiskState): Promise<StateMachine> {
    const state = snapshot.index > 0 ? await StateMachine.restore(records) : new StateMachine()
    this.#with.oracle.compareState(this.id, state)
    return state
  }

  #newRaft(stored: DiskState): Raft {
    const { options, random } = this.#with.world
    const { electionTicks, leaseReads, appendBytesMax, windowMessages } = options
    const window = { messagesMax: windowMessages, bytesMax: 1 << 20 }
    const settings = { electionTicks, leaseReads, appendBytesMax, window }
    const snapshot = stored.snapshot.index > 0 ? stored.snapshot : EMPTY_STATE.snapshot
    return new Raft(
      { ...RAFT_DEFAULTS, ...PACE, ...settings, id: this.id, random: random.next },
      { ...stored, snapshot },
    )
  }

  /** kill -9 at this moment. */
  crash(): void {
    if (this.raft === null) return
    this.#with.world.log(this.id, 'crash', this.raft.term, this.raft.log.lastIndex)
    this.raft = null
    this.paused = false
    this.#incarnation++
    this.disk.crash()
    this.#waiting = []
  }

  pause(): void {
    this.paused = true
    this.#with.world.log(this.id, 'pause')
  }

  /** What queued up meanwhile is worked off in order. */
  async resume(): Promise<void> {
    if (!this.paused) return
    this.paused = false
    this.#with.world.log(this.id, 'resume', this.#waiting.length)
    const waiting = this.#waiting
    this.#waiting = []
    for (const { incarnation, run } of waiting) await this.#enter(incarnation, run)
  }

  /** Runs something in this node's process as one step: pump what it led to, then check everything. */
  step(run: Action): void | Promise<void> {
    return this.#enter(this.#incarnation, run)
  }

  #enter(incarnation: number, run: Action): void | Promise<void> {
    if (this.raft === null || incarnation !== this.#incarnation) return
    if (this.paused) {
      this.#waiting.push({ incarnation, run })
      return
    }
    try {
      const done = run()
      if (done !== undefined) return done.then(() => this.#finishStep())
      this.#finishStep()
    } catch (error) {
      throw this.#broken(error)
    }
  }

  #broken(error: unknown): Error {
    if (error instanceof SimFailure) return error
    const { message, stack } = error as Error
    return new SimFailure('assertion of the core', `${this.id}: ${message}\n${stack}`, { cause: error })
  }

  #finishStep(): void {
    try {
      this.#pump()
    } catch (error) {
      throw this.#broken(error)
    }
    const { raft } = this
    if (raft === null) return
    const { world, invariants } = this.#with
    invariants.check(this)
    const role = `${raft.role} ${raft.term} ${raft.leader}`
    if (role === this.#seenRole) return
    const led = this.#seenRole.startsWith('leader')
    this.#seenRole = role
    this.#running.requests.dropLease()
    world.log(this.id, raft.role, raft.term, raft.leader)
    if (raft.role === 'leader') world.count('leader elected')
    if (led && raft.role !== 'leader') {
      world.count('leader stepped down')
      this.#running.requests.giveUpPending()
    }
  }

  /** Runs `run` in this start of the node, later. */
  #later(delayMs: number, run: Action): void {
    const incarnation = this.#incarnation
    this.#with.world.after(delayMs, () => this.#enter(incarnation, run))
  }

  // ---- ticks -------------------------------------------------------------------------------------------------

  #scheduleTick(incarnation: number): void {
    this.#with.world.after(TICK_MS * this.#tickLength, () => {
      if (this.raft === null || incarnation !== this.#incarnation) return
      this.#scheduleTick(incarnation)
      // A timer that fires while the process is stopped fires once, not once per tick.
      if (this.paused) return
      return this.step(() => this.#tick())
    })
  }

  #tick(): void {
    const { raft } = this
    if (raft === null) return
    const { writer } = this.#running
    writer.tick()
    raft.canCampaign = !this.disk.isWaiting && !writer.isStalled
    raft.tick()
    if (raft.role !== 'leader') return
    if (writer.isStalled && raft.stepDown()) this.#with.world.count('leader with a hanging disk gave up')
    const others = allNodes(raft.configuration).filter((id) => id !== this.id)
    const unreachable = new Set(others.filter((id) => !this.#with.network.isConnected(this.id, id)))
    this.#unreachableTicks = unreachable.size > 0 ? this.#unreachableTicks + 1 : 0
    if (this.#unreachableTicks >= UNREACHABLE_TICKS) raft.quorumUnreachable(unreachable)
  }

  // ---- inputs ------------------------------------------------------------------------------------------------

  #receive(message: Message): void {
    this.raft?.step(message)
  }

  /** The connection to a peer broke, or somebody believes so. */
  peerLost(peer: string): void | Promise<void> {
    return this.step(() => {
      this.raft?.reportUnreachable(peer)
      if (this.raft?.leader === peer) this.raft.leaderUnreachable()
    })
  }

  proposeChange(change: ConfigChange): boolean {
    const result = this.raft?.proposeChange(change)
    return result !== undefined && !('dropped' in result)
  }

  // ---- clients -----------------------------------------------------------------------------------------------

  /** A client asks this node; whoever leads does the work. */
  request(operation: Operation, reply: Reply): void | Promise<void> {
    return this.step(() => {
      const { raft } = this
      if (raft === null) return
      if (raft.role === 'leader') {
        this.#running.requests.serve(operation, reply)
        return
      }
      const leader = this.#with.nodes.get(raft.leader)
      if (leader === undefined) {
        reply({ kind: 'retry' })
        return
      }
      const { network } = this.#with
      const incarnation = this.#incarnation
      if (operation.kind === 'write') {
        network.send(this.id, leader.id, () =>
          leader.step(() =>
            leader.#running.requests.propose(operation, (outcome) =>
              network.send(leader.id, this.id, () => this.#enter(incarnation, () => reply(outcome))),
            ),
          ),
        )
        return
      }
      network.send(this.id, leader.id, () =>
        leader.step(() =>
          leader.#running.requests.confirm(operation, (index) =>
            network.send(leader.id, this.id, () =>
              this.#enter(incarnation, () => this.#running.requests.readAt(index, operation.key, reply)),
            ),
          ),
        ),
      )
    })
  }

  // ---- persist → send → apply --------------------------------------------------------------------------------

  #pump(): void {
    const { raft } = this
    if (raft === null) return
    const { requests, writer } = this.#running
    do {
      while (raft.hasReady()) {
        const ready = raft.ready()
        this.#with.invariants.taken(this, ready)
        writer.add(ready, ready.snapshot === null ? null : this.#adoptSnapshot(ready.snapshot))
        for (const message of ready.messages) this.#dispatch(message)
        requests.extendLease(ready.reads)
        this.#apply(raft, ready.committed)
        requests.settleReads(ready.reads)
      }
    } while (writer.canWrite && writer.writeNext())
  }

  #apply(raft: Raft, entries: readonly Entry[]): void {
    const last = entries.at(-1)
    if (last === undefined) return
    const { requests, applier, snapshots } = this.#running
    applier.apply(raft, entries)
    raft.applied(last.index)
    requests.settleWaiters()
    snapshots.takeIfDue(raft, this.state)
  }

  #adoptSnapshot(meta: SnapshotMeta): Iterable<Uint8Array> {
    const { requests, applier, snapshots } = this.#running
    const state = snapshots.adopt(meta)
    applier.state = state
    this.#with.world.log(this.id, 'took over', meta.index)
    this.#with.oracle.compareState(this.id, state)
    this.#with.invariants.adopted(this)
    requests.settleWaiters()
    return state.snapshot()
  }

  /** The completion of a write is a step of its own, and of no concern to a later start. */
  #guarded(done: WriteDone): WriteDone {
    const incarnation = this.#incarnation
    return (result) => {
      void this.#enter(incarnation, () => done(result))
    }
  }

  #persisted(readies: readonly Ready[]): void {
    const { raft } = this
    if (raft === null) return
    for (const { token, messagesAfterPersist } of readies) {
      raft.persisted(token)
      for (const message of messagesAfterPersist) this.#dispatch(message)
    }
  }

  /** Another node takes over, if there is one; what waits for this disk may be written when there is room again. */
  diskFilled(): void {
    void this.step(() => {
      const { raft } = this
      if (raft === null) return
      this.#with.world.log(this.id, 'disk full')
      raft.canCampaign = false
      raft.stepDown()
      this.#running.requests.refuseQueued()
      this.#running.requests.giveUpPending()
    })
  }

  diskHasRoom(): void {
    this.#with.world.log(this.id, 'disk has room')
  }

  /** A node whose storage failed takes part no more; somebody restarts it later. */
  #storageFailed(result: WriteResult): void {
    this.#with.world.log(this.id, 'storage failed', result)
    this.crash()
  }

  #dispatch(message: Message): void {
    const { world, network, nodes, invariants } = this.#with
    invariants.sent(this, message)
    if (message.to === this.id) {
      this.raft?.step(message)
      return
    }
    if (message.type === 'snapshot') {
      this.#running.snapshots.send(message)
      return
    }
    const { type, to, term, index, entries, commit, reject } = message
    world.log(this.id, type, to, term, index, entries.length, commit, reject ? 1 : 0)
    if (world.faulty && world.options.unluckyTypes.includes(message.type) && world.random.chance(0.8)) {
      world.count('unlucky message')
      return
    }
    if (!network.isConnected(this.id, message.to)) {
      if (message.type === 'append') this.raft?.reportUnreachable(message.to)
      return
    }
    const peer = nodes.get(message.to)
    if (peer === undefined) return
    if (!world.options.encoded) {
      network.send(this.id, peer.id, () => peer.step(() => peer.#receive(message)))
      return
    }
    const frame = encodeMessage(CLUSTER, message)
    network.send(this.id, peer.id, () => peer.step(() => peer.#receive(decodeMessage(frame).message)))
  }
}
