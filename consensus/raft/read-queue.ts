import type { ReadState } from './types.ts'

interface PendingRead {
  readonly id: number
  readonly index: number
  readonly position: number
  readonly wantsLease: boolean
}

interface ParkedRead {
  readonly id: number
  readonly wantsLease: boolean
}

/**
 * Linearizable reads that wait for the leader to confirm its leadership (ReadIndex, thesis §6.4). All reads that arrive
 * between two heartbeat rounds share one round: a follower that echoes position p confirms every read up to p.
 */
export class ReadQueue {
  #parked: ParkedRead[] = []
  #pending: PendingRead[] = []
  #position = 0
  #sentPosition = 0
  #done: ReadState[] = []
  /** Rounds sent for the sake of a read. */
  rounds = 0

  /** Keeps a read until the leader has committed an entry of its own term. */
  park(id: number, wantsLease: boolean): void {
    this.#parked.push({ id, wantsLease })
  }

  /** Registers a read that may be answered with everything up to `index` once leadership is confirmed. */
  add(id: number, index: number, wantsLease: boolean): void {
    this.#position++
    this.#pending.push({ id, index, position: this.#position, wantsLease })
  }

  /** Moves the parked reads on, now that the commit index is of the leader's own term. */
  unpark(index: number): void {
    for (const { id, wantsLease } of this.#parked.splice(0)) this.add(id, index, wantsLease)
  }

  /** Position to send with heartbeats; what it covers is confirmed by an echo of it. */
  get position(): number {
    return this.#position
  }

  /** True if reads wait for a round that was not sent yet. */
  needsRound(): boolean {
    return this.#pending.length > 0 && this.#sentPosition < this.#position
  }

  /** True if a read that waits would have a lease granted with its confirmation. */
  wantsLease(): boolean {
    return this.#pending.some((read) => read.wantsLease)
  }

  roundSent(): void {
    if (this.needsRound()) this.rounds++
    this.#sentPosition = this.#position
  }

  /** A quorum echoed `position`, and granted a lease with an echo of `leased` or of something later. */
  confirm(position: number, leased: number): void {
    let count = 0
    for (const read of this.#pending) {
      if (read.position > position) break
      const { id, index } = read
      this.#done.push({ id, index, lease: read.wantsLease && read.position <= leased })
      count++
    }
    this.#pending.splice(0, count)
  }

  /** Leadership is lost: nothing that waits can be confirmed any more. */
  fail(): void {
    for (const { id } of [...this.#parked.splice(0), ...this.#pending.splice(0)])
      this.#done.push({ id, index: -1, lease: false })
  }

  hasDone(): boolean {
    return this.#done.length > 0
  }

  takeDone(): ReadState[] {
    return this.#done.splice(0)
  }
}
