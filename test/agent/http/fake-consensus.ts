import type {
  ByteKey,
  CallOptions,
  Command,
  CommandResult,
  ConsensusClient,
  ConsensusStatus,
  Consistency,
  KvEntry,
  RaftPeer,
  ReadResult,
  Session,
  StateView,
  WatchSelector,
} from '../../../consensus/client.ts'
import { type ConsensusError, noLeader, refused } from '../../../consensus/errors.ts'

/** A one-node KV in memory that behaves as the contract says. Sessions are just names it is told of. */
export class FakeConsensus implements ConsensusClient, StateView {
  appliedIndex = 7
  sessionsIndex = 1
  leader: string | null = 'peer-1'
  /** What the status says besides. */
  extra: Partial<ConsensusStatus> = {}
  /** Thrown by the next write instead of applying it. */
  nextError: ConsensusError | null = null
  readonly knownSessions = new Set<string>()
  readonly removed: string[] = []
  /** Names of the cordoned nodes by id. */
  readonly cordons = new Map<string, string>()
  readonly proposals: { command: Command; options: CallOptions | undefined }[] = []
  readonly reads: { consistency: Consistency; options: CallOptions | undefined }[] = []
  readonly #entries = new Map<ByteKey, KvEntry>()
  readonly #tombstones = new Map<ByteKey, number>()
  readonly #watchers = new Set<{ selector: WatchSelector; listener: () => void }>()
  readonly #statusListeners = new Set<(status: ConsensusStatus) => void>()
  #tableIndex = 7

  get watching(): number {
    return this.#watchers.size
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
      view: this,
      knownLeader: this.leader !== null,
      lastContactMs: this.leader === null ? Number.POSITIVE_INFINITY : 0,
    }
  }

  async renewSession(): Promise<Session | null> {
    return null
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
  }

  async uncordon(id: string): Promise<void> {
    this.cordons.delete(id)
  }

  watch(selector: WatchSelector, listener: () => void): () => void {
    const watcher = { selector, listener }
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
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
    this.#notify(key)
  }

  kvGet(key: ByteKey): KvEntry | undefined {
    return this.#entries.get(key)
  }

  kvList(prefix: ByteKey): KvEntry[] {
    return [...this.#entries.values()]
      .filter((entry) => entry.key.startsWith(prefix))
      .sort((a, b) => (a.key < b.key ? -1 : 1))
  }

  kvPrefixIndex(prefix: ByteKey): number {
    if (prefix === '') return this.#tableIndex
    const below = [
      ...this.kvList(prefix).map((entry) => entry.modifyIndex),
      ...[...this.#tombstones].filter(([key]) => key.startsWith(prefix)).map(([, index]) => index),
    ]
    return below.length === 0 ? this.#tableIndex : Math.max(...below)
  }

  session(): Session | undefined {
    return undefined
  }

  sessions(): Session[] {
    return []
  }

  #apply(command: Command): CommandResult {
    const index = ++this.appliedIndex
    switch (command.type) {
      case 'kv.set': {
        const old = this.#entries.get(command.key)
        const lost =
          command.cas !== undefined &&
          (command.cas === 0 ? old !== undefined : old?.modifyIndex !== command.cas)
        if (!lost)
          this.#put({ ...command, session: old?.session ?? null, lockIndex: old?.lockIndex ?? 0 }, index)
        return { index, ok: !lost }
      }
      case 'kv.acquire': {
        if (!this.knownSessions.has(command.session)) {
          return { index, ok: false, error: `invalid session "${command.session}"` }
        }
        const old = this.#entries.get(command.key)
        if (old !== undefined && old.session !== null && old.session !== command.session) {
          return { index, ok: false }
        }
        const lockIndex = (old?.lockIndex ?? 0) + (old?.session === command.session ? 0 : 1)
        this.#put({ ...command, lockIndex }, index)
        return { index, ok: true }
      }
      case 'kv.release': {
        const old = this.#entries.get(command.key)
        if (old?.session !== command.session) return { index, ok: false }
        this.#put({ ...command, session: null, lockIndex: old.lockIndex }, index)
        return { index, ok: true }
      }
      case 'kv.delete': {
        const old = this.#entries.get(command.key)
        if (old === undefined) return { index, ok: true }
        if (command.cas !== undefined && command.cas !== old.modifyIndex) return { index, ok: false }
        this.#remove(command.key, index)
        return { index, ok: true }
      }
      case 'kv.deleteTree':
        for (const { key } of this.kvList(command.prefix)) this.#remove(key, index)
        return { index, ok: true }
      default:
        return { index, ok: false, error: 'not in this fake' }
    }
  }

  #put(entry: Omit<KvEntry, 'createIndex' | 'modifyIndex'>, index: number): void {
    const { key, value, flags, session, lockIndex } = entry
    const old = this.#entries.get(key)
    const same =
      old !== undefined &&
      Buffer.compare(old.value, value) === 0 &&
      old.flags === flags &&
      old.session === session
    if (same) return
    this.#entries.set(key, {
      key,
      value,
      flags,
      session,
      lockIndex,
      createIndex: old?.createIndex ?? index,
      modifyIndex: index,
    })
    this.#tombstones.delete(key)
    this.#tableIndex = index
    this.#notify(key)
  }

  #remove(key: ByteKey, index: number): void {
    this.#entries.delete(key)
    this.#tombstones.set(key, index)
    this.#tableIndex = index
    this.#notify(key)
  }

  #notify(key: ByteKey): void {
    for (const { selector, listener } of [...this.#watchers]) {
      if (selector.kind === 'key' && selector.key === key) listener()
      if (selector.kind === 'prefix' && key.startsWith(selector.prefix)) listener()
    }
  }
}
