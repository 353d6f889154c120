import { randomUUID } from 'node:crypto'
import { ApplyWaiters } from './apply-waiters.ts'
import type { ConsensusStatus } from './client.ts'
import { supersedes } from './cluster-id.ts'
import { cordonedNodes } from './cordon.ts'
import { ConsensusError, noLeader, outcomeUnknown, superseded } from './errors.ts'
import { LeaderLease } from './leader-lease.ts'
import { LogWriter } from './log-writer.ts'
import { Members } from './members.ts'
import { Proposals } from './proposals.ts'
import { allNodes, allVoters, EMPTY_CONFIGURATION, initialConfiguration } from './raft/configuration.ts'
import { EMPTY_STATE, RAFT_DEFAULTS, Raft, type RaftState } from './raft/raft.ts'
import type { ConfigChange, Entry, HardState, Message, SnapshotMeta } from './raft/types.ts'
import { ReadConfirmations } from './read-confirmations.ts'
import { readReplica } from './replica-gauges.ts'
import { REPLICA_DEFAULTS, type ReplicaCollaborators, type ReplicaOptions } from './replica-options.ts'
import type { SnapshotProgress } from './rpc.ts'
import { SessionExpiry } from './session-expiry.ts'
import type { SnapshotPart, SnapshotSubject } from './snapshot-transfer.ts'
import { Snapshots, snapshotMessage } from './snapshots.ts'
import { decodeLogRecord, encodeLogRecord, type LogRecord } from './state/codec.ts'
import { isCommand } from './state/command-check.ts'
import { StateMachine } from './state/state-machine.ts'
import type { CommandResult, Session } from './state/types.ts'
import { composeStatus, StatusListeners } from './status.ts'
import type { Pledge, StoredState, StoreIdentity } from './storage/log-store.ts'
import { PatientStore } from './storage/patient-store.ts'
import { SuccessionNotices } from './succession.ts'
import { Watchers } from './watchers.ts'
import { decodeMessage, encodeMessage } from './wire.ts'

/** Ticks without a connection to a quorum after which a leader gives up. */
const UNREACHABLE_TICKS = 3
/** Ticks between two looks at who should vote. */
const VOTER_CHECK_TICKS = 5
/** Whoever was not heard of for this many shortest election timeouts does not answer. */
const ALIVE_ELECTIONS = 2
/** How long an order to make a node a voter is waited for. */
const ADD_WAIT_MS = 3000
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
  readonly #proposals = new Proposals()
  readonly #lease: LeaderLease
  readonly #reads: ReadConfirmations
  readonly #applyWaiters = new ApplyWaiters()
  readonly #statusListeners: StatusListeners
  readonly #sessions: SessionExpiry
  readonly #members: Members
  readonly #snapshots: Snapshots
  readonly #store: PatientStore
  readonly #writer: LogWriter
  readonly #notices: SuccessionNotices
  #state = new StateMachine()
  #raft: Raft | null = null
  #identity: StoreIdentity | null = null
  #pledge: Pledge | null = null
  #ticker: NodeJS.Timeout | null = null
  #writing: Promise<void> | null = null
  #pumping = false
  /** The log as it was at the start ends here: what is applied up to it happened before. */
  #replayedTo = 0
  #lastContact = Number.NEGATIVE_INFINITY
  #lastTick = 0
  #ticks = 0
  #unreachableTicks = 0
  #failure: Error | null = null
  #supersededBy: string | null = null
  #initialising: Promise<void> | null = null
  #starting: Promise<void> | null = null
  #stopping: Promise<void> | null = null
  #stopped = false

  constructor(options: ReplicaOptions, collaborators: ReplicaCollaborators) {
    this.#options = { ...REPLICA_DEFAULTS, ...options }
    this.#with = collaborators
    const listenerFailed = (error: unknown) =>
      collaborators.log.error({ err: error }, 'a listener of the replicated state failed')
    this.watchers = new Watchers(listenerFailed)
    this.#statusListeners = new StatusListeners(listenerFailed)
    this.#sessions = new SessionExpiry(`${options.nodeId}/expiry/${randomUUID()}`, {
      ...collaborators,
      state: () => this.#state,
      isLeader: () => this.isLeader,
      propose: (record) => this.proposeLocal(record),
    })
    this.#lease = new LeaderLease(RAFT_DEFAULTS.electionTicks * this.#options.tickMs, collaborators.clock)
    this.#reads = new ReadConfirmations(this.#lease)
    const aliveMs = ALIVE_ELECTIONS * RAFT_DEFAULTS.electionTicks * this.#options.tickMs
    this.#members = new Members(
      { ...this.#options, aliveMs },
      { ...collaborators, raft: () => this.#raft, cordoned: () => cordonedNodes(this.#state) },
    )
    const retryMs = SNAPSHOT_RETRY_TICKS * this.#options.tickMs
    const store = new PatientStore({ retryMs: this.#options.diskRetryMs }, collaborators.store, {
      full: (error) => this.#diskFilled(error),
      recovered: () => this.#diskHasRoom(),
    })
    this.#store = store
    this.#snapshots = new Snapshots({ ...this.#options, retryMs }, { ...collaborators, store })
    this.#writer = new LogWriter({ ...collaborators, store, snapshotSaved: () => this.#snapshots.saved() })
    this.#notices = new SuccessionNotices(collaborators)
    collaborators.metrics?.observe(() =>
      readReplica(this.#raft, this.isLeader, {
        proposals: this.#proposals,
        reads: this.#reads,
        writer: this.#writer,
      }),
    )
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
    if (this.#supersededBy !== null) return superseded(this.#supersededBy)
    if (this.#failure === null) return null
    return new ConsensusError('CST_STORAGE_FAILED', this.#failure.message, { cause: this.#failure })
  }

  /** Why nothing can be written here for now: this node serves reads and passes writes on, if there is another leader. */
  get diskFull(): ConsensusError | null {
    return this.#store.full
  }

  get #hasEnded(): boolean {
    return this.#stopped || this.#failure !== null || this.#supersededBy !== null
  }

  /** Id of the leader as far as this node knows, or ''. */
  get leader(): string {
    return this.#hasEnded ? '' : (this.#raft?.leader ?? '')
  }

  /** True if default reads may be answered from a lease of the leader. */
  get leaseReads(): boolean {
    return this.#options.leaseReads
  }

  get isLeader(): boolean {
    return !this.#hasEnded && this.#raft?.role === 'leader'
  }

  /** Term, log and configuration, for who feeds clients from them; null until this node belongs to a cluster. */
  get protocol(): Pick<Raft, 'term' | 'log' | 'configuration'> | null {
    return this.#raft
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
    const stored = await this.#store.open()
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
    const saved = snapshot.index > 0 ? this.#store.readSnapshot() : null
    if (saved !== null) this.#state = await StateMachine.restore(saved.records)
    const state: RaftState = {
      hardState: stored.hardState,
      snapshot,
      entries: stored.entries,
      logStart: stored.logStart,
    }
    const { leaseReads } = this.#options
    const raft = new Raft({ ...RAFT_DEFAULTS, id: this.id, random: this.#with.random, leaseReads }, state)
    this.#raft = raft
    this.#replayedTo = raft.log.lastIndex
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
    this.#store.giveUp()
    try {
      await this.#writing
      await this.#snapshots.saved()
      // The commit index is all that can be left; a full disk may go without it.
      if (this.#failure === null && this.diskFull === null) await this.#writer.finish()
    } finally {
      await this.#store.close()
    }
  }

  /** @throws ConsensusError `CST_STORAGE_FAILED`, after which the node does nothing any more. */
  async setPledge(pledge: Pledge | null): Promise<void> {
    await this.#orFail(this.#store.setPledge(pledge))
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
    await this.#orFail(this.#store.initialise(identity, meta, first.snapshot(), hardState))
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

  /**
   * The cluster this node belongs to was recovered without it and goes on under another id. From now on this node takes no
   * part in what is left of the old one: with others that were thought dead it could outvote the new. Does nothing if
   * `clusterId` is no successor of its own.
   */
  retire(clusterId: string): void {
    if (this.#hasEnded || this.#identity === null || !supersedes(clusterId, this.#identity.clusterId)) return
    this.#supersededBy = clusterId
    this.#with.log.error({ clusterId }, superseded(clusterId).message)
    this.#end()
  }

  /** Refuses whatever waits. What is in the log may be replicated and survive this node: its outcome is unknown. */
  #end(): void {
    const error = this.ended ?? noLeader()
    this.#proposals.rejectQueued(error)
    this.#proposals.rejectPending(outcomeUnknown(error))
    this.#reads.rejectAll(error)
    this.#applyWaiters.rejectAll(error)
    this.#sessions.clear()
    this.#noticeStatus()
  }

  /** Another node takes over, if there is one. What waits for this disk may be written when there is room again. */
  #diskFilled(error: ConsensusError): void {
    this.#with.log.error(`${error.message}; this node takes no writes until then`)
    const raft = this.#raft
    if (raft !== null) {
      raft.canCampaign = false
      raft.stepDown()
    }
    this.#proposals.rejectQueued(error)
    this.#proposals.rejectPending(outcomeUnknown(error))
    this.#storageChanged()
  }

  #diskHasRoom(): void {
    this.#with.log.info('there is room on the disk again; this node takes writes')
    this.#storageChanged()
  }

  #storageChanged(): void {
    this.#with.metrics?.diskFull(this.diskFull !== null)
    this.#noticeStatus()
  }

  // ---- status ------------------------------------------------------------------------------------------------

  status(): ConsensusStatus {
    return composeStatus(this.#raft, {
      id: this.id,
      clusterId: this.#identity?.clusterId ?? null,
      leader: this.leader,
      isLeader: this.isLeader,
      hasEnded: this.#hasEnded,
      lastContactMs: this.lastContactMs,
      failure: this.#failure?.message ?? null,
      diskFull: this.diskFull?.message ?? null,
      supersededBy: this.#supersededBy,
      cordoned: cordonedNodes(this.#state),
      isConnected: (peer) => this.#with.transport.isConnected(peer),
      healthOf: (peer) => this.#members.health(peer),
    })
  }

  onStatus(listener: (status: ConsensusStatus) => void): () => void {
    return this.#statusListeners.add(listener)
  }

  /** Milliseconds since the leader was heard of, 0 on the leader. */
  get lastContactMs(): number {
    return this.isLeader ? 0 : this.#with.clock.now() - this.#lastContact
  }

  #noticeStatus(): void {
    if (this.#raft === null) return
    const changed = this.#statusListeners.changed(
      this.#raft,
      this.leader,
      this.isLeader,
      this.diskFull !== null,
    )
    if (changed === null) return
    this.#lease.drop()
    const status = this.status()
    const { role, term, leader } = status
    if (changed.leadership) this.#leadershipChanged(term)
    this.#with.metrics?.statusChanged(status)
    this.#with.log.debug({ role, term, leader }, 'consensus status changed')
    this.#statusListeners.tell(status)
  }

  #leadershipChanged(term: number): void {
    if (this.isLeader) {
      this.#sessions.restart()
      this.#members.restart()
      this.#with.log.info({ term }, 'this node leads the cluster')
    } else {
      this.#sessions.clear()
      this.#members.forgetWish()
      this.#proposals.rejectPending(outcomeUnknown())
      if (!this.#hasEnded) this.#with.log.info({ term }, 'this node leads no longer')
    }
  }

  // ---- ticks -------------------------------------------------------------------------------------------------

  #tick(): void {
    const raft = this.#raft
    if (raft === null || this.#hasEnded) return
    const now = this.#with.clock.now()
    this.#snapshots.expire(now)
    this.#noticePause(now)
    this.#lastTick = now
    this.#ticks++
    this.#writer.tick()
    raft.canCampaign = this.diskFull === null && !this.#writer.isStalled
    try {
      raft.tick()
      if (this.isLeader) this.#leaderDuties(raft, now)
    } catch (error) {
      this.#fail(error as Error)
      return
    }
    this.#pump()
  }

  /** After a pause of this process nobody could renew anything: every session gets its time again, every member too. */
  #noticePause(now: number): void {
    const paused = now - this.#lastTick > this.#options.tickMs * RAFT_DEFAULTS.electionTicks
    if (!paused || !this.isLeader) return
    this.#sessions.restart()
    this.#members.restart()
  }

  #leaderDuties(raft: Raft, now: number): void {
    const others = allNodes(raft.configuration).filter((id) => id !== this.id)
    const unreachable = new Set(others.filter((id) => !this.#with.transport.isConnected(id)))
    this.#unreachableTicks = unreachable.size > 0 ? this.#unreachableTicks + 1 : 0
    if (this.#unreachableTicks >= UNREACHABLE_TICKS) raft.quorumUnreachable(unreachable)
    // The others replicate, but nothing is applied here.
    if (this.#writer.isStalled && raft.stepDown())
      this.#with.log.error('the disk does not answer; this node gives up leadership')
    this.#sessions.endExpired(now)
    if (this.#ticks % VOTER_CHECK_TICKS === 0) this.#members.manage(raft)
  }

  /** Proposes a change of the configuration. @throws ConsensusError if this node does not lead or one is under way. */
  proposeChange(change: ConfigChange): void {
    this.#members.change(change)
    this.#pump()
  }

  /** `Members.remove`; resolves once the change is applied. @throws ConsensusError */
  async removePeer(id: string): Promise<void> {
    const { ended } = this
    if (ended !== null) throw ended
    const index = this.#members.remove(id)
    const { promise } = this.waitApplied(index)
    this.#pump()
    await promise
    // Another leader's entry may have taken its place.
    if (this.#members.has(id)) throw outcomeUnknown()
  }

  /**
   * `Members.wish`: makes a node a voter. Answers `learner` if it has not caught up within a moment; then it goes on by
   * itself. @throws ConsensusError
   */
  async addVoter(id: string): Promise<'voter' | 'learner'> {
    const { ended } = this
    if (ended !== null) throw ended
    if (!this.#members.wish(id)) return 'voter'
    this.#pump()
    const isDone = () => this.#members.isVoter(id)
    const { promise, resolve, reject } = Promise.withResolvers<'voter' | 'learner'>()
    const timer = setTimeout(() => resolve('learner'), ADD_WAIT_MS)
    const stop = this.onStatus(() => {
      if (isDone()) resolve('voter')
      else if (!this.isLeader) reject(outcomeUnknown())
    })
    if (isDone()) resolve('voter')
    return promise.finally(() => {
      clearTimeout(timer)
      stop()
    })
  }

  /** `Members.transfer`: begins to hand leadership over and answers to whom. @throws ConsensusError */
  transferLeadership(to?: string): string {
    const { ended } = this
    if (ended !== null) throw ended
    const heir = this.#members.transfer(to)
    this.#pump()
    return heir
  }

  get members(): Pick<Members, 'has' | 'mustRemember' | 'hasPlace'> {
    return this.#members
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
    if (clusterId !== this.#identity?.clusterId)
      this.#notices.heard(from, clusterId, this.#identity?.clusterId ?? '')
    // As if the network had lost it: the leader sends it again.
    if (message.entries.length > 0 && this.#writer.isOverloaded) return
    const isOurs = clusterId === this.#identity?.clusterId && message.from === from && message.to === this.id
    // A snapshot comes with its data through `receiveSnapshot`, never as a bare message.
    if (!isOurs || message.type === 'snapshot') return
    this.#with.metrics?.message('in', message.type)
    this.#step(raft, message)
  }

  #step(raft: Raft, message: Message): void {
    const { from } = message
    if (this.isLeader) {
      // What came during a pause may be read before the tick that notices it.
      this.#noticePause(this.#with.clock.now())
      this.#members.heard(from)
    }
    try {
      raft.step(message)
    } catch (error) {
      this.#fail(error as Error)
      return
    }
    if (raft.leader === from) this.#lastContact = this.#with.clock.now()
    this.#pump()
  }

  /** How much this node has of a snapshot that is sent to it. @throws ConsensusError */
  async snapshotProgress(from: string, about: SnapshotSubject): Promise<SnapshotProgress> {
    this.#snapshotTarget(about)
    const progress = await this.#snapshots.progress(from, about)
    return { ...progress, done: this.#state.appliedIndex >= about.meta.index }
  }

  /** Takes one part of a snapshot; with the last one the state is replaced. @throws ConsensusError, CodecError */
  async receiveSnapshot(from: string, part: SnapshotPart): Promise<void> {
    const raft = this.#snapshotTarget(part)
    await this.#snapshots.receive(from, part, (received) => {
      if (this.#hasEnded) return
      // Handed over and taken back in one turn: another snapshot may complete while this one waits.
      this.#snapshots.offer(received, () =>
        this.#step(raft, snapshotMessage(from, this.id, part.term, received.meta)),
      )
    })
  }

  /** The protocol a snapshot is for. @throws ConsensusError if it is of another cluster or of a leader of the past. */
  #snapshotTarget({ clusterId, term }: SnapshotSubject): Raft {
    const raft = this.#raft
    if (raft === null || clusterId !== this.#identity?.clusterId) {
      throw new ConsensusError('CST_NOT_INITIALISED', 'this node is not part of that cluster')
    }
    if (!Number.isSafeInteger(term) || term < raft.term) {
      throw new ConsensusError(
        'CST_NOT_LEADER',
        `a leader of term ${term} sends nothing in term ${raft.term}`,
      )
    }
    return raft
  }

  /** The connection to a peer broke, or the failure detector gave it up. */
  peerLost(peer: string): void {
    const raft = this.#raft
    if (raft === null || this.#hasEnded) return
    this.#members.lost(peer)
    raft.reportUnreachable(peer)
    if (raft.leader === peer) raft.leaderUnreachable()
    this.#pump()
  }

  #dispatch(raft: Raft, message: Message): void {
    if (message.to === this.id) {
      raft.step(message)
      return
    }
    this.#with.metrics?.message('out', message.type)
    if (message.type === 'snapshot') {
      void this.#sendSnapshot(raft, message)
      return
    }
    const clusterId = this.#identity?.clusterId ?? ''
    const sent = this.#with.transport.send(message.to, encodeMessage(clusterId, message))
    if (!sent && message.type === 'append') raft.reportUnreachable(message.to)
  }

  async #sendSnapshot(raft: Raft, message: Message): Promise<void> {
    const { to, term, snapshot: meta } = message
    if (meta === null) return
    const ok = await this.#snapshots.send(to, { clusterId: this.#identity?.clusterId ?? '', term, meta })
    if (ok === null || this.#hasEnded) return
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
        this.#writer.add(ready, records)
        for (const message of ready.messages) this.#dispatch(raft, message)
        // Before anything is applied: a lease granted under a configuration must not outlive it, and applying drops it.
        for (const read of ready.reads) this.#reads.settle(read)
        this.#apply(raft, ready.committed)
      }
    } catch (error) {
      this.#fail(error as Error)
    } finally {
      this.#pumping = false
    }
    this.#noticeStatus()
    if (this.#writer.hasQueued && this.#writing === null && this.#failure === null) {
      this.#writing = this.#writeAll(raft).finally(() => {
        this.#writing = null
      })
    }
  }

  async #writeAll(raft: Raft): Promise<void> {
    try {
      while (this.#writer.hasQueued && this.#failure === null) {
        for (const { token, messagesAfterPersist } of await this.#writer.writeNext()) {
          raft.persisted(token)
          for (const message of messagesAfterPersist) this.#dispatch(raft, message)
        }
        this.#pump()
      }
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  /** Replaces the state by that of a received snapshot. Answers its records: what is written later is what it is now. */
  #adoptSnapshot(meta: SnapshotMeta): Iterable<Uint8Array> {
    this.#state = this.#snapshots.adopt(meta)
    this.watchers.notifyAll()
    this.#applyWaiters.applied(this.#state.appliedIndex)
    return this.#state.snapshot()
  }

  #apply(raft: Raft, entries: readonly Entry[]): void {
    const last = entries.at(-1)
    if (last === undefined) return
    for (const entry of entries) {
      this.#snapshots.count(entry.data.length)
      const result = this.#applyEntry(raft, entry)
      this.#proposals.applied(entry.index, entry.term, result)
    }
    raft.applied(last.index)
    this.#with.metrics?.applied(entries.length)
    this.#applyWaiters.applied(this.#state.appliedIndex)
    this.#snapshots.takeIfDue(raft, this.#state, (error) => this.#fail(error))
  }

  #applyEntry(raft: Raft, entry: Entry): CommandResult | null {
    if (entry.type === 'config') {
      const configuration = raft.applyConfiguration(entry)
      // Those who granted it may no longer be enough to keep others from electing.
      this.#lease.drop()
      this.#state.skip(entry.index)
      const level = entry.index <= this.#replayedTo ? 'debug' : 'info'
      this.#with.metrics?.configurationChanged()
      this.#with.log[level]({ configuration }, 'the configuration changed')
      return null
    }
    if (entry.data.length === 0) {
      this.#state.skip(entry.index)
      return null
    }
    const record = decodeLogRecord(entry.data)
    const { result, changes } = this.#state.apply(entry.index, record)
    this.#sessions.applied(record.command)
    if (changes.keys.size > 0 || changes.sessions) this.watchers.notify(changes)
    return result
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
    if (this.diskFull !== null) return Promise.reject(this.diskFull)
    if (this.#writer.isOverloaded) {
      this.#with.metrics?.dropped('overloaded', 1)
      return Promise.reject(
        new ConsensusError('CST_PROPOSAL_DROPPED', 'too many writes are waiting for the disk', {
          retryable: true,
        }),
      )
    }
    if (!isCommand(record.command) || typeof record.origin !== 'string') {
      this.#with.metrics?.dropped('malformed', 1)
      return Promise.reject(new ConsensusError('CST_PROPOSAL_DROPPED', 'the proposal is malformed'))
    }
    const payload = encodeLogRecord({ ...record, at: this.#with.clock.wall() })
    const { result, isFirst } = this.#proposals.add(payload)
    // One turn of the event loop collects what many clients sent.
    if (isFirst) setImmediate(() => this.#flush())
    return result
  }

  #flush(): void {
    const raft = this.#raft
    if (raft === null) return
    try {
      const dropped = this.#proposals.flush((payloads) => raft.propose(payloads))
      if (dropped !== null && dropped.reason !== 'change-pending')
        this.#with.metrics?.dropped(dropped.reason, dropped.count)
    } catch (error) {
      this.#fail(error as Error)
      return
    }
    this.#pump()
  }

  /**
   * Confirms leadership with a quorum and answers the index a read must have applied. `mayUseLease`: a quorum that was asked
   * a moment ago, and promised to elect nobody else meanwhile, is enough, if leases are on. @throws ConsensusError
   */
  confirmRead(mayUseLease: boolean): Promise<number> {
    const raft = this.#raft
    const { ended } = this
    if (ended !== null) return Promise.reject(ended)
    if (raft === null || !this.isLeader) return Promise.reject(noLeader())
    if (mayUseLease && this.leaseReads && !raft.leaseForfeited && this.#lease.isValid)
      return Promise.resolve(raft.log.committedIndex)
    const confirmed = this.#reads.wait((id) => raft.readIndex(id, mayUseLease))
    this.#pump()
    return confirmed
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

  /** `SessionExpiry.renew`. Call only on a leader that has just confirmed its leadership. @throws ConsensusError */
  renew(id: string): Session | null {
    return this.#sessions.renew(id)
  }
}
