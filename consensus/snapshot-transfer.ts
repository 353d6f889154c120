import { crc32 } from 'node:zlib'
import type { SnapshotMeta } from './raft/types.ts'
import { callRpc, RpcRefusal, type RpcRequest, type SnapshotProgress } from './rpc.ts'
import type { Transport } from './transport.ts'

/** One part of a snapshot on its way. */
export type SnapshotPart = Extract<RpcRequest, { op: 'snapshot' }>

/** Which snapshot is sent, to whose cluster, in which term of the sender. */
export interface SnapshotSubject {
  readonly clusterId: string
  readonly term: number
  readonly meta: SnapshotMeta
}

/** How a snapshot is cut and how patiently it is sent; every one has a default. */
export interface TransferOptions {
  /** Records travel in parts of about this size. Default 1 MiB. */
  readonly partBytes: number
  /** How long an answer may take. Default 10 s. */
  readonly timeoutMs: number
  /** Pause before a part is sent again. Default 1 s. */
  readonly retryMs: number
  /** How often one part is sent at most. Default 3. */
  readonly attemptsMax: number
}

/** What sending took. */
export interface Transferred {
  /** Parts sent now; those the receiver had already do not count. */
  readonly parts: number
  readonly bytes: number
}

const DEFAULTS: TransferOptions = { partBytes: 1 << 20, timeoutMs: 10_000, retryMs: 1000, attemptsMax: 3 }

/** Checksum over all of these, `seed` being that of what came before. */
export function recordsCrc(records: readonly Uint8Array[], seed = 0): number {
  return records.reduce((crc, record) => crc32(record, crc), seed)
}

type Cut = Pick<SnapshotPart, 'part' | 'records' | 'crc' | 'wholeCrc' | 'last'>

/** Cuts a snapshot into parts, each time the same way, so that an interrupted transfer can go on. */
async function* cut(source: AsyncIterable<Uint8Array>, partBytes: number): AsyncGenerator<Cut> {
  let part = 0
  let wholeCrc = 0
  let records: Uint8Array[] = []
  let bytes = 0
  const finish = (last: boolean): Cut => {
    wholeCrc = recordsCrc(records, wholeCrc)
    const done = { part, records, crc: recordsCrc(records), wholeCrc, last }
    part++
    records = []
    bytes = 0
    return done
  }
  for await (const record of source) {
    // Not before the next record is there: the last part has to say that it is the last.
    if (bytes >= partBytes) yield finish(false)
    records.push(record)
    bytes += record.length
  }
  yield finish(true)
}

/**
 * Sends a snapshot part by part, each acknowledged. Begins where the receiver stands, which it is asked first and again
 * after every failure; `open` reads the snapshot from its beginning, the same records each time. One part is in memory
 * at a time. @throws TransportError, ConsensusError
 */
export async function sendSnapshot(
  transport: Transport,
  to: string,
  about: SnapshotSubject,
  open: () => AsyncIterable<Uint8Array>,
  given: Partial<TransferOptions> = {},
): Promise<Transferred> {
  const options = { ...DEFAULTS, ...given }
  const { timeoutMs } = options
  const ask = () => callRpc(transport, to, { op: 'snapshotProgress', ...about }, { timeoutMs })
  const send = (part: Cut) => callRpc(transport, to, { op: 'snapshot', ...about, ...part }, { timeoutMs })
  let sent: Transferred = { parts: 0, bytes: 0 }
  let has: SnapshotProgress = await ask()
  if (has.done) return sent
  if (!(await startsWith(has, open(), options.partBytes))) has = { parts: 0, crc: 0, done: false }
  for await (const part of cut(open(), options.partBytes)) {
    if (part.part < has.parts) continue
    const answer = await deliver(part, { ask, send, ...options })
    sent = {
      parts: sent.parts + 1,
      bytes: sent.bytes + part.records.reduce((sum, record) => sum + record.length, 0),
    }
    if (answer === 'has all') break
  }
  return sent
}

/** True if what the receiver has is the beginning of this snapshot. */
async function startsWith(
  has: SnapshotProgress,
  source: AsyncIterable<Uint8Array>,
  partBytes: number,
): Promise<boolean> {
  if (has.parts === 0) return true
  for await (const { part, wholeCrc } of cut(source, partBytes)) {
    if (part === has.parts - 1) return wholeCrc === has.crc
  }
  return false
}

/** Gets one part across. A lost answer does not make it travel twice: the receiver is asked whether it has it. */
async function deliver(
  part: Cut,
  by: TransferOptions & {
    readonly ask: () => Promise<SnapshotProgress>
    readonly send: (part: Cut) => Promise<unknown>
  },
): Promise<'taken' | 'has all'> {
  for (let attempt = 1; ; attempt++) {
    try {
      await by.send(part)
      return 'taken'
    } catch (error) {
      if (attempt >= by.attemptsMax) throw error
      await new Promise((resolve) => setTimeout(resolve, by.retryMs))
      const has = await by.ask().catch((refusal: unknown) => {
        // It will have none of it; anything else may be the network, and is tried again with the part.
        if (refusal instanceof RpcRefusal) throw refusal
        return null
      })
      if (has === null) continue
      if (has.done) return 'has all'
      if (has.parts > part.part) return 'taken'
      if (has.parts < part.part) throw error
    }
  }
}
