import type { Command } from './types.ts'

/** What a log entry carries: a command and what the leader and the proposer stamped on it. */
export interface LogRecord {
  /** Time of the log in milliseconds when the leader took the proposal (`LogClock`). The only time the state machine knows. */
  readonly at: number
  /** Which proposer: one node since one start of it. */
  readonly origin: string
  /** Counts the proposals of `origin`; a repeated one is applied once (thesis §6.3). */
  readonly sequence: number
  /** The proposer has the results of everything below this sequence. */
  readonly acknowledged: number
  readonly command: Command
}

/** Bytes that are not what they should be: damage, or a newer format than this program knows. */
export class CodecError extends Error {
  readonly code = 'CST_CODEC'

  constructor(message: string) {
    super(message)
    this.name = 'CodecError'
  }
}

const FORMAT = 1
const HEADER_BYTES = 5

/**
 * Encodes plain data as format byte, 32-bit length, JSON, and then the byte arrays the JSON refers to as [offset, length].
 * Values stay raw, so a large one costs a copy and no base64. BigInts are written as {"$n": digits}.
 */
export function encodeRecord(value: unknown): Uint8Array {
  const blobs: Uint8Array[] = []
  let blobBytes = 0
  const json = JSON.stringify(value, function (this: Record<string, unknown>, key, _converted: unknown) {
    // The original: a Buffer would already have been turned into an object by its toJSON.
    const item = this[key]
    if (typeof item === 'bigint') return { $n: item.toString() }
    if (!(item instanceof Uint8Array)) return item
    blobs.push(item)
    blobBytes += item.length
    return { $b: [blobBytes - item.length, item.length] }
  })
  const header = new TextEncoder().encode(json)
  const bytes = new Uint8Array(HEADER_BYTES + header.length + blobBytes)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, FORMAT)
  view.setUint32(1, header.length)
  bytes.set(header, HEADER_BYTES)
  let offset = HEADER_BYTES + header.length
  for (const blob of blobs) {
    bytes.set(blob, offset)
    offset += blob.length
  }
  return bytes
}

/** Reads what `encodeRecord` wrote. Throws CodecError for anything else. */
export function decodeRecord(bytes: Uint8Array): unknown {
  if (bytes.length < HEADER_BYTES) throw new CodecError('record is too short')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint8(0) !== FORMAT) throw new CodecError(`unknown record format ${view.getUint8(0)}`)
  const blobsAt = HEADER_BYTES + view.getUint32(1)
  if (blobsAt > bytes.length) throw new CodecError('record is cut short')
  const json = new TextDecoder().decode(bytes.subarray(HEADER_BYTES, blobsAt))
  try {
    return JSON.parse(json, (_key, item: unknown) => {
      if (typeof item !== 'object' || item === null) return item
      if ('$n' in item) return BigInt(String(item.$n))
      return '$b' in item ? blob(bytes, blobsAt, item.$b) : item
    })
  } catch (error) {
    if (error instanceof CodecError) throw error
    throw new CodecError(`record is no data: ${(error as Error).message}`)
  }
}

function blob(bytes: Uint8Array, blobsAt: number, range: unknown): Uint8Array {
  const [offset, length]: unknown[] = Array.isArray(range) ? range : []
  const fits =
    typeof offset === 'number' &&
    typeof length === 'number' &&
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    blobsAt + offset + length <= bytes.length
  if (!fits) throw new CodecError('record refers to bytes it does not have')
  // A copy, so that a small value does not keep a whole network frame alive.
  return new Uint8Array(bytes.subarray(blobsAt + offset, blobsAt + offset + length))
}

/** Encodes the payload of a log entry. */
export function encodeLogRecord(record: LogRecord): Uint8Array {
  return encodeRecord(record)
}

/** Decodes the payload of a log entry. Throws CodecError. */
export function decodeLogRecord(bytes: Uint8Array): LogRecord {
  const record = decodeRecord(bytes) as LogRecord
  if (typeof record?.command?.type !== 'string' || !Number.isSafeInteger(record.sequence)) {
    throw new CodecError('log entry holds no command')
  }
  return record
}
