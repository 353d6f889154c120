import type { Entry, HardState, SnapshotMeta } from '../raft/types.ts'
import type { LogStore, LogWrite, Pledge, StoredState, StoreIdentity } from './log-store.ts'

/** A LogStore in memory, for tests and simulations. What was written survives `close` and `open` of the same object. */
export class MemoryStore implements LogStore {
  #identity: StoreIdentity | null = null
  #pledge: Pledge | null = null
  #hardState: HardState = { term: 0, vote: '', commit: 0 }
  #snapshot: SnapshotMeta | null = null
  #records: Uint8Array[] = []
  #entries: Entry[] = []
  #logStart = { index: 0, term: 0 }

  async open(): Promise<StoredState> {
    return {
      identity: this.#identity,
      pledge: this.#pledge,
      hardState: this.#hardState,
      snapshot: this.#snapshot,
      entries: [...this.#entries],
      logStart: this.#logStart,
    }
  }

  async setPledge(pledge: Pledge | null): Promise<void> {
    this.#pledge = pledge
  }

  async initialise(
    identity: StoreIdentity,
    snapshot: SnapshotMeta,
    records: Iterable<Uint8Array>,
    hardState: HardState,
  ): Promise<void> {
    this.#identity = identity
    this.#records = [...records]
    this.#snapshot = snapshot
    this.#hardState = hardState
    this.#entries = []
    this.#logStart = { index: snapshot.index, term: snapshot.term }
  }

  async write({ hardState, entries }: LogWrite): Promise<void> {
    if (hardState !== null) this.#hardState = hardState
    const first = entries[0]
    if (first === undefined) return
    this.#entries.length = first.index - this.#logStart.index - 1
    this.#entries.push(...entries)
  }

  async saveSnapshot(meta: SnapshotMeta, records: Iterable<Uint8Array>, compactTo: number): Promise<void> {
    this.#records = [...records]
    this.#snapshot = meta
    const count = Math.max(0, compactTo - this.#logStart.index)
    const last = this.#entries[count - 1]
    if (last === undefined) return
    this.#entries.splice(0, count)
    this.#logStart = { index: last.index, term: last.term }
  }

  async installSnapshot(
    meta: SnapshotMeta,
    records: Iterable<Uint8Array>,
    hardState: HardState,
  ): Promise<void> {
    this.#records = [...records]
    this.#snapshot = meta
    this.#hardState = hardState
    this.#entries = []
    this.#logStart = { index: meta.index, term: meta.term }
  }

  readSnapshot(): { meta: SnapshotMeta; records: AsyncIterable<Uint8Array> } | null {
    if (this.#snapshot === null) return null
    const records = this.#records
    async function* read(): AsyncGenerator<Uint8Array> {
      yield* records
    }
    return { meta: this.#snapshot, records: read() }
  }

  async recover(): Promise<void> {}

  async close(): Promise<void> {}
}
