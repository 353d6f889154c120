import type { Logger } from 'pino'
import { ConsensusError, superseded } from './errors.ts'

/** Whom the end of taking part concerns. */
export interface ParticipationCollaborators {
  readonly log: Logger
  /** Called once when storage failed or an invariant broke: the process should stop before it does harm. */
  readonly onFatal: (error: Error) => void
  /** Called when this node takes part no more: whatever waits for it must be refused. */
  readonly onEnd: () => void
}

/** Whether a node takes part, and why not: it is stopping, its storage failed, or its cluster goes on without it. */
export class Participation {
  readonly #with: ParticipationCollaborators
  #stopped = false
  #failure: Error | null = null
  #supersededBy: string | null = null

  constructor(collaborators: ParticipationCollaborators) {
    this.#with = collaborators
  }

  get hasEnded(): boolean {
    return this.#stopped || this.#failure !== null || this.#supersededBy !== null
  }

  get isStopping(): boolean {
    return this.#stopped
  }

  /** What broke, null if nothing did. */
  get failure(): Error | null {
    return this.#failure
  }

  /** Id of the cluster that takes the place of this node's, null if none does. */
  get supersededBy(): string | null {
    return this.#supersededBy
  }

  /** Why this node takes part no more. Null while it does. */
  get ended(): ConsensusError | null {
    if (this.#stopped) return new ConsensusError('CST_STOPPED', 'the node is stopping', { retryable: true })
    if (this.#supersededBy !== null) return superseded(this.#supersededBy)
    if (this.#failure === null) return null
    return new ConsensusError('CST_STORAGE_FAILED', this.#failure.message, { cause: this.#failure })
  }

  stop(): void {
    this.#stopped = true
    this.#with.onEnd()
  }

  /** Nothing is safe any more. Does nothing if the node takes part no more anyway. */
  fail(error: Error): void {
    if (this.hasEnded) return
    this.#failure = error
    this.#with.log.fatal({ err: error }, 'consensus stopped on this node')
    this.#with.onEnd()
    this.#with.onFatal(error)
  }

  /** Waits for a write, without which this node cannot go on. @throws what the write throws */
  async orFail(write: Promise<void>): Promise<void> {
    try {
      await write
    } catch (error) {
      this.fail(error as Error)
      throw error
    }
  }

  /** The cluster of this node goes on as `clusterId`, without it. */
  supersede(clusterId: string): void {
    if (this.hasEnded) return
    this.#supersededBy = clusterId
    this.#with.log.error({ clusterId }, superseded(clusterId).message)
    this.#with.onEnd()
  }
}
