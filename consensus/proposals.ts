import { ConsensusError, outcomeUnknown } from './errors.ts'
import type { ProposeResult } from './raft/types.ts'
import type { CommandResult } from './state/types.ts'

interface Waiting {
  readonly resolve: (result: CommandResult) => void
  readonly reject: (error: ConsensusError) => void
}

interface Queued extends Waiting {
  readonly payload: Uint8Array
}

interface Pending extends Waiting {
  readonly term: number
}

type Dropped = Extract<ProposeResult, { dropped: string }>['dropped']

/** Why the protocol did not take a proposal. Nothing was written. */
function refusal(dropped: Dropped): ConsensusError {
  if (dropped === 'overloaded') {
    return new ConsensusError('CST_PROPOSAL_DROPPED', 'too many writes are waiting for a quorum', {
      retryable: true,
    })
  }
  return new ConsensusError('CST_NOT_LEADER', 'this node does not lead')
}

/**
 * Writes on their way through the log of this leader: first queued, so that one append carries what many clients sent,
 * then pending under the index they got, until that index is applied.
 */
export class Proposals {
  #queue: Queued[] = []
  readonly #pending = new Map<number, Pending>()

  /** Writes that wait to be handed to the protocol, and those in the log that wait to be applied. */
  get sizes(): { readonly queued: number; readonly pending: number } {
    return { queued: this.#queue.length, pending: this.#pending.size }
  }

  /** Queues a write. `isFirst`: nothing was queued before it, so somebody must see to it that `flush` is called. */
  add(payload: Uint8Array): { result: Promise<CommandResult>; isFirst: boolean } {
    const isFirst = this.#queue.length === 0
    const result = new Promise<CommandResult>((resolve, reject) => {
      this.#queue.push({ payload, resolve, reject })
    })
    return { result, isFirst }
  }

  /** Hands everything queued to the protocol; answers why it was not taken, null if it was. @throws what `propose` throws: whether it is in the log is unknown then. */
  flush(
    propose: (payloads: readonly Uint8Array[]) => ProposeResult,
  ): { readonly reason: Dropped; readonly count: number } | null {
    const queue = this.#queue.splice(0)
    if (queue.length === 0) return null
    let placed: ProposeResult
    try {
      placed = propose(queue.map(({ payload }) => payload))
    } catch (error) {
      for (const { reject } of queue) reject(outcomeUnknown(error))
      throw error
    }
    if ('dropped' in placed) {
      const error = refusal(placed.dropped)
      for (const { reject } of queue) reject(error)
      return { reason: placed.dropped, count: queue.length }
    }
    const { index, term } = placed
    queue.forEach(({ resolve, reject }, i) => {
      this.#pending.set(index + i, { term, resolve, reject })
    })
    return null
  }

  /** The entry of `term` at `index` was applied; `result` is what a command answered, null for any other entry. */
  applied(index: number, term: number, result: CommandResult | null): void {
    const pending = this.#pending.get(index)
    if (pending === undefined) return
    this.#pending.delete(index)
    if (result !== null && pending.term === term) pending.resolve(result)
    // Another leader's entry took the place: this one is not in the log and never will be.
    else pending.reject(new ConsensusError('CST_NOT_LEADER', 'the proposal was replaced by another leader'))
  }

  /** Refuses what never got into the log. */
  rejectQueued(error: ConsensusError): void {
    for (const { reject } of this.#queue.splice(0)) reject(error)
  }

  /** Gives up what is in the log: it may be replicated and survive this node. */
  rejectPending(error: ConsensusError): void {
    for (const { reject } of this.#pending.values()) reject(error)
    this.#pending.clear()
  }
}
