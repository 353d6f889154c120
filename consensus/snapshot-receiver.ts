import { ConsensusError, refused } from './errors.ts'
import type { SnapshotMeta } from './raft/types.ts'
import type { SnapshotProgress } from './rpc.ts'
import { isSnapshotMeta } from './snapshot-meta.ts'
import { recordsCrc, type SnapshotPart } from './snapshot-transfer.ts'
import { StateMachine } from './state/state-machine.ts'

/** An unfinished transfer that brought nothing for this long is dropped with the memory it holds. */
const ABANDONED_MS = 120_000
/** Records made into state between two turns of the event loop, so that heartbeats are answered meanwhile. */
const RECORDS_PER_TURN = 500
/** A follower refuses a snapshot beyond this, rather than fill its memory. */
const SNAPSHOT_BYTES_MAX = 1 << 30
/** Approximate bytes of a record beside its data. */
const RECORD_OVERHEAD_BYTES = 64

/** A snapshot that arrived whole, and the state made from it. */
export interface ReceivedSnapshot {
  readonly meta: SnapshotMeta
  readonly state: StateMachine
  readonly bytes: number
  /** When its first part came, by the monotonic clock. */
  readonly startedAt: number
}

/** A snapshot that arrives. */
interface Transfer {
  readonly from: string
  readonly subject: string
  term: number
  parts: number
  /** Checksum over all parts so far. */
  crc: number
  bytes: number
  readonly startedAt: number
  lastPartAt: number
  readonly records: Uint8Array[]
}

/** A snapshot that is whole and being made into state. */
interface Finishing {
  readonly from: string
  readonly subject: string
  readonly done: Promise<void>
}

/** What tells one snapshot from another. */
function subjectOf({ index, term, configuration }: SnapshotMeta): string {
  return JSON.stringify([index, term, configuration])
}

/** Hands records out with pauses in which the event loop does other work. */
async function* paced(records: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const [i, record] of records.entries()) {
    if (i % RECORDS_PER_TURN === RECORDS_PER_TURN - 1) await new Promise((resolve) => setImmediate(resolve))
    yield record
  }
}

/**
 * Puts the parts of a snapshot together, one snapshot at a time. Another snapshot of the same sender, or a sender in a
 * newer term, starts over; everybody else is refused. What is refused harms nothing that was taken before.
 */
export class SnapshotReceiver {
  #transfer: Transfer | null = null
  #finishing: Finishing | null = null

  /** What is here of the snapshot `from` asks about. Waits for one that is being made into state. */
  async progress(
    from: string,
    about: Pick<SnapshotPart, 'term' | 'meta'>,
  ): Promise<Omit<SnapshotProgress, 'done'>> {
    if (!isSnapshotMeta(about.meta)) throw malformed()
    const subject = subjectOf(about.meta)
    if (this.#isFinishing(from, subject)) await this.#finishing?.done.catch(() => {})
    const current = this.#transfer
    if (current === null || !this.#mayTakeOver(current, from, about.term)) return { parts: 0, crc: 0 }
    if (current.from !== from || current.subject !== subject) return { parts: 0, crc: 0 }
    return { parts: current.parts, crc: current.crc }
  }

  /**
   * Takes one part. With the last one the state is made and handed to `deliver`, before the promise resolves.
   * @throws ConsensusError if the part is refused, CodecError if the whole cannot be read.
   */
  async add(
    from: string,
    request: SnapshotPart,
    now: number,
    deliver: (received: ReceivedSnapshot) => void,
  ): Promise<void> {
    if (!isSnapshotMeta(request.meta) || !isPart(request)) throw malformed()
    const subject = subjectOf(request.meta)
    const transfer = this.#transferOf(from, subject, request, now)
    if (request.part !== transfer.parts) {
      throw refused(`part ${transfer.parts} of the snapshot was expected, not ${request.part}`)
    }
    if (recordsCrc(request.records) !== request.crc) {
      throw refused(`part ${request.part} of the snapshot arrived damaged`)
    }
    this.#take(transfer, request, now)
    if (!request.last) return
    this.#transfer = null
    const done = this.#finish(transfer, request.meta, deliver)
    const finishing = { from, subject, done }
    this.#finishing = finishing
    await done.finally(() => {
      if (this.#finishing === finishing) this.#finishing = null
    })
  }

  #isFinishing(from: string, subject: string): boolean {
    return this.#finishing?.from === from && this.#finishing.subject === subject
  }

  /** False for a sender that another one has replaced. */
  #mayTakeOver(current: Transfer, from: string, term: number): boolean {
    return current.from === from ? term >= current.term : term > current.term
  }

  #transferOf(from: string, subject: string, { part, term }: SnapshotPart, now: number): Transfer {
    const current = this.#transfer
    if (current !== null && !this.#mayTakeOver(current, from, term)) {
      throw refused('a newer leader is sending a snapshot')
    }
    if (part !== 0 && current?.from === from && current.subject === subject) {
      current.term = term
      return current
    }
    if (part !== 0) throw refused('the beginning of this snapshot is not here')
    const fresh = {
      from,
      subject,
      term,
      parts: 0,
      crc: 0,
      bytes: 0,
      startedAt: now,
      lastPartAt: now,
      records: [],
    }
    this.#transfer = fresh
    return fresh
  }

  #take(transfer: Transfer, request: SnapshotPart, now: number): void {
    const crc = recordsCrc(request.records, transfer.crc)
    const bytes = request.records.reduce(
      (sum, { length }) => sum + length + RECORD_OVERHEAD_BYTES,
      transfer.bytes,
    )
    if (crc !== request.wholeCrc) {
      this.#transfer = null
      throw refused('the parts of the snapshot do not belong together')
    }
    if (bytes > SNAPSHOT_BYTES_MAX) {
      this.#transfer = null
      throw refused(`the snapshot is larger than ${SNAPSHOT_BYTES_MAX} bytes`)
    }
    for (const record of request.records) transfer.records.push(record)
    transfer.parts++
    transfer.crc = crc
    transfer.bytes = bytes
    transfer.lastPartAt = now
  }

  async #finish(
    transfer: Transfer,
    meta: SnapshotMeta,
    deliver: (received: ReceivedSnapshot) => void,
  ): Promise<void> {
    const state = await StateMachine.restore(paced(transfer.records))
    if (state.appliedIndex !== meta.index) {
      throw refused(`the snapshot holds the state of ${state.appliedIndex}, not of ${meta.index}`)
    }
    deliver({ meta, state, bytes: transfer.bytes, startedAt: transfer.startedAt })
  }

  /** Drops a transfer whose sender fell silent. */
  expire(now: number): void {
    if (this.#transfer !== null && now - this.#transfer.lastPartAt > ABANDONED_MS) this.#transfer = null
  }
}

function isPart({ part, records, crc, wholeCrc, last }: SnapshotPart): boolean {
  return (
    [part, crc, wholeCrc].every(Number.isSafeInteger) &&
    Array.isArray(records) &&
    records.every((record) => record instanceof Uint8Array) &&
    typeof last === 'boolean'
  )
}

function malformed(): ConsensusError {
  return new ConsensusError('CST_PROPOSAL_DROPPED', 'the description of a snapshot is malformed')
}
