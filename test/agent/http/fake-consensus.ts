import { autopilotCommand, readAutopilot } from '../../../consensus/autopilot.ts'
import type {
  AutopilotConfig,
  AutopilotEntry,
  ByteKey,
  CallOptions,
  Command,
  CommandResult,
  ConsensusClient,
  ConsensusStatus,
  Consistency,
  KvEntry,
  LeaderReport,
  RaftPeer,
  ReadResult,
  Session,
  WatchSelector,
} from '../../../consensus/client.ts'
import { type ConsensusError, noLeader, refused } from '../../../consensus/errors.ts'
import { StateMachine } from '../../../consensus/state/state-machine.ts'
import { Watchers } from '../../../consensus/watchers.ts'
import { SESSION } from '../../consensus/state/machine.ts'

/** The index of the store before the first write of a test. */
const FIRST_INDEX = 7

/** The real state machine behind a door without a log: one node that has agreed with itself. */
export class FakeConsensus implements ConsensusClient {
  leader: string | null = 'peer-1'
  /** What the status says besides. */
  extra: Partial<ConsensusStatus> = {}
  /** Thrown by the next write instead of applying it. */
  nextError: ConsensusError | null = null
  readonly removed: string[] = []
  /** What the leader says of the servers, and how it was asked. */
  leaderReport: LeaderReport = { term: 3, commitIndex: 7, servers: [] }
  readonly reports: (CallOptions | undefined)[] = []
  /** Names of the cordoned nodes by id. */
  readonly cordons = new Map<string, string>()
  /** Ids of those that are drained. */
  readonly drains = new Set<string>()
  readonly proposals: { command: Command; options: CallOptions | undefined }[] = []
  readonly reads: { consistency: Consistency; options: CallOptions | undefined }[] = []
  /** Ids of the sessions that were renewed. */
  readonly renewed: string[] = []
  readonly state = new StateMachine()
  /** Log time, in milliseconds. */
  now = 1_000_000
  readonly #watchers = new Watchers((error) => {
    throw error
  })
  readonly #statusListeners = new Set<(status: ConsensusStatus) => void>()
  #sequence = 0

  constructor() {
    this.state.skip(FIRST_INDEX - 2)
    const key = 'before the test'
    this.#apply({ type: 'kv.set', key, value: new Uint8Array(), flags: 0n })
    this.#apply({ type: 'kv.delete', key })
  }

  get watching(): number {
    return this.#watchers.size
  }

  get appliedIndex(): number {
    return this.state.appliedIndex
  }

  /** A session that never expires. */
  addSession(id: string, more: Partial<Session> = {}): void {
    this.#apply({
      type: 'session.create',
      session: { ...SESSION, id, ...more },
    })
  }

  async propose(command: Command, options?: CallOptions): Promise<CommandResult> {
    this.proposals.push({ command, options })
    if (this.nextError !== null) {
      const error = this.nextError
      this.nextError = null
      throw error
    }
    if (this.leader === null) throw noLeader()
    return this.#apply(command)
  }

  async read(consistency: Consistency, options?: CallOptions): Promise<ReadResult> {
    this.reads.push({ consistency, options })
    if (this.leader === null && consistency !== 'stale') throw noLeader()
    return {
      view: this.state,
      knownLeader: this.leader !== null,
      lastContactMs: this.leader === null ? Number.POSITIVE_INFINITY : 0,
    }
  }

  async renewSession(id: string): Promise<Session | null> {
    if (this.leader === null) throw noLeader()
    this.renewed.push(id)
    return this.state.session(id) ?? null
  }

  async report(options?: CallOptions): Promise<LeaderReport> {
    this.reports.push(options)
    if (this.leader === null) throw noLeader()
    return this.leaderReport
  }

  async autopilot(consistency: Consistency, options?: CallOptions): Promise<AutopilotEntry> {
    return readAutopilot((await this.read(consistency, options)).view)
  }

  async setAutopilot(
    config: Partial<AutopilotConfig>,
    cas?: number,
    options?: CallOptions,
  ): Promise<boolean> {
    return (await this.propose(autopilotCommand(config, cas), options)).ok
  }

  async transferLeadership(to = 'peer-2'): Promise<string> {
    if (to === 'peer-9') throw refused(`${to} does not vote and cannot lead`)
    this.leader = to
    return to
  }

  async removePeer(id: string): Promise<void> {
    if (id === this.leader)
      throw refused(`${id} leads the cluster: transfer leadership to another node first`)
    this.removed.push(id)
  }

  async addVoter(id: string): Promise<'voter' | 'learner'> {
    if (id === 'peer-2') throw refused(`${id} does not answer`)
    return id === 'peer-9' ? 'voter' : 'learner'
  }

  async cordon(id: string, name: string): Promise<void> {
    if (this.leader === null) throw noLeader()
    this.cordons.set(id, name)
    this.drains.delete(id)
  }

  async drain(id: string, name: string): Promise<void> {
    await this.cordon(id, name)
    this.drains.add(id)
  }

  async uncordon(id: string): Promise<void> {
    this.cordons.delete(id)
    this.drains.delete(id)
  }

  watch(selector: WatchSelector, listener: () => void): () => void {
    return this.#watchers.watch(selector, listener)
  }

  status(): ConsensusStatus {
    return {
      id: 'peer-1',
      clusterId: 'cluster-1',
      role: this.leader === 'peer-1' ? 'leader' : 'follower',
      term: 3,
      leader: this.leader,
      commitIndex: this.appliedIndex,
      appliedIndex: this.appliedIndex,
      lastLogIndex: this.appliedIndex,
      firstLogIndex: 1,
      snapshotIndex: 0,
      lastContactMs: this.leader === null ? Number.POSITIVE_INFINITY : 0,
      logEntries: 3,
      logBytes: 210,
      peers: [this.#peer('peer-1', true), this.#peer('peer-2', true), this.#peer('peer-9', false)],
      joint: null,
      cordoned: [...this.cordons.keys()].sort(),
      draining: [...this.drains].sort(),
      supersededBy: null,
      failure: null,
      diskFull: null,
      ...this.extra,
    }
  }

  #peer(id: string, voter: boolean): RaftPeer {
    const isLeading = this.leader === 'peer-1'
    return {
      id,
      voter,
      leader: id === this.leader,
      cordoned: this.cordons.has(id),
      connected: id === 'peer-1',
      matchIndex: isLeading ? this.appliedIndex : null,
      lag: isLeading ? 0 : null,
      state: isLeading ? 'replicate' : null,
      lastHeardMs: isLeading ? 12.5 : null,
      flaps: isLeading ? 0 : null,
      flapping: isLeading ? false : null,
    }
  }

  onStatus(listener: (status: ConsensusStatus) => void): () => void {
    this.#statusListeners.add(listener)
    return () => this.#statusListeners.delete(listener)
  }

  loseLeader(): void {
    this.leader = null
    for (const listener of [...this.#statusListeners]) listener(this.status())
  }

  /** Wakes the watchers of a key although nothing changed. */
  wake(key: ByteKey): void {
    this.#watchers.notify({ keys: new Set([key]), sessions: false })
  }

  kvList(prefix: ByteKey): KvEntry[] {
    return this.state.kvList(prefix)
  }

  #apply(command: Command): CommandResult {
    const sequence = ++this.#sequence
    const { result, changes } = this.state.apply(this.state.appliedIndex + 1, {
      at: this.now,
      origin: 'test',
      sequence,
      acknowledged: sequence,
      command,
    })
    this.#watchers.notify(changes)
    return result
  }
}
