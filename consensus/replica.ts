import { randomUUID } from 'node:crypto'
import { Applier } from './applier.ts'
import { decidedAutopilot } from './autopilot.ts'
import { Belonging } from './belonging.ts'
import type { ConsensusStatus } from './client.ts'
import { supersedes } from './cluster-id.ts'
import { cordonedNodes, drainingNodes } from './cordon.ts'
import { Driver } from './driver.ts'
import { type ConsensusError, noLeader, outcomeUnknown } from './errors.ts'
import { allExpiries, type Expiry } from './expiry.ts'
import { yieldToFullDisk } from './full-disk.ts'
import { Inbox } from './inbox.ts'
import { KeyExpiry } from './key-expiry.ts'
import { LeaderDuties } from './leader-duties.ts'
import { LeaderLease } from './leader-lease.ts'
import { LogWriter } from './log-writer.ts'
import { MemberOrders } from './member-orders.ts'
import { Members } from './members.ts'
import { Outbox } from './outbox.ts'
import { Participation } from './participation.ts'
import { ProposalIntake } from './proposal-intake.ts'
import { Proposals } from './proposals.ts'
import { allNodes, allVoters } from './raft/configuration.ts'
import { EMPTY_STATE, PACE, RAFT_DEFAULTS } from './raft/options.ts'
import { Raft } from './raft/raft.ts'
import { ReadConfirmations } from './read-confirmations.ts'
import { readReplica } from './replica-gauges.ts'
import { REPLICA_DEFAULTS, type ReplicaCollaborators, type ReplicaOptions } from './replica-options.ts'
import { ReplicaStatus } from './replica-status.ts'
import type { SnapshotProgress } from './rpc.ts'
import { SessionExpiry } from './session-expiry.ts'
import type { SnapshotPart, SnapshotSubject } from './snapshot-transfer.ts'
import { Snapshots } from './snapshots.ts'
import type { LogRecord } from './state/codec.ts'
import type { StateMachine } from './state/state-machine.ts'
import type { CommandResult, Session } from './state/types.ts'
import type { Pledge, StoredState, StoreIdentity } from './storage/log-store.ts'
import { PatientStore } from './storage/patient-store.ts'
import { SuccessionNotices } from './succession.ts'
import type { Watchers } from './watchers.ts'

/** Whoever was not heard of for this many shortest election timeouts does not answer. */
const ALIVE_ELECTIONS = 2
/** Ticks before a snapshot that could not be delivered is sent again. */
const SNAPSHOT_RETRY_TICKS = 10

/**
 * One member of the replicated log, put together: how it starts, ends and is asked. `Driver` has the loop: ticks and messages
 * in, persist → send → apply.
 */
export class Replica {
  /** What others tell the leader to do about the members. */
  readonly orders: MemberOrders
  readonly #options: Required<ReplicaOptions>
  readonly #with: ReplicaCollaborators
  readonly #participation: Participation
  readonly #store: PatientStore
  readonly #belonging: Belonging
  readonly #proposals = new Proposals()
  readonly #intake: ProposalIntake
  readonly #lease: LeaderLease
  readonly #reads: ReadConfirmations
  readonly #sessions: SessionExpiry
  readonly #expiry: Expiry
  readonly #members: Members
  readonly #snapshots: Snapshots
  readonly #writer: LogWriter
  readonly #applier: Applier
  readonly #inbox: Inbox
  readonly #duties: LeaderDuties
  readonly #driver: Driver
  readonly #status: ReplicaStatus
  #ticker: NodeJS.Timeout | null = null
  #starting: Promise<void> | null = null
  #stopping: Promise<void> | null = null

  constructor(options: ReplicaOptions, collaborators: ReplicaCollaborators) {
    this.#options = { ...REPLICA_DEFAULTS, ...options }
    this.#with = collaborators
    const { nodeId, tickMs, diskRetryMs } = this.#options
    const { clock, log, metrics, transport } = collaborators
    const electionMs = RAFT_DEFAULTS.electionTicks * tickMs
    const proposals = this.#proposals
    const raft = () => this.#driver.raft
    const isLeader = () => this.isLeader
    const clusterId = () => this.identity?.clusterId ?? null
    const cordoned = () => cordonedNodes(this.state)
    const autopilot = () => decidedAutopilot(this.state)
    const noticeStatus = () => this.#status.notice()
    const pump = () => this.#driver.pump()
    const listenerFailed = (error: unknown) =>
      log.error({ err: error }, 'a listener of the replicated state failed')

    const participation = new Participation({ ...collaborators, onEnd: () => this.#end() })
    this.#participation = participation
    const fullDisk = yieldToFullDisk({ raft, proposals, noticeStatus, metrics, log })
    const store = new PatientStore({ retryMs: diskRetryMs }, collaborators.store, fullDisk)
    this.#store = store
    const takePart = (stored: StoredState) => this.#takePart(stored)
    this.#belonging = new Belonging(nodeId, { store, participation, log, takePart })

    const retryMs = SNAPSHOT_RETRY_TICKS * tickMs
    const snapshots = new Snapshots({ ...this.#options, retryMs }, { ...collaborators, store })
    this.#snapshots = snapshots
    const writer = new LogWriter({ ...collaborators, store, snapshotSaved: () => snapshots.saved() })
    this.#writer = writer
    const lease = new LeaderLease(electionMs, clock)
    this.#lease = lease
    const reads = new ReadConfirmations(lease)
    this.#reads = reads

    const expiring = {
      ...collaborators,
      state: () => this.state,
      isLeader,
      propose: (record: Omit<LogRecord, 'at'>) => this.proposeLocal(record),
    }
    const sessions = new SessionExpiry(`${nodeId}/expiry/${randomUUID()}`, expiring)
    this.#sessions = sessions
    const keys = new KeyExpiry(`${nodeId}/key-expiry/${randomUUID()}`, expiring)
    const expiry = allExpiries([sessions, keys])
    this.#expiry = expiry
    const fail = (error: Error) => participation.fail(error)
    const results = { proposals, expiry, lease, snapshots, metrics, log }
    const applier = new Applier({ ...results, listenerFailed, fail })
    this.#applier = applier
    const aliveMs = ALIVE_ELECTIONS * electionMs
    const askedEvery = {
      voterMs: PACE.heartbeatTicks * tickMs,
      learnerMs: PACE.learnerHeartbeatTicks * tickMs,
    }
    const members = new Members(
      { ...this.#options, aliveMs, askedEvery },
      { ...collaborators, raft, cordoned, autopilot },
    )
    this.#members = members
    const duties = new LeaderDuties(electionMs, { transport, isLeader, expiry, members, writer, log })
    this.#duties = duties
    const onStatus = (listener: () => void) => this.onStatus(listener)
    this.orders = new MemberOrders({ members, participation, applier, isLeader, onStatus, pump })

    this.#inbox = new Inbox(nodeId, {
      raft,
      clusterId,
      appliedIndex: () => this.state.appliedIndex,
      participation,
      snapshots,
      writer,
      notices: new SuccessionNotices(collaborators),
      metrics,
      log,
      step: (raft, message) => this.#driver.step(raft, message),
    })
    const onReported = pump
    const outbox = new Outbox({ clusterId, transport, snapshots, participation, metrics, onReported })
    const outputs = { store, writer, outbox, applier, reads }
    const inputs = { duties, members, snapshots, clock }
    const driver = new Driver({ participation, ...outputs, ...inputs, noticeStatus })
    this.#driver = driver
    this.#intake = new ProposalIntake({
      participation,
      driver,
      store,
      writer,
      proposals,
      clock,
      state: () => this.state,
      metrics,
    })
    this.#status = new ReplicaStatus(nodeId, {
      driver,
      clusterId,
      cordoned,
      draining: () => drainingNodes(this.state),
      participation,
      store,
      members,
      lease,
      transport,
      metrics,
      log,
      leadershipChanged: (term) => this.#leadershipChanged(term),
      listenerFailed,
    })
    metrics?.observe(() => readReplica(driver.raft, driver.isLeader, { proposals, reads, writer }))
  }

  // ---- what it is ----------------------------------------------------------------------------------------------

  get id(): string {
    return this.#options.nodeId
  }

  get state(): StateMachine {
    return this.#applier.state
  }

  get watchers(): Watchers {
    return this.#applier.watchers
  }

  /** Null until this node belongs to a cluster. */
  get identity(): StoreIdentity | null {
    return this.#belonging.identity
  }

  get pledge(): Pledge | null {
    return this.#belonging.pledge
  }

  /** Why this node takes part no more: it is stopping, or its storage failed. Null while it works. */
  get ended(): ConsensusError | null {
    return this.#participation.ended
  }

  /** Why nothing can be written here for now: this node serves reads and passes writes on, if there is another leader. */
  get diskFull(): ConsensusError | null {
    return this.#store.full
  }

  /** Id of the leader as far as this node knows, or ''. */
  get leader(): string {
    return this.#driver.leader
  }

  get isLeader(): boolean {
    return this.#driver.isLeader
  }

  /** Milliseconds since the leader was heard of, 0 on the leader. */
  get lastContactMs(): number {
    return this.#driver.lastContactMs
  }

  /** True if default reads may be answered from a lease of the leader. */
  get leaseReads(): boolean {
    return this.#options.leaseReads
  }

  /** Term, log and configuration, for who feeds clients from them; null until this node belongs to a cluster. */
  get protocol(): Pick<Raft, 'term' | 'log' | 'configuration'> | null {
    return this.#driver.raft
  }

  /** True if this node is part of the configuration it knows. */
  get isMember(): boolean {
    const { raft } = this.#driver
    return raft !== null && allNodes(raft.configuration).includes(this.id)
  }

  get members(): Pick<Members, 'has' | 'mustRemember' | 'hasPlace' | 'report'> {
    return this.#members
  }

  status(): ConsensusStatus {
    return this.#status.read()
  }

  onStatus(listener: (status: ConsensusStatus) => void): () => void {
    return this.#status.listen(listener)
  }

  // ---- life cycle ----------------------------------------------------------------------------------------------

  /** Opens the store and takes part again in the cluster it belongs to, if any. @throws ConsensusError */
  start(): Promise<void> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  async #start(): Promise<void> {
    await this.#belonging.open()
    if (this.#participation.isStopping) return
    this.#duties.start(this.#with.clock.now())
    this.#ticker = setInterval(() => this.#driver.tick(), this.#options.tickMs)
  }

  async #takePart(stored: StoredState): Promise<void> {
    const snapshot = stored.snapshot ?? EMPTY_STATE.snapshot
    const saved = snapshot.index > 0 ? this.#store.readSnapshot() : null
    if (saved !== null) await this.#applier.restore(saved.records)
    const { hardState, entries, logStart } = stored
    const { leaseReads } = this.#options
    const raft = new Raft(
      { ...RAFT_DEFAULTS, ...PACE, id: this.id, random: this.#with.random, leaseReads },
      { hardState, snapshot, entries, logStart },
    )
    this.#applier.replays(raft.log.lastIndex)
    // The only voter has nobody to wait for.
    if (raft.isVoter() && allVoters(raft.configuration).length === 1) raft.campaign()
    this.#driver.drive(raft)
  }

  /** `Belonging.setPledge`. @throws ConsensusError */
  setPledge(pledge: Pledge | null): Promise<void> {
    return this.#belonging.setPledge(pledge)
  }

  /** `Belonging.initialise`: founds a cluster, or becomes part of one. @throws ConsensusError */
  initialise(clusterId: string, founders: readonly string[] | null): Promise<void> {
    return this.#belonging.initialise(clusterId, founders)
  }

  #leadershipChanged(term: number): void {
    const { log } = this.#with
    this.#duties.leadershipChanged()
    if (this.isLeader) {
      log.info({ term }, 'this node leads the cluster')
      return
    }
    this.#proposals.rejectPending(outcomeUnknown())
    if (!this.#participation.hasEnded) log.info({ term }, 'this node leads no longer')
  }

  /**
   * The cluster this node belongs to was recovered without it and goes on under another id. From now on this node takes no
   * part in what is left of the old one: with others that were thought dead it could outvote the new. Does nothing if
   * `clusterId` is no successor of its own.
   */
  retire(clusterId: string): void {
    if (this.identity !== null && supersedes(clusterId, this.identity.clusterId))
      this.#participation.supersede(clusterId)
  }

  /** Stops taking part. Whatever waits is refused; the store is closed. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    if (this.#ticker !== null) clearInterval(this.#ticker)
    this.#participation.stop()
    this.#store.giveUp()
    try {
      await this.#driver.written()
      await this.#snapshots.saved()
      // The commit index is all that can be left; a full disk may go without it.
      if (this.#participation.failure === null && this.diskFull === null) await this.#writer.finish()
    } finally {
      await this.#store.close()
    }
  }

  /** Refuses whatever waits. What is in the log may be replicated and survive this node: its outcome is unknown. */
  #end(): void {
    const error = this.ended ?? noLeader()
    this.#proposals.rejectQueued(error)
    this.#proposals.rejectPending(outcomeUnknown(error))
    this.#reads.rejectAll(error)
    this.#applier.rejectWaiting(error)
    this.#expiry.clear()
    this.#status.notice()
  }

  // ---- what others send ----------------------------------------------------------------------------------------

  /** `Inbox.receive`: takes a frame from the peer `from`, which the transport has authenticated. */
  receive(from: string, payload: Uint8Array): void {
    this.#inbox.receive(from, payload)
  }

  /** `Inbox.snapshotProgress`. @throws ConsensusError */
  snapshotProgress(from: string, about: SnapshotSubject): Promise<SnapshotProgress> {
    return this.#inbox.snapshotProgress(from, about)
  }

  /** `Inbox.receiveSnapshot`. @throws ConsensusError, CodecError */
  receiveSnapshot(from: string, part: SnapshotPart): Promise<void> {
    return this.#inbox.receiveSnapshot(from, part)
  }

  /** The connection to a peer broke, or the failure detector gave it up. */
  peerLost(peer: string): void {
    this.#driver.peerLost(peer)
  }

  // ---- proposals and reads -------------------------------------------------------------------------------------

  /** `ProposalIntake.propose`: proposes on this node. @throws ConsensusError */
  proposeLocal(record: Omit<LogRecord, 'at'>): Promise<CommandResult> {
    return this.#intake.propose(record)
  }

  /**
   * Confirms leadership with a quorum and answers the index a read must have applied. `mayUseLease`: a quorum that was asked
   * a moment ago, and promised to elect nobody else meanwhile, is enough, if leases are on. @throws ConsensusError
   */
  confirmRead(mayUseLease: boolean): Promise<number> {
    const { raft } = this.#driver
    const { ended } = this
    if (ended !== null) return Promise.reject(ended)
    if (raft === null || !this.isLeader) return Promise.reject(noLeader())
    if (mayUseLease && this.leaseReads && !raft.leaseForfeited && this.#lease.isValid)
      return Promise.resolve(raft.log.committedIndex)
    const confirmed = this.#reads.wait((id) => raft.readIndex(id, mayUseLease))
    this.#driver.pump()
    return confirmed
  }

  /** `Applier.waitApplied`: resolves once everything up to `index` is applied here. */
  waitApplied(index: number): { promise: Promise<void>; cancel: () => void } {
    return this.#applier.waitApplied(index, this.ended)
  }

  /** `SessionExpiry.renew`. Call only on a leader that has just confirmed its leadership. @throws ConsensusError */
  renew(id: string): Session | null {
    return this.#sessions.renew(id)
  }
}
