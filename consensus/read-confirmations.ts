import { noLeader } from './errors.ts'
import type { LeaderLease, Moment } from './leader-lease.ts'
import type { ReadState } from './raft/types.ts'

interface WaitingRead {
  readonly askedAt: Moment
  readonly resolve: (index: number) => void
  readonly reject: (error: Error) => void
}

/** Reads that wait until a quorum has confirmed that this node leads. */
export class ReadConfirmations {
  readonly #lease: LeaderLease
  readonly #waiting = new Map<number, WaitingRead>()
  #nextId = 1

  constructor(lease: LeaderLease) {
    this.#lease = lease
  }

  get size(): number {
    return this.#waiting.size
  }

  /** Registers a read. `ask` hands its id to the protocol; false: this node does not lead. @throws ConsensusError */
  wait(ask: (id: number) => boolean): Promise<number> {
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    this.#waiting.set(id, { askedAt: this.#lease.moment(), resolve, reject })
    if (!ask(id)) this.settle({ id, index: -1, lease: false })
    return promise
  }

  settle({ id, index, lease }: ReadState): void {
    const read = this.#waiting.get(id)
    if (read === undefined) return
    this.#waiting.delete(id)
    if (lease) this.#lease.extend(read.askedAt)
    if (index < 0) read.reject(noLeader())
    else read.resolve(index)
  }

  rejectAll(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}
