import { CodecError, decodeRecord, encodeRecord, type LogRecord } from './codec.ts'
import { Deduplication, type OriginRecord } from './deduplication.ts'
import {
  deleteKey,
  deleteTree,
  type KeyStore,
  type LockRules,
  lockKey,
  setKey,
  unlockKey,
} from './key-operations.ts'
import { KeyValueTable, type Marks, type Tombstone } from './key-value.ts'
import { isOfCluster } from './keys.ts'
import { RecentChanges } from './recent-changes.ts'
import { RestoreStaging, type StagingHead } from './restore.ts'
import { Draft, evaluateTransaction, isSame, readTransaction } from './transaction.ts'
import type {
  ByteKey,
  ChangePosition,
  Command,
  CommandResult,
  KeyRecord,
  KvEntry,
  KvOperation,
  Session,
  StateView,
  TransactionOutcome,
} from './types.ts'

/** What applying one entry changed, for watchers. */
export interface Changes {
  readonly keys: ReadonlySet<ByteKey>
  readonly sessions: boolean
}

/** Result of an entry and what it changed. */
export interface Applied {
  readonly result: CommandResult
  readonly changes: Changes
}

type SnapshotRecord =
  | {
      readonly kind: 'head'
      readonly appliedIndex: number
      readonly lastAt: number
      readonly sessionsIndex: number
    }
  | { readonly kind: 'kv'; readonly entry: KvEntry }
  | { readonly kind: 'tombstones'; readonly tombstones: readonly Tombstone[] }
  | { readonly kind: 'marks'; readonly marks: Marks }
  | { readonly kind: 'session'; readonly session: Session }
  | { readonly kind: 'lockDelay'; readonly key: ByteKey; readonly until: number }
  | { readonly kind: 'origin'; readonly origin: OriginRecord }
  | { readonly kind: 'restore'; readonly head: StagingHead }
  | { readonly kind: 'restorePart'; readonly records: readonly KeyRecord[] }
  | { readonly kind: 'end'; readonly records: number }

/**
 * The replicated state: KV store, sessions, locks. Deterministic: the same log gives the same state on every node; the
 * only time is the one the leader stamped on the entry. Semantics: Consul's KV and session API.
 */
export class StateMachine implements StateView {
  appliedIndex = 0
  sessionsIndex = 1
  #kv = new KeyValueTable()
  readonly #sessions = new Map<string, Session>()
  /** Keys each session holds. */
  readonly #held = new Map<string, Set<ByteKey>>()
  /** Until when (log time) a key may not be locked again. */
  readonly #lockDelays = new Map<ByteKey, number>()
  readonly #deduplication = new Deduplication()
  readonly #staging = new RestoreStaging()
  readonly #recent = new RecentChanges()
  /** Keys with a TTL. */
  readonly #expiring = new Set<ByteKey>()
  #lastAt = 0
  /** Of the entry that is being applied. */
  #index = 0
  #changedKeys = new Set<ByteKey>()
  #changedSessions = false

  kvGet(key: ByteKey): KvEntry | undefined {
    return this.#kv.get(key)
  }

  kvList(prefix: ByteKey): KvEntry[] {
    return this.#kv.list(prefix)
  }

  kvPrefixIndex(prefix: ByteKey): number {
    return this.#kv.prefixIndex(prefix)
  }

  kvChanges(after: ChangePosition, prefix: ByteKey, limit: number): ReturnType<StateView['kvChanges']> {
    if (after.index > this.appliedIndex) return null
    const known = this.#recent.after(after, prefix, limit)
    if (known !== null) return known
    // What is forgotten does not matter if none of it was below the prefix.
    const changedAt = this.#kv.lastChange(prefix)
    const isMissed = after.ordinal === null ? changedAt > after.index : changedAt >= after.index
    return isMissed ? null : { changes: [], position: { index: this.appliedIndex, ordinal: null } }
  }

  readTransaction(operations: readonly KvOperation[]): TransactionOutcome {
    return readTransaction(this, operations)
  }

  /** Time of the log as of the last applied entry: the largest any entry was stamped with. Milliseconds from no known moment. */
  get logTime(): number {
    return this.#lastAt
  }

  /** The keys with a TTL. */
  *expiringKeys(): Generator<KvEntry> {
    for (const key of this.#expiring) {
      const entry = this.#kv.get(key)
      if (entry !== undefined) yield entry
    }
  }

  session(id: string): Session | undefined {
    return this.#sessions.get(id)
  }

  sessions(): Session[] {
    return [...this.#sessions.values()]
  }

  /** Applies a log entry that carries no command (a new leader's first entry, a configuration change). */
  skip(index: number): void {
    this.appliedIndex = index
  }

  /** Applies one command. A repeated one (same origin and sequence) answers what the first one did. */
  apply(index: number, record: LogRecord): Applied {
    this.appliedIndex = index
    this.#changedKeys = new Set()
    this.#changedSessions = false
    const { origin, sequence, acknowledged, command } = record
    const known = this.#deduplication.find(origin, sequence)
    if (known !== undefined) return { result: known, changes: this.#changes() }
    if (this.#deduplication.isSettled(origin, sequence)) {
      return { result: { index, ok: false, error: 'repeated proposal' }, changes: this.#changes() }
    }
    // A new leader's clock may be behind: log time never goes back.
    this.#lastAt = Math.max(this.#lastAt, record.at)
    this.#staging.expire(this.#lastAt)
    this.#index = index
    const outcome = this.#execute(command)
    const result: CommandResult =
      typeof outcome === 'object'
        ? { index, ok: outcome.errors.length === 0, transaction: outcome }
        : typeof outcome === 'boolean'
          ? { index, ok: outcome }
          : { index, ok: false, error: outcome }
    this.#deduplication.record(origin, sequence, acknowledged, result)
    this.#recent.add(index, this.#changedKeys, (key) => this.#kv.get(key))
    return { result, changes: this.#changes() }
  }

  #changes(): Changes {
    return { keys: this.#changedKeys, sessions: this.#changedSessions }
  }

  #execute(command: Command): boolean | string | TransactionOutcome {
    const index = this.#index
    switch (command.type) {
      case 'kv.set': {
        const { cas, ttlMs } = command
        return setKey(this.#store, { ...command, index }, { cas, ttlMs })
      }
      case 'kv.acquire': {
        const outcome = lockKey(this.#store, this.#rules, { ...command, index }, command.session)
        return typeof outcome === 'object' ? outcome.error : outcome === 'locked'
      }
      case 'kv.release': {
        const done = unlockKey(this.#store, { ...command, index }, command.session)
        return typeof done === 'object' ? done.error : done
      }
      case 'kv.delete':
        return deleteKey(this.#store, command.key, command.cas)
      case 'kv.deleteTree':
        deleteTree(this.#store, command.prefix)
        return true
      case 'kv.expire':
        return this.#expire(command.key, command.renewIndex)
      case 'kv.txn':
        return this.#transact(command.operations)
      case 'session.create':
        return this.#createSession(index, { ...command.session, createIndex: index, modifyIndex: index })
      case 'session.destroy':
        this.#destroySession(index, command.id)
        return true
      case 'restore.begin':
        return this.#staging.begin(command.id, this.#lastAt)
      case 'restore.part':
        return this.#staging.add(command.id, command.part, command.records, this.#lastAt)
      case 'restore.commit': {
        const keys = this.#staging.take(command.id, command.parts, command.crc)
        return typeof keys === 'string' ? keys : this.#replaceKeys(index, keys)
      }
      default:
        return `unknown command ${(command as { type: string }).type}`
    }
  }

  readonly #store: KeyStore = {
    get: (key) => this.#kv.get(key),
    list: (prefix) => this.#kv.list(prefix),
    put: (entry) => this.#put(entry),
    remove: (key) => this.#remove(this.#index, key),
  }

  readonly #rules: LockRules = {
    hasSession: (id) => this.#sessions.has(id),
    isDelayed: (key) => (this.#lockDelays.get(key) ?? 0) > this.#lastAt,
  }

  #put(entry: KvEntry): void {
    const before = this.#kv.get(entry.key)
    // An unchanged write does not bump the index, so it wakes no watcher.
    if (before !== undefined && isSame(before, entry)) {
      if (entry.ttl !== undefined) this.#kv.touch({ ...before, ttl: entry.ttl })
      return
    }
    this.#replace(entry)
  }

  #replace(entry: KvEntry): void {
    const before = this.#kv.get(entry.key)
    if (before?.session !== entry.session) {
      if (before?.session) this.#held.get(before.session)?.delete(entry.key)
      if (entry.session !== null) this.#held.get(entry.session)?.add(entry.key)
    }
    this.#kv.put(entry)
    this.#noteTtl(entry)
    this.#changedKeys.add(entry.key)
  }

  #noteTtl(entry: KvEntry): void {
    if (entry.ttl === undefined) this.#expiring.delete(entry.key)
    else this.#expiring.add(entry.key)
  }

  #remove(index: number, key: ByteKey): void {
    const before = this.#kv.get(key)
    if (before === undefined) return
    if (before.session !== null) this.#held.get(before.session)?.delete(key)
    this.#kv.remove(key, index)
    this.#expiring.delete(key)
    this.#changedKeys.add(key)
  }

  #expire(key: ByteKey, renewIndex: number): boolean {
    if (this.#kv.get(key)?.ttl?.renewIndex !== renewIndex) return false
    this.#remove(this.#index, key)
    return true
  }

  #transact(operations: readonly KvOperation[]): TransactionOutcome {
    const draft = new Draft(this.#store)
    const outcome = evaluateTransaction(draft, this.#rules, this.#index, operations)
    if (outcome.errors.length === 0) {
      draft.commit({ replace: (entry) => this.#replace(entry), remove: this.#store.remove })
    }
    return outcome
  }

  #createSession(index: number, session: Session): boolean | string {
    if (this.#sessions.has(session.id)) return `session "${session.id}" exists`
    this.#sessions.set(session.id, session)
    this.#held.set(session.id, new Set())
    this.sessionsIndex = index
    this.#changedSessions = true
    return true
  }

  #destroySession(index: number, id: string): void {
    const session = this.#sessions.get(id)
    if (session === undefined) return
    for (const key of [...(this.#held.get(id) ?? [])].sort()) {
      const entry = this.#kv.get(key)
      if (entry === undefined) continue
      if (session.behavior === 'delete') this.#remove(index, key)
      else this.#put({ ...entry, session: null, modifyIndex: index })
      if (session.lockDelayMs > 0) this.#lockDelays.set(key, this.#lastAt + session.lockDelayMs)
    }
    this.#sessions.delete(id)
    this.#held.delete(id)
    for (const [key, until] of this.#lockDelays) if (until <= this.#lastAt) this.#lockDelays.delete(key)
    this.sessionsIndex = index
    this.#changedSessions = true
  }

  /**
   * Makes keys, values and flags those of a backup. Locks are of this moment, not of the backup: a locked key keeps its
   * holder, and its value if the backup lacks it. Leases, cordons and keys that go by themselves are left alone.
   */
  #replaceKeys(index: number, keys: ReadonlyMap<ByteKey, KeyRecord>): true {
    for (const { key, session, ttl } of this.#kv.list('')) {
      if (!keys.has(key) && session === null && ttl === undefined && !isOfCluster(key))
        this.#remove(index, key)
    }
    for (const { key, value, flags } of keys.values()) {
      if (!isOfCluster(key)) setKey(this.#store, { index, key, value, flags })
    }
    return true
  }

  /** The whole state as of now, in records; later changes do not show in it, so it can be written out at leisure. */
  snapshot(): Generator<Uint8Array> {
    const kv = this.#kv.freeze()
    const sessions = [...this.#sessions.values()]
    const lockDelays = [...this.#lockDelays]
    const origins = this.#deduplication.records()
    const { appliedIndex, sessionsIndex } = this
    const lastAt = this.#lastAt
    const staging = this.#staging.freeze()
    function* records(): Generator<SnapshotRecord> {
      yield { kind: 'head', appliedIndex, lastAt, sessionsIndex }
      for (const session of sessions) yield { kind: 'session', session }
      for (const entry of kv.records()) yield { kind: 'kv', entry }
      for (const tombstones of kv.tombstones()) yield { kind: 'tombstones', tombstones }
      yield { kind: 'marks', marks: kv.marks() }
      for (const [key, until] of lockDelays) yield { kind: 'lockDelay', key, until }
      for (const origin of origins) yield { kind: 'origin', origin }
      if (staging === null) return
      yield { kind: 'restore', head: staging.head }
      for (const records of staging.parts) yield { kind: 'restorePart', records }
    }
    function* encoded(): Generator<Uint8Array> {
      let count = 0
      for (const record of records()) {
        count++
        yield encodeRecord(record)
      }
      yield encodeRecord({ kind: 'end', records: count } satisfies SnapshotRecord)
    }
    return encoded()
  }

  /** Builds the state from the records of `snapshot`. Throws CodecError if they are damaged or cut short. */
  static async restore(records: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<StateMachine> {
    const state = new StateMachine()
    let count = 0
    let ended = false
    for await (const bytes of records) {
      const record = decodeRecord(bytes) as SnapshotRecord
      if (ended) throw new CodecError('snapshot goes on behind its end')
      if (record.kind === 'end') {
        if (record.records !== count)
          throw new CodecError(`snapshot has ${count} of ${record.records} records`)
        ended = true
        continue
      }
      count++
      state.#restoreRecord(record)
    }
    if (!ended) throw new CodecError('snapshot is cut short')
    state.#recent.reset(state.appliedIndex)
    return state
  }

  #restoreRecord(record: SnapshotRecord): void {
    switch (record.kind) {
      case 'head':
        this.appliedIndex = record.appliedIndex
        this.sessionsIndex = record.sessionsIndex
        this.#lastAt = record.lastAt
        break
      case 'session':
        this.#sessions.set(record.session.id, record.session)
        this.#held.set(record.session.id, new Set())
        break
      case 'kv':
        this.#kv.put(record.entry)
        this.#noteTtl(record.entry)
        if (record.entry.session !== null) this.#held.get(record.entry.session)?.add(record.entry.key)
        break
      case 'tombstones':
        this.#kv.restoreTombstones(record.tombstones)
        break
      case 'marks':
        this.#kv.restoreMarks(record.marks)
        break
      case 'lockDelay':
        this.#lockDelays.set(record.key, record.until)
        break
      case 'origin':
        this.#deduplication.restore(record.origin)
        break
      case 'restore':
        this.#staging.restoreHead(record.head)
        break
      case 'restorePart':
        this.#staging.restorePart(record.records)
        break
      default:
        throw new CodecError('snapshot holds a record of an unknown kind')
    }
  }
}
