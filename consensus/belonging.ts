import type { Logger } from 'pino'
import { ConsensusError } from './errors.ts'
import type { Participation } from './participation.ts'
import { EMPTY_CONFIGURATION, initialConfiguration } from './raft/configuration.ts'
import type { HardState, SnapshotMeta } from './raft/types.ts'
import { StateMachine } from './state/state-machine.ts'
import type { LogStore, Pledge, StoredState, StoreIdentity } from './storage/log-store.ts'

/** What belonging to a cluster rests on. */
export interface BelongingCollaborators {
  readonly store: LogStore
  readonly participation: Pick<Participation, 'orFail'>
  readonly log: Logger
  /** Takes part in the cluster with what is stored. */
  readonly takePart: (stored: StoredState) => Promise<void>
}

/** Which cluster this node belongs to, and which first cluster it has pledged itself to: both as the store holds them. */
export class Belonging {
  readonly #nodeId: string
  readonly #with: BelongingCollaborators
  #identity: StoreIdentity | null = null
  #pledge: Pledge | null = null
  #initialising: Promise<void> | null = null

  constructor(nodeId: string, collaborators: BelongingCollaborators) {
    this.#nodeId = nodeId
    this.#with = collaborators
  }

  /** Null until this node belongs to a cluster. */
  get identity(): StoreIdentity | null {
    return this.#identity
  }

  get pledge(): Pledge | null {
    return this.#pledge
  }

  /**
   * Opens the store and takes part again in the cluster it is of, if any. @throws ConsensusError `CST_LOG_DAMAGED` if it
   * is another node's or makes no sense; what the store throws
   */
  async open(): Promise<void> {
    const stored = await this.#with.store.open()
    this.#pledge = stored.pledge
    if (stored.identity === null) return
    const { nodeId } = stored.identity
    if (nodeId !== this.#nodeId) {
      throw new ConsensusError(
        'CST_LOG_DAMAGED',
        `the data directory belongs to node ${nodeId}, not to ${this.#nodeId}`,
      )
    }
    this.#identity = stored.identity
    try {
      await this.#with.takePart(stored)
    } catch (error) {
      if (error instanceof ConsensusError) throw error
      const { message } = error as Error
      throw new ConsensusError('CST_LOG_DAMAGED', `what is stored cannot be used: ${message}`, {
        cause: error,
      })
    }
  }

  /** @throws ConsensusError `CST_STORAGE_FAILED`, after which the node does nothing any more. */
  async setPledge(pledge: Pledge | null): Promise<void> {
    await this.#with.participation.orFail(this.#with.store.setPledge(pledge))
    this.#pledge = pledge
  }

  /**
   * Becomes part of a cluster: as a founder, with the same first configuration as the other founders, or (null) as a
   * node that the leader will add and send a snapshot to. Does nothing if it belongs to a cluster already. The identity
   * shows only once it is durable: others act on it.
   */
  async initialise(clusterId: string, founders: readonly string[] | null): Promise<void> {
    if (this.#identity !== null) return
    this.#initialising ??= this.#initialise(clusterId, founders).finally(() => {
      this.#initialising = null
    })
    await this.#initialising
  }

  async #initialise(clusterId: string, founders: readonly string[] | null): Promise<void> {
    const { store, participation, log, takePart } = this.#with
    const identity: StoreIdentity = { nodeId: this.#nodeId, clusterId }
    const first = new StateMachine()
    if (founders !== null) first.skip(1)
    const meta: SnapshotMeta =
      founders === null
        ? { index: 0, term: 0, configuration: EMPTY_CONFIGURATION }
        : { index: 1, term: 1, configuration: initialConfiguration(founders) }
    const hardState: HardState = { term: meta.term, vote: '', commit: meta.index }
    await participation.orFail(store.initialise(identity, meta, first.snapshot(), hardState))
    this.#identity = identity
    const start = { index: meta.index, term: meta.term }
    await takePart({ identity, pledge: null, hardState, snapshot: meta, entries: [], logStart: start })
    log.info({ clusterId, founders: founders?.length ?? 0 }, 'this node is now part of a cluster')
  }
}
