import { noLeader } from './errors.ts'
import type { ReadState } from './raft/types.ts'

/** Reads that wait until a quorum has confirmed that this node leads. */
export class ReadConfirmations {
  readonly #waiting = new Map<number, { resolve: (index: number) => void; reject: (error: Error) => void }>()
  #nextId = 1

  /** Registers a read. `ask` hands its id to the protocol; false: this node does not lead. @throws ConsensusError */
  wait(ask: (id: number) => boolean): Promise<number> {
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    this.#waiting.set(id, { resolve, reject })
    if (!ask(id)) this.settle({ id, index: -1 })
    return promise
  }

  settle({ id, index }: ReadState): void {
    const read = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (index < 0) read?.reject(noLeader())
    else read?.resolve(index)
  }

  rejectAll(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}
