import type { KeyRecord } from '../../consensus/client.ts'
import { damaged, foreign } from './errors.ts'

/** First bytes of `state.bin`: what it is, and the version of its format. */
const MAGIC = Buffer.from('CSTLKEY\x01', 'latin1')
/** Length of the key (32 bit), flags (64 bit), length of the value (32 bit), big-endian. The key and the value follow. */
const RECORD_HEADER_BYTES = 16

/** Bytes of `state.bin` for these records. */
export function keysSize(records: readonly KeyRecord[]): number {
  return records.reduce(
    (sum, { key, value }) => sum + RECORD_HEADER_BYTES + key.length + value.length,
    MAGIC.length,
  )
}

/** `state.bin` piece by piece. */
export function* encodeKeys(records: Iterable<KeyRecord>): Generator<Buffer> {
  yield MAGIC
  for (const { key, value, flags } of records) {
    const bytes = Buffer.allocUnsafe(RECORD_HEADER_BYTES + key.length + value.length)
    bytes.writeUInt32BE(key.length, 0)
    bytes.writeBigUInt64BE(flags, 4)
    bytes.writeUInt32BE(value.length, 12)
    // A key has one code unit per byte.
    bytes.write(key, RECORD_HEADER_BYTES, 'latin1')
    bytes.set(value, RECORD_HEADER_BYTES + key.length)
    yield bytes
  }
}

/**
 * The records of `state.bin`; their values are not copied. The keys come in ascending order, each once.
 * @throws ArchiveError from the iterator.
 */
export function* decodeKeys(bytes: Buffer): Generator<KeyRecord> {
  if (!bytes.subarray(0, MAGIC.length - 1).equals(MAGIC.subarray(0, -1))) {
    throw foreign('state.bin has another format')
  }
  if (bytes[MAGIC.length - 1] !== MAGIC.at(-1)) {
    throw foreign(`state.bin has version ${bytes[MAGIC.length - 1]}, this program knows ${MAGIC.at(-1)}`)
  }
  let previous: string | null = null
  for (let at = MAGIC.length; at < bytes.length; ) {
    if (at + RECORD_HEADER_BYTES > bytes.length) throw damaged('state.bin is cut short')
    const keyAt = at + RECORD_HEADER_BYTES
    const valueAt = keyAt + bytes.readUInt32BE(at)
    const flags = bytes.readBigUInt64BE(at + 4)
    at = valueAt + bytes.readUInt32BE(at + 12)
    if (at > bytes.length) throw damaged('state.bin is cut short')
    const key = bytes.toString('latin1', keyAt, valueAt)
    if (key === '' || (previous !== null && key <= previous)) throw damaged('the keys are out of order')
    previous = key
    yield { key, value: bytes.subarray(valueAt, at), flags }
  }
}
