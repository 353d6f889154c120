import { randomUUID } from 'node:crypto'
import type { Clock } from './clock.ts'
import { ConsensusError } from './errors.ts'
import type { FollowSnapshot } from './feed-messages.ts'

/** A part holds records of about this many bytes. */
const PART_BYTES = 1 << 20
/** States on their way out at once: each keeps what has changed since it was taken in memory. */
const TRANSFERS_MAX = 4
/** A transfer nobody asked about for this long is dropped with the memory it holds. */
const ABANDONED_MS = 30_000

interface Transfer {
  readonly to: string
  readonly index: number
  readonly term: number
  readonly records: Iterator<Uint8Array>
  /** The part that was handed out last: its answer may be lost. */
  sent: FollowSnapshot | null
  usedAt: number
}

/** The states of this member that clients fetch part by part. A client has one at a time. */
export class FeedTransfers {
  readonly #clock: Clock
  readonly #transfers = new Map<string, Transfer>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#transfers.size
  }

  /**
   * Begins to hand out a state, given by its records as of (`index`, `term`), and answers the first part.
   * @throws ConsensusError `CST_REFUSED` when too many are on their way
   */
  begin(to: string, about: { index: number; term: number; records: Iterator<Uint8Array> }): FollowSnapshot {
    this.expire()
    this.end(to)
    if (this.#transfers.size >= TRANSFERS_MAX)
      throw new ConsensusError('CST_REFUSED', 'too many clients fetch the whole state here', {
        retryable: true,
      })
    const id = randomUUID()
    const transfer: Transfer = { to, ...about, sent: null, usedAt: this.#clock.now() }
    this.#transfers.set(id, transfer)
    return this.#nextPart(id, transfer, 0)
  }

  /** The part a client asks for: the next one, or the last one again. @throws ConsensusError `CST_PROPOSAL_DROPPED` */
  part(to: string, wanted: { readonly id: string; readonly part: number }): FollowSnapshot {
    this.expire()
    const transfer = this.#transfers.get(wanted.id)
    const sent = transfer?.sent ?? null
    if (transfer?.to !== to || sent === null || wanted.part < sent.part || wanted.part > sent.part + 1)
      throw new ConsensusError('CST_PROPOSAL_DROPPED', 'there is no such part of a snapshot', {
        retryable: true,
      })
    if (wanted.part === sent.part) return sent
    if (sent.last) throw new ConsensusError('CST_PROPOSAL_DROPPED', 'the snapshot has no further part')
    return this.#nextPart(wanted.id, transfer, wanted.part)
  }

  #nextPart(id: string, transfer: Transfer, part: number): FollowSnapshot {
    const records: Uint8Array[] = []
    let bytes = 0
    let last = false
    while (bytes < PART_BYTES && !last) {
      const next = transfer.records.next()
      last = next.done === true
      if (next.done === true) break
      records.push(next.value)
      bytes += next.value.length
    }
    const { index, term } = transfer
    transfer.usedAt = this.#clock.now()
    transfer.sent = { kind: 'snapshot', transfer: id, index, term, part, records, last }
    return transfer.sent
  }

  /** Forgets what was on its way to a client: it got on, or has gone. */
  end(to: string): void {
    for (const [id, transfer] of this.#transfers) if (transfer.to === to) this.#transfers.delete(id)
  }

  /** Drops what nobody asked about for long. */
  expire(): void {
    const now = this.#clock.now()
    for (const [id, { usedAt }] of this.#transfers)
      if (now - usedAt > ABANDONED_MS) this.#transfers.delete(id)
  }
}
