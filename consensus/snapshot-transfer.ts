import { randomUUID } from 'node:crypto'
import { ConsensusError } from './errors.ts'
import type { SnapshotMeta } from './raft/types.ts'
import { callRpc, type RpcRequest } from './rpc.ts'
import { StateMachine } from './state/state-machine.ts'
import type { Transport } from './transport.ts'

/** Records travel in parts of about this size. */
const PART_BYTES = 1 << 20
const PART_TIMEOUT_MS = 10_000
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

/** Puts the parts of a snapshot together. A new transfer, of whomever, replaces an unfinished one. */
export class SnapshotReceiver {
  #from = ''
  #transfer = ''
  #parts = 0
  #bytes = 0
  #records: Uint8Array[] = []
  #ready: { readonly meta: SnapshotMeta; readonly state: StateMachine } | null = null

  /** Takes one part. Answers the snapshot once it is complete and readable. @throws ConsensusError, CodecError */
  async add(from: string, request: SnapshotPart): Promise<{ meta: SnapshotMeta } | null> {
    if (request.part === 0) {
      this.#from = from
      this.#transfer = request.transfer
      this.#parts = 0
      this.#bytes = 0
      this.#records = []
    }
    if (from !== this.#from || request.transfer !== this.#transfer || request.part !== this.#parts) {
      throw new ConsensusError('CST_PROPOSAL_DROPPED', 'this part of a snapshot was not expected', {
        retryable: true,
      })
    }
    this.#parts++
    for (const record of request.records) {
      this.#bytes += record.length
      this.#records.push(record)
    }
    if (this.#bytes > SNAPSHOT_BYTES_MAX) {
      this.#transfer = ''
      this.#records = []
      throw new ConsensusError(
        'CST_PROPOSAL_DROPPED',
        `the snapshot is larger than ${SNAPSHOT_BYTES_MAX} bytes`,
      )
    }
    if (!request.last) return null
    const records = this.#records
    this.#records = []
    this.#transfer = ''
    this.#ready = { meta: request.meta, state: await StateMachine.restore(records) }
    return { meta: request.meta }
  }

  /** The state of a complete snapshot, once. Null if it is not there. */
  take(meta: SnapshotMeta): StateMachine | null {
    const ready = this.#ready
    this.#ready = null
    return ready !== null && ready.meta.index === meta.index && ready.meta.term === meta.term
      ? ready.state
      : null
  }
}
