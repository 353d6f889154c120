import { type ConsensusError, isConsensusError } from '../errors.ts'
import type { HardState, SnapshotMeta } from '../raft/types.ts'
import type { LogStore, LogWrite, Pledge, StoredState, StoreIdentity } from './log-store.ts'

/** Settings of a patient store. */
export interface PatientStoreOptions {
  /** How long to wait before a full disk is tried again. */
  readonly retryMs: number
}

/** What a patient store tells. */
export interface PatientStoreListeners {
  /** The disk is full: what is being written waits. */
  readonly full: (error: ConsensusError) => void
  /** There is room again, and the store works. */
  readonly recovered: () => void
}

/** Hands out what `source` does, again from the start for everybody who asks. */
function replayable(source: Iterable<Uint8Array>): Iterable<Uint8Array> {
  const iterator = source[Symbol.iterator]()
  const seen: Uint8Array[] = []
  return {
    *[Symbol.iterator]() {
      for (let i = 0; ; i++) {
        if (i === seen.length) {
          const next = iterator.next()
          if (next.done === true) return
          seen.push(next.value)
        }
        yield seen[i] as Uint8Array
      }
    },
  }
}

/**
 * A LogStore whose writes wait while the disk is full, instead of failing: the store beneath is opened anew until there is
 * room, and then the same write is made again. Nobody was told that it is durable, so nothing that was promised waits with
 * it. A snapshot of this node's own is worth no wait: that call fails.
 */
export class PatientStore implements LogStore {
  readonly #options: PatientStoreOptions
  readonly #store: LogStore
  readonly #listeners: PatientStoreListeners
  readonly #underWay = new Set<Promise<unknown>>()
  #full: ConsensusError | null = null
  #recovering: Promise<void> | null = null
  #giveUp: PromiseWithResolvers<void> | null = Promise.withResolvers<void>()

  constructor(options: PatientStoreOptions, store: LogStore, listeners: PatientStoreListeners) {
    this.#options = options
    this.#store = store
    this.#listeners = listeners
  }

  /** Why writes wait; null while the store works. */
  get full(): ConsensusError | null {
    return this.#full
  }

  /** Ends the wait: what waits for room, and whatever comes later and finds none, fails with `CST_DISK_FULL`. */
  giveUp(): void {
    this.#giveUp?.resolve()
    this.#giveUp = null
  }

  open(): Promise<StoredState> {
    return this.#store.open()
  }

  setPledge(pledge: Pledge | null): Promise<void> {
    return this.#repeat(() => this.#store.setPledge(pledge))
  }

  initialise(
    identity: StoreIdentity,
    snapshot: SnapshotMeta,
    records: Iterable<Uint8Array>,
    hardState: HardState,
  ): Promise<void> {
    const again = replayable(records)
    return this.#repeat(() => this.#store.initialise(identity, snapshot, again, hardState))
  }

  write(write: LogWrite): Promise<void> {
    return this.#repeat(() => this.#store.write(write))
  }

  async saveSnapshot(meta: SnapshotMeta, records: Iterable<Uint8Array>, compactTo: number): Promise<void> {
    if (this.#full !== null) throw this.#full
    try {
      await this.#track(this.#store.saveSnapshot(meta, records, compactTo))
    } catch (error) {
      // The store beneath takes no further write before it is opened anew.
      if (isConsensusError(error, 'CST_DISK_FULL')) this.#recover(error).catch(() => {})
      throw error
    }
  }

  installSnapshot(meta: SnapshotMeta, records: Iterable<Uint8Array>, hardState: HardState): Promise<void> {
    const again = replayable(records)
    return this.#repeat(() => this.#store.installSnapshot(meta, again, hardState))
  }

  readSnapshot(): ReturnType<LogStore['readSnapshot']> {
    return this.#store.readSnapshot()
  }

  recover(): Promise<void> {
    return this.#store.recover()
  }

  async close(): Promise<void> {
    this.giveUp()
    await this.#recovering?.catch(() => {})
    await this.#store.close()
  }

  async #repeat(call: () => Promise<void>): Promise<void> {
    for (;;) {
      if (this.#recovering !== null) await this.#recovering
      try {
        return await this.#track(call())
      } catch (error) {
        if (!isConsensusError(error, 'CST_DISK_FULL')) throw error
        await this.#recover(error)
      }
    }
  }

  #track(call: Promise<void>): Promise<void> {
    this.#underWay.add(call)
    return call.finally(() => this.#underWay.delete(call))
  }

  /** One recovery at a time, whoever met the full disk. @throws `CST_DISK_FULL` when it was given up */
  #recover(error: ConsensusError): Promise<void> {
    this.#recovering ??= this.#recoverOnce(error).finally(() => {
      this.#recovering = null
    })
    return this.#recovering
  }

  async #recoverOnce(error: ConsensusError): Promise<void> {
    if (this.#giveUp === null) throw error
    this.#full = error
    this.#listeners.full(error)
    for (;;) {
      await this.#pause()
      if (this.#giveUp === null) throw error
      await Promise.allSettled(this.#underWay)
      try {
        await this.#store.recover()
        break
      } catch (failure) {
        if (!isConsensusError(failure, 'CST_DISK_FULL')) throw failure
      }
    }
    this.#full = null
    this.#listeners.recovered()
  }

  async #pause(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const elapsed = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.retryMs)
    })
    await Promise.race([elapsed, this.#giveUp?.promise])
    clearTimeout(timer)
  }
}
