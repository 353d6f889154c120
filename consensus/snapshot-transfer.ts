import { randomUUID } from 'node:crypto'
import { ConsensusError } from './errors.ts'
import type { SnapshotMeta } from './raft/types.ts'
import { callRpc, type RpcRequest } from './rpc.ts'
import { StateMachine } from './state/state-machine.ts'
import type { Transport } from './transport.ts'

/** Records travel in parts of about this size. */
const PART_BYTES = 1 << 20
const PART_TIMEOUT_MS = 10_000
/** An unfinished transfer that brought nothing for this long is dropped with the memory it holds. */
const ABANDONED_MS = 3 * PART_TIMEOUT_MS
/** Records made into state between two turns of the event loop, so that heartbeats are answered meanwhile. */
const RECORDS_PER_TURN = 500
/** A follower refuses a snapshot beyond this, rather than fill its memory. */
const SNAPSHOT_BYTES_MAX = 1 << 30

type SnapshotPart = Extract<RpcRequest, { op: 'snapshot' }>

/** Sends a snapshot part by part, each acknowledged. @throws TransportError, ConsensusError */
export async function sendSnapshot(
  transport: Transport,
  to: string,
  about: { readonly clusterId: string; readonly meta: SnapshotMeta; readonly term: number },
  source: AsyncIterable<Uint8Array>,
): Promise<void> {
  const transfer = randomUUID()
  let part = 0
  let records: Uint8Array[] = []
  let bytes = 0
  const send = async (last: boolean) => {
    const request: SnapshotPart = { op: 'snapshot', ...about, transfer, part, records, last }
    await callRpc(transport, to, request, { timeoutMs: PART_TIMEOUT_MS })
    part++
    records = []
    bytes = 0
  }
  for await (const record of source) {
    records.push(record)
    bytes += record.length
    if (bytes >= PART_BYTES) await send(false)
  }
  await send(true)
}

/** Hands records out with pauses in which the event loop does other work. */
async function* paced(records: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const [i, record] of records.entries()) {
    if (i % RECORDS_PER_TURN === RECORDS_PER_TURN - 1) await new Promise((resolve) => setImmediate(resolve))
    yield record
  }
}

/** A snapshot that arrived whole, and the state made from it. */
export interface ReceivedSnapshot {
  readonly meta: SnapshotMeta
  readonly state: StateMachine
}

/** Puts the parts of a snapshot together. A new transfer, of whomever, replaces an unfinished one. */
export class SnapshotReceiver {
  #from = ''
  #transfer = ''
  #parts = 0
  #bytes = 0
  #lastPartAt = 0
  #records: Uint8Array[] = []

  /** Takes one part. Answers the snapshot once it is complete and readable. @throws ConsensusError, CodecError */
  async add(from: string, request: SnapshotPart, now: number): Promise<ReceivedSnapshot | null> {
    if (request.part === 0) {
      this.#reset()
      this.#from = from
      this.#transfer = request.transfer
    }
    if (from !== this.#from || request.transfer !== this.#transfer || request.part !== this.#parts) {
      throw new ConsensusError('CST_PROPOSAL_DROPPED', 'this part of a snapshot was not expected', {
        retryable: true,
      })
    }
    this.#parts++
    this.#lastPartAt = now
    for (const record of request.records) {
      this.#bytes += record.length
      this.#records.push(record)
    }
    if (this.#bytes > SNAPSHOT_BYTES_MAX) {
      this.#reset()
      throw new ConsensusError(
        'CST_PROPOSAL_DROPPED',
        `the snapshot is larger than ${SNAPSHOT_BYTES_MAX} bytes`,
      )
    }
    if (!request.last) return null
    const records = this.#records
    this.#reset()
    return { meta: request.meta, state: await StateMachine.restore(paced(records)) }
  }

  /** Drops a transfer whose sender fell silent. */
  expire(now: number): void {
    if (this.#transfer !== '' && now - this.#lastPartAt > ABANDONED_MS) this.#reset()
  }

  #reset(): void {
    this.#from = ''
    this.#transfer = ''
    this.#parts = 0
    this.#bytes = 0
    this.#records = []
  }
}
