import type { Clock } from '../../consensus/clock.ts'
import { LeaderLease, type Moment } from '../../consensus/leader-lease.ts'
import { allNodes, allVoters, isJoint } from '../../consensus/raft/configuration.ts'
import { EMPTY_STATE, RAFT_DEFAULTS } from '../../consensus/raft/options.ts'
import { Raft } from '../../consensus/raft/raft.ts'
import type {
  ConfigChange,
  Entry,
  HardState,
  Message,
  Ready,
  SnapshotMeta,
} from '../../consensus/raft/types.ts'
import { decodeLogRecord, encodeLogRecord, type LogRecord } from '../../consensus/state/codec.ts'
import { StateMachine } from '../../consensus/state/state-machine.ts'
import type { CommandResult } from '../../consensus/state/types.ts'
import { decodeMessage, encodeMessage } from '../../consensus/wire.ts'
import type { DiskListener, SimDisk, WriteDone, WriteResult } from './disk.ts'
import type { Action } from './event-queue.ts'
import type { Invariants, Observed } from './invariants.ts'
import type { SimNetwork } from './network.ts'
import type { Operation, Outcome, ReadOperation, WriteOperation } from './operation.ts'
import type { Oracle } from './oracle.ts'
import { check, SimFailure, type World } from './world.ts'

const TICK_MS = 100
const CLUSTER = 'sim'
const UNREACHABLE_TICKS = 3
const SNAPSHOT_RETRY_TICKS = 10
/** Ticks after which a write that does not come back says that the disk hangs. */
const STALLED_TICKS = 50

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

type Reply = (outcome: Outcome) => void

interface QueuedWrite {
  readonly ready: Ready
  readonly records: Iterable<Uint8Array> | null
}

interface SnapshotTransfer {
  readonly meta: SnapshotMeta
  readonly term: number
  readonly records: readonly Uint8Array[]
}

/**
 * One node: the real core and state machine, driven in the order `Replica` drives them, in virtual time. Writes go to
 * the disk one at a time while the next accumulates; what depends on a write is sent when it is durable.
 */
export class SimNode implements Observed, DiskListener {
  readonly id: string
  readonly disk: SimDisk
  raft: Raft | null = null
  state = new StateMachine()
  /** What this node's wall clock is wrong by, in milliseconds. */
  clockOffset = 0
  paused = false
  readonly #with: Surroundings
  /** Counts starts: what belongs to an earlier one is void. */
  #incarnation = 0
  #waiting: { readonly incarnation: number; readonly run: Action }[] = []
  #inbox: { readonly operation: WriteOperation; readonly reply: Reply }[] = []
  readonly #proposals = new Map<number, { readonly term: number; readonly reply: Reply }>()
  readonly #reads = new Map<
    number,
    { readonly askedAt: Moment; readonly seenIndex: number; readonly then: (index: number) => void }
  >()
  #applyWaiters: { readonly index: number; readonly run: () => void }[] = []
  readonly #sendingTo = new Set<string>()
  #writes: QueuedWrite[] = []
  #writing = false
  #lazyHardState: HardState | null = null
  #incoming: { readonly meta: SnapshotMeta; readonly state: StateMachine } | null = null
  #snapshotting = false
  #afterSnapshot: (() => void) | null = null
  #nextReadId = 1
  /** Length of this node's tick relative to true time; its monotonic clock is as slow. */
  #tickLength = 1
  /** What the monotonic clock showed when the tick length was set, and when that was. */
  #clockSet = { shown: 0, at: 0 }
  readonly #clock: Clock = {
    now: () => this.#clockSet.shown + (this.#with.world.now - this.#clockSet.at) / this.#tickLength,
    wall: () => this.#with.world.now + this.clockOffset,
  }
  #lease: LeaderLease
  #unreachableTicks = 0
  /** Ticks since the write under way began. */
  #writingTicks = 0
  /** After a full disk no snapshot is taken before this time. */
  #snapshotNotBefore = 0
  #seenRole = ''

  constructor(id: string, disk: SimDisk, surroundings: Surroundings) {
    this.id = id
    this.disk = disk
    this.#with = surroundings
    disk.listener = this
    this.#lease = this.#newLease()
  }

  #newLease(): LeaderLease {
    return new LeaderLease(this.#with.world.options.electionTicks * TICK_MS, this.#clock)
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
    return this.#writing || this.#snapshotting
  }

  // ---- life cycle --------------------------------------------------------------------------------------------

  async start(): Promise<void> {
    if (this.raft !== null) return
    const { world, invariants, oracle } = this.#with
    if (this.disk.full) {
      world.count('not started: disk full')
      return
    }
    const { options, random } = world
    this.#incarnation++
    const stored = this.disk.open()
    this.state = stored.snapshot.index > 0 ? await StateMachine.restore(stored.records) : new StateMachine()
    oracle.compareState(this.id, this.state)
    const raft = new Raft(
      {
        ...RAFT_DEFAULTS,
        id: this.id,
        random: random.next,
        electionTicks: options.electionTicks,
        leaseReads: options.leaseReads,
        appendBytesMax: options.appendBytesMax,
        window: { messagesMax: options.windowMessages, bytesMax: 1 << 20 },
      },
      {
        ...stored,
        snapshot: stored.snapshot.index > 0 ? stored.snapshot : EMPTY_STATE.snapshot,
      },
    )
    this.raft = raft
    this.#lease = this.#newLease()
    world.log(this.id, 'start', raft.term, raft.log.lastIndex)
    invariants.started(this)
    this.#scheduleTick(this.#incarnation)
    await this.step(() => {
      // The only voter has nobody to wait for.
      if (raft.isVoter() && allVoters(raft.configuration).length === 1) raft.campaign()
    })
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
    this.#inbox = []
    this.#proposals.clear()
    this.#reads.clear()
    this.#applyWaiters = []
    this.#sendingTo.clear()
    this.#writes = []
    this.#writing = false
    this.#lazyHardState = null
    this.#incoming = null
    this.#snapshotting = false
    this.#afterSnapshot = null
    this.#unreachableTicks = 0
    this.#writingTicks = 0
    this.#snapshotNotBefore = 0
    this.#seenRole = ''
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
    this.#lease.drop()
    world.log(this.id, raft.role, raft.term, raft.leader)
    if (raft.role === 'leader') world.count('leader elected')
    if (led && raft.role !== 'leader') {
      world.count('leader stepped down')
      for (const { reply } of this.#proposals.values()) reply({ kind: 'unknown' })
      this.#proposals.clear()
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
    if (this.#writing) this.#writingTicks++
    const stalled = this.#writingTicks >= STALLED_TICKS
    raft.canCampaign = !this.disk.isWaiting && !stalled
    raft.tick()
    if (raft.role !== 'leader') return
    if (stalled && raft.stepDown()) this.#with.world.count('leader with a hanging disk gave up')
    const others = allNodes(raft.configuration).filter((id) => id !== this.id)
    const unreachable = new Set(others.filter((id) => !this.#with.network.isConnected(this.id, id)))
    this.#unreachableTicks = unreachable.size > 0 ? this.#unreachableTicks + 1 : 0
    if (this.#unreachableTicks >= UNREACHABLE_TICKS) raft.quorumUnreachable(unreachable)
  }

  // ---- inputs ------------------------------------------------------------------------------------------------

  #receive(message: Message): void {
    this.raft?.step(message)
  }

  /** A snapshot arrived whole: it is made into state, and a little later handed to the core. */
  async #receiveSnapshot(from: string, transfer: SnapshotTransfer, delivered: () => void): Promise<void> {
    const { meta, term, records } = transfer
    const state = await StateMachine.restore(records)
    this.#later(this.#with.world.random.between(0, 20), () => {
      this.#incoming = { meta, state }
      this.#receive({
        type: 'snapshot',
        from,
        to: this.id,
        term,
        snapshot: meta,
        index: 0,
        logTerm: 0,
        entries: [],
        commit: 0,
        reject: false,
        rejectHint: 0,
        context: 0,
        transfer: false,
        lease: false,
      })
      this.#pump()
      this.#incoming = null
      delivered()
    })
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
        this.#serve(operation, reply)
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
            leader.#propose(operation, (outcome) =>
              network.send(leader.id, this.id, () => this.#enter(incarnation, () => reply(outcome))),
            ),
          ),
        )
        return
      }
      network.send(this.id, leader.id, () =>
        leader.step(() =>
          leader.#confirm(operation, (index) =>
            network.send(leader.id, this.id, () =>
              this.#enter(incarnation, () => this.#readAt(index, operation.key, reply)),
            ),
          ),
        ),
      )
    })
  }

  #serve(operation: Operation, reply: Reply): void {
    if (operation.kind === 'write') this.#propose(operation, reply)
    else this.#confirm(operation, (index) => this.#readAt(index, operation.key, reply))
  }

  #propose(operation: WriteOperation, reply: Reply): void {
    if (!this.isLeader || this.disk.isWaiting) {
      reply({ kind: 'retry' })
      return
    }
    this.#inbox.push({ operation, reply })
    if (this.#inbox.length === 1) this.#later(this.#with.world.random.between(0, 2), () => this.#flush())
  }

  #flush(): void {
    const inbox = this.#inbox.splice(0)
    // A disk that filled meanwhile has refused them.
    if (inbox.length === 0) return
    const at = Math.floor(this.#with.world.now + this.clockOffset)
    const payloads = inbox.map(({ operation: { origin, sequence, command } }) =>
      encodeLogRecord({ at, origin, sequence, acknowledged: sequence, command }),
    )
    const result = this.raft?.propose(payloads)
    if (result === undefined || 'dropped' in result) {
      for (const { reply } of inbox) reply({ kind: 'retry' })
      return
    }
    inbox.forEach(({ reply }, i) => {
      this.#proposals.set(result.index + i, { term: result.term, reply })
    })
  }

  #confirm({ mayUseLease }: ReadOperation, then: (index: number) => void): void {
    const { raft } = this
    const { world, oracle } = this.#with
    if (raft !== null && this.isLeader && mayUseLease && world.options.leaseReads) {
      if (this.holdsLease) {
        world.count('read by lease')
        this.#checkRead(raft.log.committedIndex, oracle.seenIndex)
        then(raft.log.committedIndex)
        return
      }
    }
    const id = this.#nextReadId++
    this.#reads.set(id, { askedAt: this.#lease.moment(), seenIndex: oracle.seenIndex, then })
    if (raft?.readIndex(id, mayUseLease)) return
    this.#reads.delete(id)
    then(-1)
  }

  /** What a leader answers covers all that anybody had seen when it was asked. */
  #checkRead(index: number, seenIndex: number): void {
    check(
      index >= seenIndex,
      'reads are linearizable',
      () => `${this.id} in ${this.raft?.term} answers a read with ${index}; ${seenIndex} had been seen`,
    )
  }

  /** True if this node would answer a read without asking anybody. */
  get holdsLease(): boolean {
    return this.raft !== null && this.isLeader && !this.raft.leaseForfeited && this.#lease.isValid
  }

  #readAt(index: number, key: string, reply: Reply): void {
    if (index < 0) {
      reply({ kind: 'retry' })
      return
    }
    const run = () =>
      reply({ kind: 'read', appliedIndex: this.state.appliedIndex, entry: this.state.kvGet(key) })
    if (this.state.appliedIndex >= index) run()
    else this.#applyWaiters.push({ index, run })
  }

  #settleWaiters(): void {
    const due = this.#applyWaiters.filter(({ index }) => index <= this.state.appliedIndex)
    if (due.length === 0) return
    this.#applyWaiters = this.#applyWaiters.filter(({ index }) => index > this.state.appliedIndex)
    for (const { run } of due) run()
  }

  // ---- persist → send → apply --------------------------------------------------------------------------------

  #pump(): void {
    const { raft } = this
    if (raft === null) return
    do {
      while (raft.hasReady()) {
        const ready = raft.ready()
        this.#with.invariants.taken(this, ready)
        const records = ready.snapshot === null ? null : this.#adoptSnapshot(ready.snapshot)
        if (ready.hardState !== null || ready.entries.length > 0 || ready.messagesAfterPersist.length > 0) {
          this.#writes.push({ ready, records })
        }
        for (const message of ready.messages) this.#dispatch(message)
        for (const { id, lease } of ready.reads) {
          const read = this.#reads.get(id)
          if (lease && read !== undefined) this.#lease.extend(read.askedAt)
        }
        this.#apply(raft, ready.committed)
        for (const { id, index } of ready.reads) {
          const read = this.#reads.get(id)
          this.#reads.delete(id)
          if (read === undefined) continue
          if (index >= 0) this.#checkRead(index, read.seenIndex)
          read.then(index)
        }
      }
    } while (!this.#writing && this.#writes.length > 0 && this.#startWrite())
  }

  /** True if nothing of it had to reach the disk, so that more may be ready at once. */
  #startWrite(): boolean {
    const batch = this.#takeBatch()
    let hardState = this.#lazyHardState
    let mustSync = false
    const entries: Entry[] = []
    for (const { ready } of batch) {
      hardState = ready.hardState ?? hardState
      mustSync ||= ready.mustSync
      const first = ready.entries[0]
      while (first !== undefined && (entries.at(-1)?.index ?? -1) >= first.index) entries.pop()
      entries.push(...ready.entries)
    }
    this.#lazyHardState = hardState
    if (!mustSync) {
      this.#written(batch)
      return true
    }
    this.#writing = true
    const written = (result: WriteResult) => {
      if (result !== 'written') {
        this.#storageFailed(result)
        return
      }
      this.#lazyHardState = null
      this.#writing = false
      this.#writingTicks = 0
      this.#written(batch)
    }
    const [first] = batch
    const snapshot = first?.ready.snapshot ?? null
    if (snapshot === null || first === undefined || first.records === null || hardState === null) {
      this.#writeEntries(hardState, entries, written)
      return false
    }
    const { records } = first
    const install = () =>
      this.disk.installSnapshot(
        snapshot,
        records,
        hardState,
        this.#guarded((result) => {
          if (result === 'written') this.#with.world.count('snapshot installed')
          if (result === 'written' && entries.length > 0) this.#writeEntries(hardState, entries, written)
          else written(result)
        }),
      )
    // The store takes one snapshot at a time.
    if (this.#snapshotting) this.#afterSnapshot = install
    else install()
    return false
  }

  #writeEntries(hardState: HardState | null, entries: readonly Entry[], written: WriteDone): void {
    this.disk.write(hardState, entries, this.#guarded(written))
  }

  /** The completion of a write is a step of its own, and of no concern to a later start. */
  #guarded(done: WriteDone): WriteDone {
    const incarnation = this.#incarnation
    return (result) => {
      void this.#enter(incarnation, () => done(result))
    }
  }

  #takeBatch(): QueuedWrite[] {
    const snapshotAt = this.#writes.findIndex(({ records }) => records !== null)
    if (snapshotAt < 0) return this.#writes.splice(0)
    return this.#writes.splice(0, Math.max(1, snapshotAt))
  }

  #written(batch: readonly QueuedWrite[]): void {
    const { raft } = this
    if (raft === null) return
    for (const { ready } of batch) {
      raft.persisted(ready.token)
      for (const message of ready.messagesAfterPersist) this.#dispatch(message)
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
      for (const { reply } of this.#inbox.splice(0)) reply({ kind: 'retry' })
      for (const { reply } of this.#proposals.values()) reply({ kind: 'unknown' })
      this.#proposals.clear()
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
      this.#sendSnapshot(message)
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

  #sendSnapshot({ to, term }: Message): void {
    if (this.#sendingTo.has(to)) return
    this.#sendingTo.add(to)
    const { world, network, nodes } = this.#with
    const { snapshot: meta, records } = this.disk
    const peer = nodes.get(to)
    world.log(this.id, 'snapshot', to, term, meta.index)
    world.count('snapshot sent')
    let settled = false
    const incarnation = this.#incarnation
    const settle = (ok: boolean) =>
      this.#enter(incarnation, () => {
        if (settled) return
        settled = true
        this.#sendingTo.delete(to)
        this.raft?.reportSnapshot(to, ok)
      })
    const delivered = () => {
      if (peer !== undefined) network.send(peer.id, this.id, () => settle(true))
    }
    const transfer = { meta, term, records }
    // A part that is not acknowledged ends the transfer.
    this.#later(1500 + SNAPSHOT_RETRY_TICKS * TICK_MS, () => settle(false))
    this.#later(world.random.exponential(world.faulty ? 100 : 5), () => {
      if (peer === undefined || settled) return
      network.send(this.id, to, () => peer.step(() => peer.#receiveSnapshot(this.id, transfer, delivered)))
    })
  }

  #adoptSnapshot(meta: SnapshotMeta): Iterable<Uint8Array> {
    const incoming = this.#incoming
    if (incoming === null || incoming.meta.index !== meta.index || incoming.meta.term !== meta.term)
      throw new Error(`the data of snapshot ${meta.index} is missing`)
    this.state = incoming.state
    this.#with.world.log(this.id, 'took over', meta.index)
    this.#with.oracle.compareState(this.id, this.state)
    this.#with.invariants.adopted(this)
    this.#settleWaiters()
    return this.state.snapshot()
  }

  #apply(raft: Raft, entries: readonly Entry[]): void {
    const last = entries.at(-1)
    if (last === undefined) return
    for (const entry of entries) {
      if (entry.type === 'config') this.#applyConfiguration(raft, entry)
      else this.#applyEntry(entry)
      const pending = this.#proposals.get(entry.index)
      // Another leader's entry took the place.
      if (pending !== undefined) {
        this.#proposals.delete(entry.index)
        pending.reply({ kind: 'retry' })
      }
    }
    raft.applied(last.index)
    this.#settleWaiters()
    this.#maybeSnapshot(raft)
  }

  #applyConfiguration(raft: Raft, entry: Entry): void {
    const wasJoint = isJoint(raft.configuration)
    const configuration = raft.applyConfiguration(entry)
    this.#lease.drop()
    this.state.skip(entry.index)
    const { world, invariants, oracle } = this.#with
    invariants.configured(this, entry.index, configuration)
    oracle.applied(this.id, this.state, entry.index, null, null)
    world.log(
      this.id,
      'configuration',
      entry.index,
      configuration.voters.join('+'),
      configuration.votersOutgoing.join('+'),
      configuration.learners.join('+'),
    )
    world.count('configuration applied')
    if (wasJoint && !isJoint(configuration)) world.count('joint change completed')
  }

  #applyEntry(entry: Entry): void {
    const { oracle } = this.#with
    if (entry.data.length === 0) {
      this.state.skip(entry.index)
      oracle.applied(this.id, this.state, entry.index, null, null)
      return
    }
    const expected = this.state.appliedIndex + 1
    if (entry.index !== expected)
      throw new SimFailure('applied in order', `${this.id}: ${entry.index}, not ${expected}`)
    const record = this.#decode(entry.data)
    const { result } = this.state.apply(entry.index, record)
    oracle.applied(this.id, this.state, entry.index, record, result)
    this.#answer(entry, result)
  }

  #decode(data: Uint8Array): LogRecord {
    const { decoded } = this.#with
    const known = decoded.get(data)
    if (known !== undefined) return known
    const record = decodeLogRecord(data)
    decoded.set(data, record)
    return record
  }

  #answer(entry: Entry, result: CommandResult): void {
    const pending = this.#proposals.get(entry.index)
    if (pending?.term !== entry.term) return
    this.#proposals.delete(entry.index)
    pending.reply({ kind: 'written', result })
  }

  #maybeSnapshot(raft: Raft): void {
    const { world, oracle } = this.#with
    const { snapshotEntries, keepEntries } = world.options
    const index = this.state.appliedIndex
    const term = raft.log.termAt(index)
    if (index - raft.latestSnapshot.index < snapshotEntries || this.#snapshotting || term === undefined)
      return
    if (world.now < this.#snapshotNotBefore) return
    this.#snapshotting = true
    const meta: SnapshotMeta = { index, term, configuration: raft.configuration }
    const compactTo = Math.max(raft.log.snapshotIndex, index - keepEntries)
    oracle.compareState(this.id, this.state)
    this.disk.saveSnapshot(
      meta,
      this.state.snapshot(),
      compactTo,
      this.#guarded((result) => {
        if (result === 'failed') {
          this.#storageFailed(result)
          return
        }
        this.#snapshotting = false
        if (result === 'full') {
          this.#snapshotNotBefore = world.now + SNAPSHOT_RETRY_TICKS * TICK_MS
          world.count('snapshot refused: disk full')
        } else {
          raft.snapshotSaved(meta, compactTo)
          oracle.compareRecords(this.id, meta.index, this.disk.records)
          world.log(this.id, 'saved snapshot', index, compactTo)
          world.count('snapshot saved')
        }
        const next = this.#afterSnapshot
        this.#afterSnapshot = null
        next?.()
      }),
    )
  }
}
