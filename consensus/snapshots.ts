import type { Logger } from 'pino'
import type { Clock } from './clock.ts'
import { isConsensusError } from './errors.ts'
import type { ReplicaMetrics } from './metrics.ts'
import { composeMessage } from './raft/outgoing.ts'
import type { Raft } from './raft/raft.ts'
import { invariant, type Message, type NodeId, type SnapshotMeta } from './raft/types.ts'
import type { SnapshotProgress } from './rpc.ts'
import { type ReceivedSnapshot, SnapshotReceiver } from './snapshot-receiver.ts'
import { type SnapshotPart, type SnapshotSubject, sendSnapshot } from './snapshot-transfer.ts'
import type { StateMachine } from './state/state-machine.ts'
import type { LogStore } from './storage/log-store.ts'
import type { Transport } from './transport.ts'

/** When snapshots are taken and how long to wait before one is sent again. */
export interface SnapshotOptions {
  readonly snapshotEntries: number
  readonly snapshotBytes: number
  readonly keepEntries: number
  readonly retryMs: number
}

/** What snapshots are made, kept and sent with. */
export interface SnapshotCollaborators {
  readonly store: LogStore
  readonly transport: Transport
  readonly log: Logger
  readonly clock: Clock
  readonly metrics: ReplicaMetrics | null
}

/** Approximate bytes of an entry beside its data. */
const ENTRY_OVERHEAD_BYTES = 32

/** Records that are counted as they are read. */
class CountedRecords implements Iterable<Uint8Array> {
  readonly #records: Iterable<Uint8Array>
  bytes = 0

  constructor(records: Iterable<Uint8Array>) {
    this.#records = records
  }

  *[Symbol.iterator](): Generator<Uint8Array> {
    for (const record of this.#records) {
      this.bytes += record.length
      yield record
    }
  }
}

/** The stored snapshot from its beginning, if it is still this one. @throws Error if another has taken its place. */
async function* read(store: LogStore, meta: SnapshotMeta): AsyncGenerator<Uint8Array> {
  const snapshot = store.readSnapshot()
  if (snapshot === null) throw new Error('there is no snapshot')
  // Read on only inside of the loop, which closes what `readSnapshot` opened.
  for await (const record of snapshot.records) {
    if (snapshot.meta.index !== meta.index || snapshot.meta.term !== meta.term) {
      throw new Error(`snapshot ${snapshot.meta.index} took its place`)
    }
    yield record
  }
}

/** The snapshots of one replica: taken, sent, received, taken over. */
export class Snapshots {
  readonly #options: SnapshotOptions
  readonly #with: SnapshotCollaborators
  readonly #receiver = new SnapshotReceiver()
  /** Peers a snapshot is on its way to. */
  readonly #sendingTo = new Set<NodeId>()
  /** Handed over while the protocol decides whether it takes it. */
  #offered: ReceivedSnapshot | null = null
  #bytesSince = 0
  /** After a full disk none is taken before this time. */
  #notBefore = 0
  #saving: Promise<void> | null = null

  constructor(options: SnapshotOptions, collaborators: SnapshotCollaborators) {
    this.#options = options
    this.#with = collaborators
  }

  /** Accounts for an applied entry of this many bytes. */
  count(dataBytes: number): void {
    this.#bytesSince += dataBytes + ENTRY_OVERHEAD_BYTES
  }

  /** Saves a snapshot of the applied state if enough was applied since the last. Fails through `onError`. */
  takeIfDue(raft: Raft, state: StateMachine, onError: (error: Error) => void): void {
    const { snapshotEntries, snapshotBytes, keepEntries } = this.#options
    const index = state.appliedIndex
    const due = index - raft.latestSnapshot.index >= snapshotEntries || this.#bytesSince >= snapshotBytes
    const term = raft.log.termAt(index)
    const { clock, log, metrics, store } = this.#with
    if (!due || this.#saving !== null || term === undefined || clock.now() < this.#notBefore) return
    this.#bytesSince = 0
    const meta: SnapshotMeta = { index, term, configuration: raft.configuration }
    const compactTo = Math.max(raft.log.snapshotIndex, index - keepEntries)
    const started = clock.now()
    const records = new CountedRecords(state.snapshot())
    this.#saving = store
      .saveSnapshot(meta, records, compactTo)
      .then(() => {
        raft.snapshotSaved(meta, compactTo)
        const { bytes } = records
        const ms = clock.now() - started
        metrics?.snapshots.done('taken', { index, bytes, ms, wallMs: clock.wall() })
        log.info({ index, bytes, ms: Math.round(ms) }, 'took a snapshot')
      })
      .catch((error: Error) => {
        metrics?.snapshots.failed('taken')
        if (!isConsensusError(error, 'CST_DISK_FULL')) return onError(error)
        this.#notBefore = clock.now() + this.#options.retryMs
        log.warn({ index }, 'no snapshot was taken: the disk is full')
      })
      .finally(() => {
        this.#saving = null
      })
  }

  /** Resolves when none is being saved. */
  async saved(): Promise<void> {
    await this.#saving
  }

  /**
   * Sends the last saved snapshot, going on where an earlier try ended. Answers whether it arrived; null if one is on its
   * way already: a second would make the peer drop the first, whose failure would start a third, and so on. After a
   * failure the answer waits a little.
   */
  async send(to: NodeId, about: SnapshotSubject): Promise<boolean | null> {
    if (this.#sendingTo.has(to)) return null
    this.#sendingTo.add(to)
    const { log, store, transport, clock, metrics } = this.#with
    const { index } = about.meta
    const started = clock.now()
    let ok = false
    try {
      log.info({ to, index }, 'sending a snapshot')
      const open = () => read(store, about.meta)
      const { retryMs } = this.#options
      const { parts, bytes } = await sendSnapshot(transport, to, about, open, { retryMs })
      const ms = clock.now() - started
      metrics?.snapshots.done('sent', { index, bytes, ms, wallMs: clock.wall() })
      log.info({ to, index, parts, bytes, ms: Math.round(ms) }, 'a snapshot arrived')
      ok = true
    } catch (error) {
      metrics?.snapshots.failed('sent')
      log.warn({ to, err: error }, 'a snapshot could not be delivered; it will be sent again')
      await new Promise((resolve) => setTimeout(resolve, this.#options.retryMs))
    }
    this.#sendingTo.delete(to)
    return ok
  }

  /** How much is here of the snapshot `from` asks about. @throws ConsensusError */
  progress(from: NodeId, about: SnapshotSubject): Promise<Omit<SnapshotProgress, 'done'>> {
    return this.#receiver.progress(from, about)
  }

  /** Takes one part; calls `deliver` with the snapshot once it is whole. @throws ConsensusError, CodecError */
  async receive(
    from: NodeId,
    part: SnapshotPart,
    deliver: (received: ReceivedSnapshot) => void,
  ): Promise<void> {
    try {
      await this.#receiver.add(from, part, this.#with.clock.now(), deliver)
    } catch (error) {
      this.#with.log.warn({ from, part: part.part, err: error }, 'a part of a snapshot was refused')
      this.#with.metrics?.snapshots.failed('installed')
      throw error
    }
  }

  /** Drops a transfer whose sender fell silent. */
  expire(now: number): void {
    this.#receiver.expire(now)
  }

  /** Holds `received` ready while `decide` runs, in which the protocol may take it over; never beyond that turn. */
  offer(received: ReceivedSnapshot, decide: () => void): void {
    this.#offered = received
    decide()
    this.#offered = null
  }

  /** The state of the snapshot on offer, which the protocol has taken. */
  adopt(meta: SnapshotMeta): StateMachine {
    const offered = this.#offered
    invariant(
      offered !== null && offered.meta.index === meta.index && offered.meta.term === meta.term,
      `the data of snapshot ${meta.index} is there`,
    )
    this.#bytesSince = 0
    const { clock, metrics, log } = this.#with
    const { bytes, startedAt } = offered
    const { index } = meta
    metrics?.snapshots.done('installed', { index, bytes, ms: clock.now() - startedAt, wallMs: clock.wall() })
    log.info({ index, bytes }, 'took over a snapshot')
    return offered.state
  }
}

/** A snapshot's data comes in parts; once it is whole the protocol sees it as this message. */
export function snapshotMessage(from: NodeId, to: NodeId, term: number, snapshot: SnapshotMeta): Message {
  return composeMessage('snapshot', from, to, term, { snapshot })
}
