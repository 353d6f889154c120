import { ConsensusError } from '../../consensus/errors.ts'
import type { HardState, SnapshotMeta } from '../../consensus/raft/types.ts'
import type {
  LogStore,
  LogWrite,
  Pledge,
  StoredState,
  StoreIdentity,
} from '../../consensus/storage/log-store.ts'
import type { MemoryStore } from '../../consensus/storage/memory-store.ts'

function diskFull(): ConsensusError {
  return new ConsensusError('CST_DISK_FULL', 'the disk is full', { retryable: true })
}

/** Opening and writes of a store, by name. */
export type StoreWrite = 'open' | 'setPledge' | 'initialise' | 'write' | 'saveSnapshot' | 'installSnapshot'

/** A store in memory whose disk can be slow, fail, or be taken away from a process that died. */
export class FaultyStore implements LogStore {
  readonly disk: MemoryStore
  #dead = false
  #gate: Promise<void> = Promise.resolve()
  #open = () => {}
  #holds: ReadonlySet<StoreWrite> = new Set()
  #failure: Error | null = null
  #full: (kind: StoreWrite) => boolean = () => false
  #mustRecover = false
  /** How many writes wait at the gate. */
  waiting = 0

  constructor(disk: MemoryStore) {
    this.disk = disk
  }

  /** Writes of these kinds wait until `release`. */
  hold(...kinds: StoreWrite[]): void {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#holds = new Set(kinds)
    this.#gate = promise
    this.#open = resolve
  }

  release(): void {
    this.#holds = new Set()
    this.#open()
  }

  /** Every further write fails. */
  fail(error: Error): void {
    this.#failure = error
  }

  /** The disk is full for these writes, or for all: they fail until `free` was called and the store was recovered. */
  fill(...kinds: StoreWrite[]): void {
    this.#full = (kind) => kinds.length === 0 || kinds.includes(kind)
  }

  free(): void {
    this.#full = () => false
  }

  async recover(): Promise<void> {
    if (this.#full('open')) throw diskFull()
    this.#mustRecover = false
  }

  /** The process that used this store is dead: nothing it still wants to write reaches the disk. Answers a new store. */
  cut(): FaultyStore {
    this.#dead = true
    this.release()
    return new FaultyStore(this.disk)
  }

  async #pass(kind: StoreWrite): Promise<void> {
    if (this.#holds.has(kind)) {
      this.waiting++
      await this.#gate
      this.waiting--
    } else {
      // A disk always takes a turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve))
    }
    if (this.#dead) throw new Error('this process is dead')
    if (this.#failure !== null) throw this.#failure
    this.#mustRecover ||= this.#full(kind)
    if (this.#mustRecover) throw diskFull()
  }

  async open(): Promise<StoredState> {
    await this.#pass('open')
    return this.disk.open()
  }

  async setPledge(pledge: Pledge | null): Promise<void> {
    await this.#pass('setPledge')
    await this.disk.setPledge(pledge)
  }

  async initialise(
    identity: StoreIdentity,
    snapshot: SnapshotMeta,
    records: Iterable<Uint8Array>,
    hardState: HardState,
  ): Promise<void> {
    await this.#pass('initialise')
    await this.disk.initialise(identity, snapshot, records, hardState)
  }

  async write(write: LogWrite): Promise<void> {
    await this.#pass('write')
    await this.disk.write(write)
  }

  async saveSnapshot(meta: SnapshotMeta, records: Iterable<Uint8Array>, compactTo: number): Promise<void> {
    await this.#pass('saveSnapshot')
    await this.disk.saveSnapshot(meta, records, compactTo)
  }

  async installSnapshot(
    meta: SnapshotMeta,
    records: Iterable<Uint8Array>,
    hardState: HardState,
  ): Promise<void> {
    await this.#pass('installSnapshot')
    await this.disk.installSnapshot(meta, records, hardState)
  }

  readSnapshot(): { meta: SnapshotMeta; records: AsyncIterable<Uint8Array> } | null {
    return this.disk.readSnapshot()
  }

  async close(): Promise<void> {}
}
