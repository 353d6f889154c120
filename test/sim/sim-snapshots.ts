import type { Raft } from '../../consensus/raft/raft.ts'
import type { Message, SnapshotMeta } from '../../consensus/raft/types.ts'
import { snapshotMessage } from '../../consensus/snapshots.ts'
import { StateMachine } from '../../consensus/state/state-machine.ts'
import type { SimDisk } from './disk.ts'
import type { Action } from './event-queue.ts'
import type { SimNetwork } from './network.ts'
import type { Oracle } from './oracle.ts'
import type { SimWriter } from './sim-writer.ts'
import type { World } from './world.ts'

/** Length of a tick in milliseconds. */
export const TICK_MS = 100
const RETRY_MS = 10 * TICK_MS
/** A part that is not acknowledged for this long ends the transfer. */
const PART_TIMEOUT_MS = 1500

/** A snapshot on its way to another node. */
export interface SnapshotTransfer {
  readonly meta: SnapshotMeta
  readonly term: number
  readonly records: readonly Uint8Array[]
}

/** Takes a snapshot that arrived whole; `delivered` is called once the core has seen it. */
export type Deliver = (from: string, transfer: SnapshotTransfer, delivered: () => void) => Action

/** What snapshots are taken, sent and received with. */
export interface SimSnapshotsCollaborators {
  readonly id: string
  readonly world: World
  readonly network: SimNetwork
  readonly oracle: Oracle
  readonly disk: SimDisk
  readonly writer: SimWriter
  readonly raft: () => Raft | null
  /** Runs something in this start of the node, now or later. */
  readonly enter: (run: Action) => void | Promise<void>
  readonly later: (delayMs: number, run: Action) => void
  /** Hands a message to the core and lets it take effect. */
  readonly step: (message: Message) => void
  /** How a snapshot is given to the node `id`; undefined if there is none. */
  readonly deliverTo: (id: string) => Deliver | undefined
}

/** The snapshots of one start of a node: taken, sent, received, taken over. */
export class SimSnapshots {
  readonly #with: SimSnapshotsCollaborators
  readonly #sendingTo = new Set<string>()
  #incoming: { readonly meta: SnapshotMeta; readonly state: StateMachine } | null = null
  /** After a full disk none is taken before this time. */
  #notBefore = 0

  constructor(collaborators: SimSnapshotsCollaborators) {
    this.#with = collaborators
  }

  /** Saves a snapshot of the applied state if enough was applied since the last. */
  takeIfDue(raft: Raft, state: StateMachine): void {
    const { id, world, oracle, disk, writer } = this.#with
    const { snapshotEntries, keepEntries } = world.options
    const index = state.appliedIndex
    const term = raft.log.termAt(index)
    if (index - raft.latestSnapshot.index < snapshotEntries || writer.isSaving || term === undefined) return
    if (world.now < this.#notBefore) return
    const meta: SnapshotMeta = { index, term, configuration: raft.configuration }
    const compactTo = Math.max(raft.log.snapshotIndex, index - keepEntries)
    oracle.compareState(id, state)
    writer.saveSnapshot(meta, state.snapshot(), compactTo, (result) => {
      if (result === 'full') {
        this.#notBefore = world.now + RETRY_MS
        world.count('snapshot refused: disk full')
        return
      }
      raft.snapshotSaved(meta, compactTo)
      oracle.compareRecords(id, meta.index, disk.records)
      world.log(id, 'saved snapshot', index, compactTo)
      world.count('snapshot saved')
    })
  }

  /** Sends what is on the disk. */
  send({ to, term }: Message): void {
    if (this.#sendingTo.has(to)) return
    this.#sendingTo.add(to)
    const { id, world, network, disk, raft, enter, later, deliverTo } = this.#with
    const { snapshot: meta, records } = disk
    const deliver = deliverTo(to)
    world.log(id, 'snapshot', to, term, meta.index)
    world.count('snapshot sent')
    let settled = false
    const settle = (ok: boolean) =>
      enter(() => {
        if (settled) return
        settled = true
        this.#sendingTo.delete(to)
        raft()?.reportSnapshot(to, ok)
      })
    const delivered = () => network.send(to, id, () => settle(true))
    later(PART_TIMEOUT_MS + RETRY_MS, () => settle(false))
    later(world.random.exponential(world.faulty ? 100 : 5), () => {
      if (deliver === undefined || settled) return
      network.send(id, to, deliver(id, { meta, term, records }, delivered))
    })
  }

  /** A snapshot arrived whole: it is made into state, and a little later handed to the core. */
  async receive(from: string, transfer: SnapshotTransfer, delivered: () => void): Promise<void> {
    const { id, world, later, step } = this.#with
    const { meta, term, records } = transfer
    const state = await StateMachine.restore(records)
    later(world.random.between(0, 20), () => {
      this.#incoming = { meta, state }
      step(snapshotMessage(from, id, term, meta))
      this.#incoming = null
      delivered()
    })
  }

  /** The state of the snapshot that the core has taken over. */
  adopt(meta: SnapshotMeta): StateMachine {
    const incoming = this.#incoming
    if (incoming === null || incoming.meta.index !== meta.index || incoming.meta.term !== meta.term)
      throw new Error(`the data of snapshot ${meta.index} is missing`)
    return incoming.state
  }
}
