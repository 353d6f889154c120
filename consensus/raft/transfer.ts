import type { NodeId } from './types.ts'

/** Handing leadership over (thesis 3.10): to whom, since when, and what it costs. */
export class Transfer {
  #to: NodeId = ''
  /** Ticks since the transfer began. It has a time of its own: asking again must not put off the quorum check. */
  #elapsed = 0
  #leaseForfeited = false

  /** Who is asked to take over, '' if nobody. */
  get to(): NodeId {
    return this.#to
  }

  /**
   * True if this leader may hold no lease in this term any more: it has asked another to take over, and whoever it asked
   * may do so at any later time, for the request can be late (catalogue B25).
   */
  get leaseForfeited(): boolean {
    return this.#leaseForfeited
  }

  begin(to: NodeId): void {
    if (this.#to !== to) this.#elapsed = 0
    this.#to = to
    this.#leaseForfeited = true
  }

  /** One unit of time passed; after `ticksMax` of them the transfer is given up. */
  tick(ticksMax: number): void {
    this.#elapsed++
    if (this.#elapsed >= ticksMax) this.#to = ''
  }

  /** Nobody is asked any more. */
  end(): void {
    this.#to = ''
  }

  /** A term of leadership begins. */
  elected(): void {
    this.#leaseForfeited = false
  }
}
