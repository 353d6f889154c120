import type { Logger } from 'pino'
import type { Clock } from './clock.ts'
import { isConsensusError } from './errors.ts'
import type { Raft } from './raft/raft.ts'
import { invariant, type Message, type NodeId, type SnapshotMeta } from './raft/types.ts'
import { type ReceivedSnapshot, SnapshotReceiver, sendSnapshot } from './snapshot-transfer.ts'
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
}

/** Approximate bytes of an entry beside its data. */
const ENTRY_OVERHEAD_BYTES = 32

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
    const { clock, log, store } = this.#with
    if (!due || this.#saving !== null || term === undefined || clock.now() < this.#notBefore) return
    this.#bytesSince = 0
    const meta: SnapshotMeta = { index, term, configuration: raft.configuration }
    const compactTo = Math.max(raft.log.snapshotIndex, index - keepEntries)
    const records = state.snapshot()
    this.#saving = store
      .saveSnapshot(meta, records, compactTo)
      .then(() => {
        raft.snapshotSaved(meta, compactTo)
        log.info({ index }, 'took a snapshot')
      })
      .catch((error: Error) => {
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
   * Sends the last saved snapshot. Answers whether it arrived; null if one is on its way already: a second would make the
   * peer drop the first, whose failure would start a third, and so on. After a failure the answer waits a little.
   */
  async send(to: NodeId, about: { clusterId: string; term: number }): Promise<boolean | null> {
    if (this.#sendingTo.has(to)) return null
    this.#sendingTo.add(to)
    const { log, store, transport } = this.#with
    let ok = false
    try {
      const snapshot = store.readSnapshot()
      if (snapshot === null) throw new Error('there is no snapshot')
      const { meta, records } = snapshot
      log.info({ to, index: meta.index }, 'sending a snapshot')
      await sendSnapshot(transport, to, { ...about, meta }, records)
      ok = true
    } catch (error) {
      log.warn({ to, err: error }, 'a snapshot could not be delivered; it will be sent again')
      await new Promise((resolve) => setTimeout(resolve, this.#options.retryMs))
    }
    this.#sendingTo.delete(to)
    return ok
  }

  /** Takes one part; answers the snapshot once it is whole. @throws ConsensusError, CodecError */
  receive(from: NodeId, part: Parameters<SnapshotReceiver['add']>[1]): Promise<ReceivedSnapshot | null> {
    return this.#receiver.add(from, part, this.#with.clock.now())
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
    this.#with.log.info({ index: meta.index }, 'took over a snapshot')
    return offered.state
  }
}

/** A snapshot's data comes in parts; once it is whole the protocol sees it as this message. */
export function snapshotMessage(from: NodeId, to: NodeId, term: number, snapshot: SnapshotMeta): Message {
  return {
    type: 'snapshot',
    from,
    to,
    term,
    snapshot,
    index: 0,
    logTerm: 0,
    entries: [],
    commit: 0,
    reject: false,
    rejectHint: 0,
    context: 0,
    transfer: false,
    lease: false,
  }
}
