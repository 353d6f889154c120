import { maskedCrc32c } from './crc32c.ts'

/** Layout of LevelDB's log files, its write-ahead logs and its manifest: `doc/log_format.md` in its sources. */
const BLOCK_BYTES = 32_768
/** Masked CRC32C (4 bytes), length (2), type (1), all little-endian. */
const HEADER_BYTES = 7
const FULL = 1
const FIRST = 2
const LAST = 4
/** Sequence number and count, in front of the operations of a batch. */
const BATCH_HEADER_BYTES = 12

interface Fragment {
  readonly type: number
  /** With its header. */
  readonly length: number
}

/** The fragment at `offset`; null if there is none that is sound. */
function fragmentAt(bytes: Uint8Array, offset: number): Fragment | null {
  const left = Math.min(BLOCK_BYTES - (offset % BLOCK_BYTES), bytes.length - offset)
  if (left < HEADER_BYTES) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, left)
  const type = view.getUint8(6)
  const length = HEADER_BYTES + view.getUint16(4, true)
  if (type < FULL || type > LAST || length > left) return null
  const content = bytes.subarray(offset + HEADER_BYTES - 1, offset + length)
  return maskedCrc32c(content) === view.getUint32(0, true) ? { type, length } : null
}

/** The sound fragments from the start on, and where they end. */
function readFragments(bytes: Uint8Array): { fragments: { type: number; data: Uint8Array }[]; end: number } {
  const fragments: { type: number; data: Uint8Array }[] = []
  let offset = 0
  while (offset < bytes.length) {
    const leftInBlock = BLOCK_BYTES - (offset % BLOCK_BYTES)
    if (leftInBlock < HEADER_BYTES) {
      offset += leftInBlock
      continue
    }
    const fragment = fragmentAt(bytes, offset)
    if (fragment === null) break
    const { type, length } = fragment
    fragments.push({ type, data: bytes.subarray(offset + HEADER_BYTES, offset + length) })
    offset += length
  }
  return { fragments, end: offset }
}

/** The whole records of a log file up to the first unsound fragment. */
export function readRecords(bytes: Uint8Array): Uint8Array[] {
  const records: Uint8Array[] = []
  let parts: Uint8Array[] = []
  for (const { type, data } of readFragments(bytes).fragments) {
    if (type === FULL || type === FIRST) parts = []
    parts.push(data)
    if (type === FULL || type === LAST) records.push(Buffer.concat(parts))
  }
  return records
}

function beginsBatch(fragment: Fragment | null): boolean {
  if (fragment === null || fragment.length < HEADER_BYTES + BATCH_HEADER_BYTES) return false
  return fragment.type === FULL || fragment.type === FIRST
}

/**
 * Where a write-ahead log is damaged before its tail; null if it is sound or ends torn. Every batch is synced before the
 * next is written, so a batch that begins behind a bad fragment proves that the bad one was durable once: it is no torn
 * write, and what it held may have been acknowledged. LevelDB skips such a fragment, and the rest of its block, in silence
 * (catalogue B23).
 */
export function findDamage(bytes: Uint8Array): number | null {
  const { end } = readFragments(bytes)
  for (let later = end + 1; later < bytes.length; later++)
    if (beginsBatch(fragmentAt(bytes, later))) return end
  return null
}
