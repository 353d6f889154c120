import type { ReadState } from './types.ts'

interface PendingRead {
  readonly id: number
  readonly index: number
  readonly position: number
}

/**
 * Linearizable reads that wait for the leader to confirm its leadership (ReadIndex, thesis §6.4). All reads that arrive
 * between two heartbeat rounds share one round: a follower that echoes position p confirms every read up to p.
 */
export class ReadQueue {
  #parked: number[] = []
  #pending: PendingRead[] = []
  #position = 0
  #sentPosition = 0
  #done: ReadState[] = []

  /** Keeps a read until the leader has committed an entry of its own term. */
  park(id: number): void {
    this.#parked.push(id)
  }

  /** Registers a read that may be answered with everything up to `index` once leadership is confirmed. */
  add(id: number, index: number): void {
    this.#position++
    this.#pending.push({ id, index, position: this.#position })
  }

  /** Moves the parked reads on, now that the commit index is of the leader's own term. */
  unpark(index: number): void {
    for (const id of this.#parked.splice(0)) this.add(id, index)
  }

  /** Position to send with heartbeats; what it covers is confirmed by an echo of it. */
  get position(): number {
    return this.#position
  }

  /** True if reads wait for a round that was not sent yet. */
  needsRound(): boolean {
    return this.#pending.length > 0 && this.#sentPosition < this.#position
  }

  roundSent(): void {
    this.#sentPosition = this.#position
  }

  /** A quorum echoed `position`. */
  confirm(position: number): void {
    let count = 0
    for (const read of this.#pending) {
      if (read.position > position) break
      this.#done.push({ id: read.id, index: read.index })
      count++
    }
    this.#pending.splice(0, count)
  }

  /** Leadership is lost: nothing that waits can be confirmed any more. */
  fail(): void {
    for (const id of this.#parked.splice(0)) this.#done.push({ id, index: -1 })
    for (const { id } of this.#pending.splice(0)) this.#done.push({ id, index: -1 })
  }

  hasDone(): boolean {
    return this.#done.length > 0
  }

  takeDone(): ReadState[] {
    return this.#done.splice(0)
  }
}
