import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { ApplyWaiters } from './apply-waiters.ts'
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
import { EMPTY_STATE, type ProposeResult, RAFT_DEFAULTS, Raft, type RaftState } from './raft/raft.ts'
import type { ConfigChange, Entry, HardState, Message, Ready, SnapshotMeta } from './raft/types.ts'
import { SessionTimers } from './session-timers.ts'
import { type ReceivedSnapshot, SnapshotReceiver, sendSnapshot } from './snapshot-transfer.ts'
import { decodeLogRecord, encodeLogRecord, type LogRecord } from './state/codec.ts'
import { isCommand } from './state/command-check.ts'
import { StateMachine } from './state/state-machine.ts'
import type { CommandResult, Session } from './state/types.ts'
import type { LogStore, Pledge, StoredState, StoreIdentity } from './storage/log-store.ts'
import type { Transport } from './transport.ts'
import { isCaughtUp, nextVoterChange } from './voters.ts'
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

/** A Ready that waits to be written. `records`: the state of its snapshot, as it was when it was taken over. */
interface QueuedWrite {
  readonly ready: Ready
  readonly records: Iterable<Uint8Array> | null
}

/** Ticks without a connection to a quorum after which a leader gives up. */
const UNREACHABLE_TICKS = 3
/** Ticks after which a leader whose disk does not answer gives up: the others replicate, but nothing is applied here. */
const STALLED_WRITE_TICKS = 50
/** Ticks between two looks at who should vote. */
const VOTER_CHECK_TICKS = 5
/** Ticks before a snapshot that could not be delivered is sent again. */
const SNAPSHOT_RETRY_TICKS = 10

/**
 * Drives the pure protocol core: ticks, persist → send → apply, proposals in, results out. One write is under way at a
 * time while the next accumulates, so that many proposals share one sync.
 */
export class Replica {
  readonly watchers: Watchers
  readonly #options: Required<ReplicaOptions>
  readonly #with: ReplicaCollaborators
  readonly #timers = new SessionTimers()
  readonly #receiver = new SnapshotReceiver()
  readonly #statusListeners = new Set<(status: ConsensusStatus) => void>()
  readonly #proposals = new Map<number, PendingProposal>()
  readonly #reads = new Map<number, { resolve: (index: number) => void; reject: (error: Error) => void }>()
  readonly #applyWaiters = new ApplyWaiters()
  /** Peers a snapshot is on its way to. */
  readonly #sendingTo = new Set<string>()
  /** Who proposes the end of sessions: this start of this node. */
  readonly #expiryOrigin: string
  #expirySequence = 0
  #state = new StateMachine()
  #raft: Raft | null = null
  #identity: StoreIdentity | null = null
  #pledge: Pledge | null = null
  #ticker: NodeJS.Timeout | null = null
  #inbox: QueuedProposal[] = []
  #flushScheduled = false
  #writes: QueuedWrite[] = []
  #writing: Promise<void> | null = null
  #writeTicks = 0
  /** A commit index that was not worth a write of its own. */
  #lazyHardState: HardState | null = null
  /** Handed over while the protocol decides whether it takes it. */
  #incoming: ReceivedSnapshot | null = null
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
  #initialising: Promise<void> | null = null
  #starting: Promise<void> | null = null
  #stopping: Promise<void> | null = null
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
    this.#expiryOrigin = `${options.nodeId}/expiry/${randomUUID()}`
    this.watchers = new Watchers((error) => this.#listenerFailed(error))
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

  /** Why this node takes part no more: it is stopping, or its storage failed. Null while it works. */
  get ended(): ConsensusError | null {
    if (this.#stopped) return new ConsensusError('CST_STOPPED', 'the node is stopping', { retryable: true })
    if (this.#failure === null) return null
    return new ConsensusError('CST_STORAGE_FAILED', this.#failure.message, { cause: this.#failure })
  }

  get #hasEnded(): boolean {
    return this.#stopped || this.#failure !== null
  }

  /** Id of the leader as far as this node knows, or ''. */
  get leader(): string {
    return this.#hasEnded ? '' : (this.#raft?.leader ?? '')
  }

  get isLeader(): boolean {
    return !this.#hasEnded && this.#raft?.role === 'leader'
  }

  /** True if this node is part of the configuration it knows. */
  get isMember(): boolean {
    return this.#raft !== null && allNodes(this.#raft.configuration).includes(this.id)
  }

  // ---- life cycle --------------------------------------------------------------------------------------------

  /** Opens the store and takes part again in the cluster it belongs to, if any. @throws ConsensusError */
  start(): Promise<void> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  async #start(): Promise<void> {
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
      try {
        await this.#run(stored)
      } catch (error) {
        if (error instanceof ConsensusError) throw error
        const { message } = error as Error
        throw new ConsensusError('CST_LOG_DAMAGED', `what is stored cannot be used: ${message}`, {
          cause: error,
        })
      }
    }
    if (this.#stopped) return
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
  stop(): Promise<void> {
    this.#stopped = true
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    if (this.#ticker !== null) clearInterval(this.#ticker)
    this.#end()
    try {
      await this.#writing
      await this.#snapshotting
      if (this.#lazyHardState !== null && this.#failure === null) {
        await this.#with.store.write({ hardState: this.#lazyHardState, entries: [], sync: true })
      }
    } finally {
      await this.#with.store.close()
    }
  }

  /** @throws ConsensusError `CST_STORAGE_FAILED`, after which the node does nothing any more. */
  async setPledge(pledge: Pledge | null): Promise<void> {
    await this.#orFail(this.#with.store.setPledge(pledge))
    this.#pledge = pledge
  }

  /**
   * Becomes part of a cluster: as a founder, with the same first configuration as the other founders, or (null) as a
   * node that the leader will add and send a snapshot to. Does nothing if it belongs to a cluster already. The identity
   * shows only once it is durable: others act on it.
   */
  async initialise(clusterId: string, founders: readonly string[] | null): Promise<void> {
    if (this.#identity !== null) return
    this.#initialising ??= this.#initialise(clusterId, founders).finally(() => {
      this.#initialising = null
    })
    await this.#initialising
  }

  async #initialise(clusterId: string, founders: readonly string[] | null): Promise<void> {
    const identity: StoreIdentity = { nodeId: this.id, clusterId }
    const first = new StateMachine()
    if (founders !== null) first.skip(1)
    const meta: SnapshotMeta =
      founders === null
        ? { index: 0, term: 0, configuration: EMPTY_CONFIGURATION }
        : { index: 1, term: 1, configuration: initialConfiguration(founders) }
    const hardState: HardState = { term: meta.term, vote: '', commit: meta.index }
    await this.#orFail(this.#with.store.initialise(identity, meta, first.snapshot(), hardState))
    this.#identity = identity
    this.#state = first
    const start = { index: meta.index, term: meta.term }
    await this.#run({ identity, pledge: null, hardState, snapshot: meta, entries: [], logStart: start })
    this.#with.log.info({ clusterId, founders: founders?.length ?? 0 }, 'this node is now part of a cluster')
  }

  async #orFail(write: Promise<void>): Promise<void> {
    try {
      await write
    } catch (error) {
      this.#fail(error as Error)
      throw error
    }
  }

  #fail(error: Error): void {
    if (this.#hasEnded) return
    this.#failure = error
    this.#with.log.fatal({ err: error }, 'consensus stopped on this node')
    this.#end()
    this.#with.onFatal(error)
  }

  /** Refuses whatever waits. What is in the log may be replicated and survive this node: its outcome is unknown. */
  #end(): void {
    const error = this.ended ?? noLeader()
    for (const { reject } of this.#inbox.splice(0)) reject(error)
    this.#rejectProposals(outcomeUnknown(error))
    for (const { reject } of this.#reads.values()) reject(error)
    this.#reads.clear()
    this.#applyWaiters.rejectAll(error)
    this.#timers.clear()
    this.#noticeStatus()
  }

  #rejectProposals(error: ConsensusError): void {
    for (const { reject } of this.#proposals.values()) reject(error)
    this.#proposals.clear()
  }

  #listenerFailed(error: unknown): void {
    this.#with.log.error({ err: error }, 'a listener of the replicated state failed')
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
      leader: id === this.leader,
      matchIndex: this.isLeader ? (raft.progress.get(id)?.matchIndex ?? 0) : null,
    }))
    const passive = raft.role === 'follower' && !raft.isVoter()
    return {
      id: this.id,
      clusterId: this.#identity?.clusterId ?? null,
      role: passive ? (this.isMember ? 'learner' : 'none') : this.#hasEnded ? 'follower' : raft.role,
      term: raft.term,
      leader: this.leader === '' ? null : this.leader,
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
    for (const listener of [...this.#statusListeners]) {
      try {
        listener(status)
      } catch (error) {
        this.#listenerFailed(error)
      }
    }
  }

  #leadershipChanged(status: ConsensusStatus): void {
    if (this.isLeader) {
      this.#timers.armAll(this.#state.sessions(), this.#with.clock.now())
      this.#with.log.info({ term: status.term }, 'this node leads the cluster')
    } else {
      this.#timers.clear()
      this.#rejectProposals(outcomeUnknown())
      if (!this.#hasEnded) this.#with.log.info({ term: status.term }, 'this node leads no longer')
    }
  }

  // ---- ticks -------------------------------------------------------------------------------------------------

  #tick(): void {
    const raft = this.#raft
    if (raft === null || this.#hasEnded) return
    const now = this.#with.clock.now()
    this.#receiver.expire(now)
    // After a pause of this process nobody could renew anything: every session gets its time again.
    const paused = now - this.#lastTick > this.#options.tickMs * RAFT_DEFAULTS.electionTicks
    if (paused && this.isLeader) this.#timers.armAll(this.#state.sessions(), now)
    this.#lastTick = now
    this.#ticks++
    if (this.#writing !== null) this.#writeTicks++
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
    if (this.#writeTicks >= STALLED_WRITE_TICKS && raft.stepDown())
      this.#with.log.error('the disk does not answer; this node gives up leadership')
    for (const id of this.#timers.expired(now)) this.#expireSession(id)
    if (this.#ticks % VOTER_CHECK_TICKS === 0) this.#manageVoters(raft)
  }

  #expireSession(id: string): void {
    // From now on it cannot be renewed: the entry that ends it may already be on its way to a quorum.
    this.#timers.end(id)
    const sequence = ++this.#expirySequence
    const record = {
      origin: this.#expiryOrigin,
      sequence,
      acknowledged: sequence,
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
      caughtUp: isCaughtUp(progress, raft.log.committedIndex),
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

  /**
   * True if the cluster counts on what `id` has stored: it votes, or it has acknowledged entries to this leader. If its
   * storage is lost its votes are forgotten too, so it must not take part again under the same id (catalogue B13, B24).
   */
  mustRemember(id: string): boolean {
    const raft = this.#raft
    if (raft === null) return false
    return isVoter(raft.configuration, id) || (raft.progress.get(id)?.matchIndex ?? 0) > 0
  }

  // ---- messages ----------------------------------------------------------------------------------------------

  /** Takes a frame from the peer `from`, which the transport has authenticated. */
  receive(from: string, payload: Uint8Array): void {
    const raft = this.#raft
    if (raft === null || this.#hasEnded) return
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
    const complete = await this.#receiver.add(from, request, this.#with.clock.now())
    if (complete === null) return
    // Handed over and taken back in one turn: another snapshot may complete while this one waits.
    this.#incoming = complete
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
    this.#incoming = null
  }

  /** The connection to a peer broke, or the failure detector gave it up. */
  peerLost(peer: string): void {
    const raft = this.#raft
    if (raft === null || this.#hasEnded) return
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
    const { to, term } = message
    // A second transfer would make the peer drop the first, whose failure would start a third, and so on.
    if (this.#sendingTo.has(to)) return
    this.#sendingTo.add(to)
    const { log, store, transport } = this.#with
    let ok = false
    try {
      const snapshot = store.readSnapshot()
      if (snapshot === null) throw new Error('there is no snapshot')
      const { meta, records } = snapshot
      const clusterId = this.#identity?.clusterId ?? ''
      log.info({ to, index: meta.index }, 'sending a snapshot')
      await sendSnapshot(transport, to, { clusterId, meta, term }, records)
      ok = true
    } catch (error) {
      log.warn({ to, err: error }, 'a snapshot could not be delivered; it will be sent again')
      const waitMs = SNAPSHOT_RETRY_TICKS * this.#options.tickMs
      await new Promise((resolve) => setTimeout(resolve, waitMs))
    }
    this.#sendingTo.delete(to)
    if (this.#hasEnded) return
    raft.reportSnapshot(to, ok)
    this.#pump()
  }

  // ---- persist → send → apply --------------------------------------------------------------------------------

  #pump(): void {
    const raft = this.#raft
    if (raft === null || this.#pumping || this.#hasEnded) return
    this.#pumping = true
    try {
      while (raft.hasReady() && !this.#hasEnded) {
        const ready = raft.ready()
        const records = ready.snapshot === null ? null : this.#adoptSnapshot(ready.snapshot)
        if (ready.hardState !== null || ready.entries.length > 0 || ready.messagesAfterPersist.length > 0) {
          this.#writes.push({ ready, records })
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
        this.#writeTicks = 0
      })
    }
  }

  async #writeAll(raft: Raft): Promise<void> {
    try {
      while (this.#writes.length > 0 && this.#failure === null) {
        const batch = this.#takeBatch()
        this.#writeTicks = 0
        await this.#write(batch)
        for (const { ready } of batch) {
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
  #takeBatch(): QueuedWrite[] {
    const snapshotAt = this.#writes.findIndex(({ records }) => records !== null)
    if (snapshotAt < 0) return this.#writes.splice(0)
    return this.#writes.splice(0, Math.max(1, snapshotAt))
  }

  async #write(batch: readonly QueuedWrite[]): Promise<void> {
    const { store, clock, metrics } = this.#with
    let hardState = this.#lazyHardState
    let mustSync = false
    const entries: Entry[] = []
    for (const { ready } of batch) {
      hardState = ready.hardState ?? hardState
      mustSync ||= ready.mustSync
      const first = ready.entries[0]
      while (first !== undefined && (entries.at(-1)?.index ?? -1) >= first.index) entries.pop()
      for (const entry of ready.entries) entries.push(entry)
    }
    this.#lazyHardState = hardState
    if (!mustSync) return
    const started = clock.now()
    const [first] = batch
    const snapshot = first?.ready.snapshot ?? null
    if (snapshot !== null && first !== undefined && first.records !== null && hardState !== null) {
      // The store takes one snapshot at a time; the one under way is of an older state.
      await this.#snapshotting
      await store.installSnapshot(snapshot, first.records, hardState)
      this.#bytesSinceSnapshot = 0
    }
    if (snapshot === null || entries.length > 0) await store.write({ hardState, entries, sync: true })
    this.#lazyHardState = null
    metrics?.written(entries.length, clock.now() - started)
  }

  /** Replaces the state by that of a received snapshot. Answers its records: what is written later is what it is now. */
  #adoptSnapshot(meta: SnapshotMeta): Iterable<Uint8Array> {
    const incoming = this.#incoming
    if (incoming === null || incoming.meta.index !== meta.index || incoming.meta.term !== meta.term)
      throw new Error(`the data of snapshot ${meta.index} is missing`)
    this.#state = incoming.state
    this.#with.log.info({ index: meta.index }, 'took over a snapshot')
    this.watchers.notifyAll()
    this.#applyWaiters.applied(this.#state.appliedIndex)
    return this.#state.snapshot()
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
    this.#applyWaiters.applied(this.#state.appliedIndex)
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
    const { ended } = this
    if (ended !== null) return Promise.reject(ended)
    if (!this.isLeader) return Promise.reject(new ConsensusError('CST_NOT_LEADER', 'this node does not lead'))
    if (!isCommand(record.command) || typeof record.origin !== 'string') {
      return Promise.reject(new ConsensusError('CST_PROPOSAL_DROPPED', 'the proposal is malformed'))
    }
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
    let result: ProposeResult
    try {
      result = raft.propose(inbox.map(({ payload }) => payload))
    } catch (error) {
      for (const { reject } of inbox) reject(outcomeUnknown(error))
      this.#fail(error as Error)
      return
    }
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
    const { ended } = this
    if (ended !== null) return Promise.reject(ended)
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

  /**
   * Resolves once everything up to `index` is applied here, rejects when the node ends. Answers the way to give up
   * waiting too.
   */
  waitApplied(index: number): { promise: Promise<void>; cancel: () => void } {
    const { ended } = this
    if (this.#state.appliedIndex >= index) return { promise: Promise.resolve(), cancel: () => {} }
    if (ended !== null) return { promise: Promise.reject(ended), cancel: () => {} }
    return this.#applyWaiters.wait(index)
  }

  /**
   * Gives a session its full time again; null if there is none. Call only on a leader that has just confirmed its
   * leadership. @throws ConsensusError `CST_NO_LEADER` while the end of the session is on its way to a quorum: whether it
   * still counts is not known yet.
   */
  renew(id: string): Session | null {
    const session = this.#state.session(id)
    if (session === undefined) return null
    if (this.#timers.isEnding(id)) throw noLeader()
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
