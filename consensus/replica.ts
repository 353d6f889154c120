import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { ConsensusStatus, RaftPeer } from './client.ts'
import type { Clock } from './clock.ts'
import { ConsensusError, noLeader, outcomeUnknown } from './errors.ts'
import type { ReplicaMetrics } from './metrics.ts'
import {
  allNodes,
  allVoters,
  EMPTY_CONFIGURATION,
  initialConfiguration,
  isVoter,
} from './raft/configuration.ts'
import { EMPTY_STATE, RAFT_DEFAULTS, Raft, type RaftState } from './raft/raft.ts'
import type { ConfigChange, Entry, HardState, Message, Ready, SnapshotMeta } from './raft/types.ts'
import { SessionTimers } from './session-timers.ts'
import { SnapshotReceiver, sendSnapshot } from './snapshot-transfer.ts'
import { decodeLogRecord, encodeLogRecord, type LogRecord } from './state/codec.ts'
import { StateMachine } from './state/state-machine.ts'
import type { CommandResult, Session } from './state/types.ts'
import type { LogStore, Pledge, StoredState, StoreIdentity } from './storage/log-store.ts'
import type { Transport } from './transport.ts'
import { nextVoterChange } from './voters.ts'
import { Watchers } from './watchers.ts'
import { decodeMessage, encodeMessage } from './wire.ts'

/** Settings of a replica. */
export interface ReplicaOptions {
  readonly nodeId: string
  /** Length of a tick. Election timeouts are 10 to 20 ticks, heartbeats one. Default 100. */
  readonly tickMs?: number
  /** A snapshot is taken after this many applied entries … Default 8,192. */
  readonly snapshotEntries?: number
  /** … or after this many bytes of them, which bounds the log kept in memory. Default 32 MiB. */
  readonly snapshotBytes?: number
  /** Entries kept behind a snapshot for followers that lag a little. Default 1,024. */
  readonly keepEntries?: number
  /** How many voters the cluster aims at; the rest are learners. Odd. Default 5. */
  readonly votersTarget?: number
}

/** What a replica works with. */
export interface ReplicaCollaborators {
  readonly store: LogStore
  readonly transport: Transport
  readonly log: Logger
  readonly clock: Clock
  readonly random: () => number
  readonly metrics: ReplicaMetrics | null
  /** Called once when storage failed or an invariant broke: the process should stop before it does harm. */
  readonly onFatal: (error: Error) => void
}

interface PendingProposal {
  readonly term: number
  readonly resolve: (result: CommandResult) => void
  readonly reject: (error: ConsensusError) => void
}

interface QueuedProposal {
  readonly payload: Uint8Array
  readonly resolve: PendingProposal['resolve']
  readonly reject: PendingProposal['reject']
}

/** Ticks without a connection to a quorum after which a leader gives up. */
const UNREACHABLE_TICKS = 3
/** How far behind a learner may be and still count as caught up, in entries. */
const CAUGHT_UP_ENTRIES = 64
/** Ticks between two looks at who should vote. */
const VOTER_CHECK_TICKS = 5

/**
 * Drives the pure protocol core: ticks, persist → send → apply, proposals in, results out. One write is under way at a
 * time while the next accumulates, so that many proposals share one sync.
 */
export class Replica {
  readonly watchers = new Watchers()
  readonly #options: Required<ReplicaOptions>
  readonly #with: ReplicaCollaborators
  readonly #timers = new SessionTimers()
  readonly #receiver = new SnapshotReceiver()
  readonly #statusListeners = new Set<(status: ConsensusStatus) => void>()
  readonly #proposals = new Map<number, PendingProposal>()
  readonly #reads = new Map<number, { resolve: (index: number) => void; reject: (error: Error) => void }>()
  #applyWaiters: { index: number; resolve: () => void }[] = []
  #state = new StateMachine()
  #raft: Raft | null = null
  #identity: StoreIdentity | null = null
  #pledge: Pledge | null = null
  #ticker: NodeJS.Timeout | null = null
  #inbox: QueuedProposal[] = []
  #flushScheduled = false
  #writes: Ready[] = []
  #writing: Promise<void> | null = null
  /** A commit index that was not worth a write of its own. */
  #lazyHardState: HardState | null = null
  #pumping = false
  #nextReadId = 1
  #lastContact = Number.NEGATIVE_INFINITY
  #lastTick = 0
  #ticks = 0
  #unreachableTicks = 0
  #bytesSinceSnapshot = 0
  #snapshotting: Promise<void> | null = null
  #seen = { isLeader: false, role: 'none', term: -1, leader: '', configuration: EMPTY_CONFIGURATION }
  #failure: Error | null = null
  #stopped = false

  constructor(options: ReplicaOptions, collaborators: ReplicaCollaborators) {
    this.#options = {
      tickMs: 100,
      snapshotEntries: 8192,
      snapshotBytes: 32 << 20,
      keepEntries: 1024,
      votersTarget: 5,
      ...options,
    }
    this.#with = collaborators
  }

  get id(): string {
    return this.#options.nodeId
  }

  get state(): StateMachine {
    return this.#state
  }

  get identity(): StoreIdentity | null {
    return this.#identity
  }

  get pledge(): Pledge | null {
    return this.#pledge
  }

  /** Id of the leader as far as this node knows, or ''. */
  get leader(): string {
    return this.#failure === null ? (this.#raft?.leader ?? '') : ''
  }

  get isLeader(): boolean {
    return this.#failure === null && this.#raft?.role === 'leader'
  }

  /** True if this node is part of the configuration it knows. */
  get isMember(): boolean {
    return this.#raft !== null && allNodes(this.#raft.configuration).includes(this.id)
  }

  // ---- life cycle --------------------------------------------------------------------------------------------

  /** Opens the store and takes part again in the cluster it belongs to, if any. @throws ConsensusError */
  async start(): Promise<void> {
    const stored = await this.#with.store.open()
    this.#pledge = stored.pledge
    if (stored.identity !== null) {
      if (stored.identity.nodeId !== this.id) {
        const { nodeId } = stored.identity
        throw new ConsensusError(
          'CST_LOG_DAMAGED',
          `the data directory belongs to node ${nodeId}, not to ${this.id}`,
        )
      }
      this.#identity = stored.identity
      await this.#run(stored)
    }
    this.#lastTick = this.#with.clock.now()
    this.#ticker = setInterval(() => this.#tick(), this.#options.tickMs)
  }

  async #run(stored: StoredState): Promise<void> {
    const snapshot = stored.snapshot ?? EMPTY_STATE.snapshot
    const saved = snapshot.index > 0 ? this.#with.store.readSnapshot() : null
    if (saved !== null) this.#state = await StateMachine.restore(saved.records)
    const state: RaftState = {
      hardState: stored.hardState,
      snapshot,
      entries: stored.entries,
      logStart: stored.logStart,
    }
    const raft = new Raft({ ...RAFT_DEFAULTS, id: this.id, random: this.#with.random }, state)
    this.#raft = raft
    // The only voter has nobody to wait for.
    if (raft.isVoter() && allVoters(raft.configuration).length === 1) raft.campaign()
    this.#pump()
  }

  /** Stops taking part. Whatever waits is refused; the store is closed. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    if (this.#ticker !== null) clearInterval(this.#ticker)
    this.#rejectAll(new ConsensusError('CST_STOPPED', 'the node is stopping', { retryable: true }))
    await this.#writing
    await this.#snapshotting
    if (this.#lazyHardState !== null && this.#failure === null) {
      await this.#with.store.write({ hardState: this.#lazyHardState, entries: [], sync: true })
    }
    await this.#with.store.close()
  }

  async setPledge(pledge: Pledge | null): Promise<void> {
    await this.#with.store.setPledge(pledge)
    this.#pledge = pledge
  }

  /**
   * Becomes part of a cluster: as a founder, with the same first configuration as the other founders, or (null) as a
   * node that the leader will add and send a snapshot to.
   */
  async initialise(clusterId: string, founders: readonly string[] | null): Promise<void> {
    if (this.#identity !== null) return
    const identity: StoreIdentity = { nodeId: this.id, clusterId }
    // Claimed before the first await, so that two callers cannot both initialise.
    this.#identity = identity
    const first = new StateMachine()
    if (founders !== null) first.skip(1)
    const meta: SnapshotMeta =
      founders === null
        ? { index: 0, term: 0, configuration: EMPTY_CONFIGURATION }
        : { index: 1, term: 1, configuration: initialConfiguration(founders) }
    const hardState: HardState = { term: meta.term, vote: '', commit: meta.index }
    await this.#with.store.initialise(identity, meta, first.snapshot(), hardState)
    this.#state = first
    const start = { index: meta.index, term: meta.term }
    await this.#run({ identity, pledge: null, hardState, snapshot: meta, entries: [], logStart: start })
    this.#with.log.info({ clusterId, founders: founders?.length ?? 0 }, 'this node is now part of a cluster')
  }

  #fail(error: Error): void {
    if (this.#failure !== null || this.#stopped) return
    this.#failure = error
    this.#with.log.fatal({ err: error }, 'consensus stopped on this node')
    this.#rejectAll(new ConsensusError('CST_STORAGE_FAILED', error.message, { cause: error }))
    this.#noticeStatus()
    this.#with.onFatal(error)
  }

  #rejectAll(error: ConsensusError): void {
    this.#rejectProposals(error)
    for (const { reject } of this.#reads.values()) reject(error)
    this.#reads.clear()
  }

  #rejectProposals(error: ConsensusError): void {
    for (const { reject } of this.#inbox.splice(0)) reject(error)
    for (const { reject } of this.#proposals.values()) reject(error)
    this.#proposals.clear()
  }

  // ---- status ------------------------------------------------------------------------------------------------

  status(): ConsensusStatus {
    const raft = this.#raft
    const lastContactMs = this.isLeader ? 0 : this.#with.clock.now() - this.#lastContact
    const failure = this.#failure?.message ?? null
    if (raft === null) {
      return {
        id: this.id,
        clusterId: null,
        role: 'none',
        term: 0,
        leader: null,
        commitIndex: 0,
        appliedIndex: 0,
        lastLogIndex: 0,
        firstLogIndex: 1,
        snapshotIndex: 0,
        lastContactMs,
        peers: [],
        failure,
      }
    }
    const peers: RaftPeer[] = allNodes(raft.configuration).map((id) => ({
      id,
      voter: isVoter(raft.configuration, id),
      leader: id === raft.leader,
      matchIndex: this.isLeader ? (raft.progress.get(id)?.matchIndex ?? 0) : null,
    }))
    const passive = raft.role === 'follower' && !raft.isVoter()
    return {
      id: this.id,
      clusterId: this.#identity?.clusterId ?? null,
      role: passive ? (this.isMember ? 'learner' : 'none') : raft.role,
      term: raft.term,
      leader: raft.leader === '' ? null : raft.leader,
      commitIndex: raft.log.committedIndex,
      appliedIndex: raft.log.appliedIndex,
      lastLogIndex: raft.log.lastIndex,
      firstLogIndex: raft.log.firstIndex,
      snapshotIndex: raft.latestSnapshot.index,
      lastContactMs,
      peers,
      failure,
    }
  }

  onStatus(listener: (status: ConsensusStatus) => void): () => void {
    this.#statusListeners.add(listener)
    return () => this.#statusListeners.delete(listener)
  }

  #noticeStatus(): void {
    const raft = this.#raft
    if (raft === null) return
    const now = {
      ...this.#seen,
      isLeader: this.isLeader,
      role: raft.role,
      term: raft.term,
      leader: this.leader,
    }
    now.configuration = raft.configuration
    const before = this.#seen
    if (
      now.isLeader === before.isLeader &&
      now.role === before.role &&
      now.term === before.term &&
      now.leader === before.leader &&
      now.configuration === before.configuration
    ) {
      return
    }
    this.#seen = now
    const wasLeader = before.isLeader
    const status = this.status()
    if (wasLeader !== this.isLeader) this.#leadershipChanged(status)
    this.#with.metrics?.statusChanged(status)
    this.#with.log.debug(
      { role: status.role, term: status.term, leader: status.leader },
      'consensus status changed',
    )
    for (const listener of [...this.#statusListeners]) listener(status)
  }

  #leadershipChanged(status: ConsensusStatus): void {
    if (this.isLeader) {
      this.#timers.armAll(this.#state.sessions(), this.#with.clock.now())
      this.#with.log.info({ term: status.term }, 'this node leads the cluster')
    } else {
      this.#timers.clear()
      this.#rejectProposals(outcomeUnknown())
      if (this.#failure === null) this.#with.log.info({ term: status.term }, 'this node leads no longer')
    }
  }

  // ---- ticks -------------------------------------------------------------------------------------------------

  #tick(): void {
    const raft = this.#raft
    if (raft === null || this.#failure !== null || this.#stopped) return
    const now = this.#with.clock.now()
    // After a pause of this process nobody could renew anything: every session gets its time again.
    const paused = now - this.#lastTick > this.#options.tickMs * RAFT_DEFAULTS.electionTicks
    if (paused && this.isLeader) this.#timers.armAll(this.#state.sessions(), now)
    this.#lastTick = now
    this.#ticks++
    try {
      raft.tick()
      if (this.isLeader) this.#leaderDuties(raft, now)
    } catch (error) {
      this.#fail(error as Error)
      return
    }
    this.#pump()
  }

  #leaderDuties(raft: Raft, now: number): void {
    const others = allNodes(raft.configuration).filter((id) => id !== this.id)
    const unreachable = new Set(others.filter((id) => !this.#with.transport.isConnected(id)))
    this.#unreachableTicks = unreachable.size > 0 ? this.#unreachableTicks + 1 : 0
    if (this.#unreachableTicks >= UNREACHABLE_TICKS) raft.quorumUnreachable(unreachable)
    for (const id of this.#timers.expired(now)) this.#expireSession(id)
    if (this.#ticks % VOTER_CHECK_TICKS === 0) this.#manageVoters(raft)
  }

  #expireSession(id: string): void {
    this.#timers.remove(id)
    const record = {
      origin: `${this.id}/expiry/${randomUUID()}`,
      sequence: 1,
      acknowledged: 0,
      command: { type: 'session.destroy', id },
    } as const
    this.#with.log.info({ session: id }, 'session expired')
    this.proposeLocal(record).catch(() => {
      // Not applied: whoever leads next gives the session its time again. If that is still this node, so does it.
      const session = this.#state.session(id)
      if (session !== undefined && this.isLeader) this.#timers.arm(session, this.#with.clock.now())
    })
  }

  #manageVoters(raft: Raft): void {
    const candidates = [...raft.progress].map(([id, progress]) => ({
      id,
      caughtUp: progress.recentActive && progress.matchIndex + CAUGHT_UP_ENTRIES >= raft.log.committedIndex,
    }))
    const change = nextVoterChange(raft.configuration, candidates, this.#options.votersTarget)
    if (change === null) return
    const result = raft.proposeChange(change)
    if (!('dropped' in result)) this.#with.log.info({ change: change.steps }, 'promoting learners to voters')
  }

  /** Proposes a change of the configuration. @throws ConsensusError if this node does not lead or one is under way. */
  proposeChange(change: ConfigChange): void {
    const result = this.#raft?.proposeChange(change) ?? { dropped: 'not-leader' }
    if ('dropped' in result) {
      if (result.dropped === 'not-leader')
        throw new ConsensusError('CST_NOT_LEADER', 'this node does not lead')
      throw new ConsensusError(
        'CST_MEMBERSHIP_CHANGE_IN_PROGRESS',
        'another change of the members is under way',
        {
          retryable: true,
        },
      )
    }
    this.#pump()
  }

  /** True if `id` is in the configuration. */
  hasPeer(id: string): boolean {
    return this.#raft !== null && allNodes(this.#raft.configuration).includes(id)
  }

  // ---- messages ----------------------------------------------------------------------------------------------

  /** Takes a frame from the peer `from`, which the transport has authenticated. */
  receive(from: string, payload: Uint8Array): void {
    const raft = this.#raft
    if (raft === null || this.#failure !== null || this.#stopped) return
    let decoded: ReturnType<typeof decodeMessage>
    try {
      decoded = decodeMessage(payload)
    } catch (error) {
      this.#with.log.warn({ from, err: error }, 'dropped a malformed consensus message')
      return
    }
    const { clusterId, message } = decoded
    const isOurs = clusterId === this.#identity?.clusterId && message.from === from && message.to === this.id
    // A snapshot comes with its data through `receiveSnapshot`, never as a bare message.
    if (!isOurs || message.type === 'snapshot') return
    this.#step(raft, message)
  }

  #step(raft: Raft, message: Message): void {
    const { from } = message
    try {
      raft.step(message)
    } catch (error) {
      this.#fail(error as Error)
      return
    }
    if (raft.leader === from) this.#lastContact = this.#with.clock.now()
    this.#pump()
  }

  /** Takes one part of a snapshot; with the last one the state is replaced. */
  async receiveSnapshot(from: string, request: Parameters<SnapshotReceiver['add']>[1]): Promise<void> {
    const raft = this.#raft
    if (raft === null || request.clusterId !== this.#identity?.clusterId) {
      throw new ConsensusError('CST_NOT_INITIALISED', 'this node is not part of that cluster')
    }
    const complete = await this.#receiver.add(from, request)
    if (complete === null) return
    await this.#snapshotting
    this.#step(raft, {
      type: 'snapshot',
      from,
      to: this.id,
      term: request.term,
      snapshot: complete.meta,
      index: 0,
      logTerm: 0,
      entries: [],
      commit: 0,
      reject: false,
      rejectHint: 0,
      context: 0,
      transfer: false,
    })
  }

  /** The connection to a peer broke, or the failure detector gave it up. */
  peerLost(peer: string): void {
    const raft = this.#raft
    if (raft === null || this.#failure !== null) return
    raft.reportUnreachable(peer)
    if (raft.leader === peer) raft.leaderUnreachable()
    this.#pump()
  }

  #dispatch(raft: Raft, message: Message): void {
    if (message.to === this.id) {
      raft.step(message)
      return
    }
    if (message.type === 'snapshot') {
      void this.#sendSnapshot(raft, message)
      return
    }
    const clusterId = this.#identity?.clusterId ?? ''
    const sent = this.#with.transport.send(message.to, encodeMessage(clusterId, message))
    if (!sent && message.type === 'append') raft.reportUnreachable(message.to)
  }

  async #sendSnapshot(raft: Raft, message: Message): Promise<void> {
    const { log, store, transport } = this.#with
    const snapshot = store.readSnapshot()
    if (snapshot === null) return
    const { meta, records } = snapshot
    const clusterId = this.#identity?.clusterId ?? ''
    let ok = false
    try {
      log.info({ to: message.to, index: meta.index }, 'sending a snapshot')
      await sendSnapshot(transport, message.to, { clusterId, meta, term: message.term }, records)
      ok = true
    } catch (error) {
      log.warn({ to: message.to, err: error }, 'a snapshot could not be delivered; it will be sent again')
    }
    if (this.#stopped) return
    raft.reportSnapshot(message.to, ok)
    this.#pump()
  }

  // ---- persist → send → apply --------------------------------------------------------------------------------

  #pump(): void {
    const raft = this.#raft
    if (raft === null || this.#pumping || this.#failure !== null || this.#stopped) return
    this.#pumping = true
    try {
      while (raft.hasReady()) {
        const ready = raft.ready()
        if (ready.snapshot !== null) this.#adoptSnapshot(ready.snapshot)
        if (ready.hardState !== null || ready.entries.length > 0 || ready.messagesAfterPersist.length > 0) {
          this.#writes.push(ready)
        }
        for (const message of ready.messages) this.#dispatch(raft, message)
        this.#apply(raft, ready.committed)
        for (const { id, index } of ready.reads) this.#settleRead(id, index)
      }
    } catch (error) {
      this.#fail(error as Error)
    } finally {
      this.#pumping = false
    }
    this.#noticeStatus()
    if (this.#writes.length > 0 && this.#writing === null && this.#failure === null) {
      this.#writing = this.#writeAll(raft).finally(() => {
        this.#writing = null
      })
    }
  }

  async #writeAll(raft: Raft): Promise<void> {
    try {
      while (this.#writes.length > 0 && this.#failure === null) {
        const batch = this.#takeBatch()
        await this.#write(batch)
        for (const ready of batch) {
          raft.persisted(ready.token)
          for (const message of ready.messagesAfterPersist) this.#dispatch(raft, message)
        }
        this.#pump()
      }
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  /** Everything that waits, up to and including the first snapshot, which is written alone. */
  #takeBatch(): Ready[] {
    const snapshotAt = this.#writes.findIndex((ready) => ready.snapshot !== null)
    if (snapshotAt < 0) return this.#writes.splice(0)
    return this.#writes.splice(0, Math.max(1, snapshotAt))
  }

  async #write(batch: readonly Ready[]): Promise<void> {
    const { store, clock, metrics } = this.#with
    let hardState = this.#lazyHardState
    let mustSync = false
    const entries: Entry[] = []
    for (const ready of batch) {
      hardState = ready.hardState ?? hardState
      mustSync ||= ready.mustSync
      const first = ready.entries[0]
      while (first !== undefined && (entries.at(-1)?.index ?? -1) >= first.index) entries.pop()
      for (const entry of ready.entries) entries.push(entry)
    }
    this.#lazyHardState = hardState
    if (!mustSync) return
    const started = clock.now()
    const snapshot = batch[0]?.snapshot ?? null
    if (snapshot !== null && hardState !== null) {
      await store.installSnapshot(snapshot, this.#state.snapshot(), hardState)
      this.#bytesSinceSnapshot = 0
    }
    if (snapshot === null || entries.length > 0) await store.write({ hardState, entries, sync: true })
    this.#lazyHardState = null
    metrics?.written(entries.length, clock.now() - started)
  }

  #adoptSnapshot(meta: SnapshotMeta): void {
    const state = this.#receiver.take(meta)
    if (state === null) throw new Error(`the data of snapshot ${meta.index} is missing`)
    this.#state = state
    this.#with.log.info({ index: meta.index }, 'took over a snapshot')
    this.watchers.notifyAll()
    this.#wakeApplied()
  }

  #apply(raft: Raft, entries: readonly Entry[]): void {
    const last = entries.at(-1)
    if (last === undefined) return
    for (const entry of entries) {
      this.#bytesSinceSnapshot += entry.data.length + 32
      if (entry.type === 'config') {
        const configuration = raft.applyConfiguration(entry)
        this.#state.skip(entry.index)
        this.#with.log.info({ configuration }, 'the configuration changed')
      } else if (entry.data.length === 0) {
        this.#state.skip(entry.index)
      } else {
        this.#applyCommand(entry)
      }
      const pending = this.#proposals.get(entry.index)
      if (pending !== undefined) {
        // Another leader's entry took the place: this one is not in the log and never will be.
        this.#proposals.delete(entry.index)
        pending.reject(new ConsensusError('CST_NOT_LEADER', 'the proposal was replaced by another leader'))
      }
    }
    raft.applied(last.index)
    this.#with.metrics?.applied(entries.length, last.index, raft.log.committedIndex)
    this.#wakeApplied()
    this.#maybeSnapshot(raft)
  }

  #applyCommand(entry: Entry): void {
    const record = decodeLogRecord(entry.data)
    const { result, changes } = this.#state.apply(entry.index, record)
    const { command } = record
    if (command.type === 'session.destroy') this.#timers.remove(command.id)
    if (command.type === 'session.create' && this.isLeader) {
      const session = this.#state.session(command.session.id)
      if (session !== undefined) this.#timers.arm(session, this.#with.clock.now())
    }
    const pending = this.#proposals.get(entry.index)
    if (pending?.term === entry.term) {
      this.#proposals.delete(entry.index)
      pending.resolve(result)
    }
    if (changes.keys.size > 0 || changes.sessions) this.watchers.notify(changes)
  }

  #wakeApplied(): void {
    const applied = this.#state.appliedIndex
    const due = this.#applyWaiters.filter((waiter) => waiter.index <= applied)
    if (due.length === 0) return
    this.#applyWaiters = this.#applyWaiters.filter((waiter) => waiter.index > applied)
    for (const { resolve } of due) resolve()
  }

  #maybeSnapshot(raft: Raft): void {
    const index = this.#state.appliedIndex
    const entries = index - raft.latestSnapshot.index
    const due =
      entries >= this.#options.snapshotEntries || this.#bytesSinceSnapshot >= this.#options.snapshotBytes
    const term = raft.log.termAt(index)
    if (!due || this.#snapshotting !== null || term === undefined) return
    this.#bytesSinceSnapshot = 0
    const meta: SnapshotMeta = { index, term, configuration: raft.configuration }
    const compactTo = Math.max(raft.log.snapshotIndex, index - this.#options.keepEntries)
    const records = this.#state.snapshot()
    this.#snapshotting = this.#with.store
      .saveSnapshot(meta, records, compactTo)
      .then(() => {
        raft.snapshotSaved(meta, compactTo)
        this.#with.log.info({ index }, 'took a snapshot')
      })
      .catch((error: Error) => this.#fail(error))
      .finally(() => {
        this.#snapshotting = null
      })
  }

  // ---- leader operations -------------------------------------------------------------------------------------

  /**
   * Proposes on this node. @throws ConsensusError `CST_NOT_LEADER` or `CST_PROPOSAL_DROPPED` (not in the log),
   *   `CST_OUTCOME_UNKNOWN` (leadership was lost meanwhile).
   */
  proposeLocal(record: Omit<LogRecord, 'at'>): Promise<CommandResult> {
    if (!this.isLeader) return Promise.reject(new ConsensusError('CST_NOT_LEADER', 'this node does not lead'))
    const payload = encodeLogRecord({ ...record, at: this.#with.clock.wall() })
    return new Promise((resolve, reject) => {
      this.#inbox.push({ payload, resolve, reject })
      if (this.#flushScheduled) return
      this.#flushScheduled = true
      // One turn of the event loop collects what many clients sent.
      setImmediate(() => this.#flush())
    })
  }

  #flush(): void {
    this.#flushScheduled = false
    const raft = this.#raft
    const inbox = this.#inbox.splice(0)
    if (inbox.length === 0 || raft === null) return
    const result = raft.propose(inbox.map(({ payload }) => payload))
    if ('dropped' in result) {
      const error =
        result.dropped === 'overloaded'
          ? new ConsensusError('CST_PROPOSAL_DROPPED', 'too many writes are waiting for a quorum', {
              retryable: true,
            })
          : new ConsensusError('CST_NOT_LEADER', 'this node does not lead')
      for (const { reject } of inbox) reject(error)
      return
    }
    inbox.forEach(({ resolve, reject }, i) => {
      this.#proposals.set(result.index + i, { term: result.term, resolve, reject })
    })
    this.#pump()
  }

  /** Confirms leadership with a quorum and answers the index a read must have applied. @throws ConsensusError */
  confirmRead(): Promise<number> {
    const raft = this.#raft
    if (raft === null || !this.isLeader) return Promise.reject(noLeader())
    const id = this.#nextReadId++
    return new Promise((resolve, reject) => {
      this.#reads.set(id, { resolve, reject })
      if (!raft.readIndex(id)) {
        this.#reads.delete(id)
        reject(noLeader())
      }
      this.#pump()
    })
  }

  #settleRead(id: number, index: number): void {
    const read = this.#reads.get(id)
    this.#reads.delete(id)
    if (index < 0) read?.reject(noLeader())
    else read?.resolve(index)
  }

  /** Resolves once everything up to `index` is applied here. Answers the way to give up waiting too. */
  waitApplied(index: number): { promise: Promise<void>; cancel: () => void } {
    if (this.#state.appliedIndex >= index) return { promise: Promise.resolve(), cancel: () => {} }
    let waiter: { index: number; resolve: () => void } | undefined
    const promise = new Promise<void>((resolve) => {
      waiter = { index, resolve }
      this.#applyWaiters.push(waiter)
    })
    const cancel = () => {
      this.#applyWaiters = this.#applyWaiters.filter((other) => other !== waiter)
    }
    return { promise, cancel }
  }

  /** Gives a session its full time again. Call only on a leader that has just confirmed its leadership. */
  renew(id: string): Session | null {
    const session = this.#state.session(id)
    if (session === undefined) return null
    if (this.isLeader) this.#timers.arm(session, this.#with.clock.now())
    return session
  }

  /** Milliseconds since the leader was heard of, 0 on the leader. */
  get lastContactMs(): number {
    return this.isLeader ? 0 : this.#with.clock.now() - this.#lastContact
  }

  /** Hands leadership to the connected voter that is furthest. False if there is none or this node does not lead. */
  transferLeadership(): boolean {
    const raft = this.#raft
    if (raft === null || !this.isLeader) return false
    const best = [...raft.progress]
      .filter(
        ([id]) =>
          id !== this.id && raft.configuration.voters.includes(id) && this.#with.transport.isConnected(id),
      )
      .sort(([, a], [, b]) => b.matchIndex - a.matchIndex)[0]
    if (best === undefined) return false
    const begun = raft.transferLeadership(best[0])
    this.#pump()
    return begun
  }
}
