import { crc32 } from 'node:zlib'
import type { Entry, EntryType } from '../raft/types.ts'

const HEADER_BYTES = 21
const TYPES: readonly EntryType[] = ['normal', 'config']

/** An entry whose checksum, index or type is wrong. */
export class DamagedEntryError extends Error {
  readonly code = 'CST_DAMAGED_ENTRY'

  constructor(message: string) {
    super(message)
    this.name = 'DamagedEntryError'
  }
}

/** Size of an encoded entry. */
export function entrySize(entry: Entry): number {
  return HEADER_BYTES + entry.data.length
}

/** Encodes an entry: CRC32 of the rest, index and term (64 bit), type, data. The same bytes go to disk and to peers. */
export function encodeEntry(entry: Entry): Uint8Array {
  const bytes = new Uint8Array(entrySize(entry))
  const view = new DataView(bytes.buffer)
  view.setBigUint64(4, BigInt(entry.index))
  view.setBigUint64(12, BigInt(entry.term))
  view.setUint8(20, TYPES.indexOf(entry.type))
  bytes.set(entry.data, HEADER_BYTES)
  view.setUint32(0, crc32(bytes.subarray(4)))
  return bytes
}

/** Decodes an entry; `data` is a copy. Throws DamagedEntryError. */
export function decodeEntry(bytes: Uint8Array): Entry {
  if (bytes.length < HEADER_BYTES) throw new DamagedEntryError('entry is too short')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(0) !== crc32(bytes.subarray(4)))
    throw new DamagedEntryError('entry has a wrong checksum')
  const type = TYPES[view.getUint8(20)]
  if (type === undefined) throw new DamagedEntryError(`entry has unknown type ${view.getUint8(20)}`)
  const index = Number(view.getBigUint64(4))
  const term = Number(view.getBigUint64(12))
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(term))
    throw new DamagedEntryError('entry has an index or term out of range')
  return {
    index,
    term,
    type,
    // Not `slice`, which shares the memory of a Buffer and with it a whole network frame.
    data: new Uint8Array(bytes.subarray(HEADER_BYTES)),
  }
}
