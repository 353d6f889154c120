import type { Entry, Message, MessageType, SnapshotMeta } from './raft/types.ts'
import { isSnapshotMeta } from './snapshot-meta.ts'
import { decodeEntry, encodeEntry } from './storage/entry-codec.ts'

/** Every type of message. ONLY APPEND TO THIS LIST: the position is what goes over the wire. */
export const MESSAGE_TYPES: readonly MessageType[] = [
  'append',
  'appendResponse',
  'heartbeat',
  'heartbeatResponse',
  'preVote',
  'preVoteResponse',
  'vote',
  'voteResponse',
  'snapshot',
  'timeoutNow',
]

const VERSION = 1
const FIXED_BYTES = 56
const ENTRIES_MAX = 65_536

/** A frame that is no valid message. */
export class WireError extends Error {
  readonly code = 'CST_WIRE'

  constructor(message: string) {
    super(message)
    this.name = 'WireError'
  }
}

/**
 * Encodes a message: version, type, flags, six 64-bit numbers, then cluster id, sender, receiver and snapshot description
 * as length-prefixed text, then length-prefixed entries with their own checksums.
 */
export function encodeMessage(clusterId: string, message: Message): Uint8Array {
  const encoder = new TextEncoder()
  const texts = [
    clusterId,
    message.from,
    message.to,
    message.snapshot === null ? '' : JSON.stringify(message.snapshot),
  ].map((value) => encoder.encode(value))
  const entries = message.entries.map(encodeEntry)
  let size = FIXED_BYTES
  for (const part of [...texts, ...entries]) size += 4 + part.length
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, VERSION)
  view.setUint8(1, MESSAGE_TYPES.indexOf(message.type))
  view.setUint8(2, (message.reject ? 1 : 0) | (message.transfer ? 2 : 0) | (message.lease ? 4 : 0))
  view.setUint32(4, entries.length)
  const numbers = [
    message.term,
    message.index,
    message.logTerm,
    message.commit,
    message.rejectHint,
    message.context,
  ]
  numbers.forEach((value, i) => {
    view.setBigUint64(8 + 8 * i, BigInt(value))
  })
  let offset = FIXED_BYTES
  for (const part of [...texts, ...entries]) {
    view.setUint32(offset, part.length)
    bytes.set(part, offset + 4)
    offset += 4 + part.length
  }
  return bytes
}

/** Decodes a frame. Throws WireError or DamagedEntryError for anything `encodeMessage` did not write. */
export function decodeMessage(bytes: Uint8Array): { clusterId: string; message: Message } {
  if (bytes.length < FIXED_BYTES) throw new WireError('frame is too short')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint8(0) !== VERSION) throw new WireError(`unknown message version ${view.getUint8(0)}`)
  const type = MESSAGE_TYPES[view.getUint8(1)]
  if (type === undefined) throw new WireError(`unknown message type ${view.getUint8(1)}`)
  const flags = view.getUint8(2)
  const count = view.getUint32(4)
  if (count > ENTRIES_MAX) throw new WireError(`${count} entries are too many`)
  const number = (position: number) => {
    const value = Number(view.getBigUint64(8 + 8 * position))
    if (!Number.isSafeInteger(value)) throw new WireError('number is out of range')
    return value
  }
  let offset = FIXED_BYTES
  const part = () => {
    if (offset + 4 > bytes.length) throw new WireError('frame is cut short')
    const length = view.getUint32(offset)
    const start = offset + 4
    if (start + length > bytes.length) throw new WireError('frame is cut short')
    offset = start + length
    return bytes.subarray(start, offset)
  }
  const text = () => new TextDecoder().decode(part())
  const clusterId = text()
  const from = text()
  const to = text()
  const snapshot = text()
  const entries: Entry[] = []
  const previous = number(1)
  for (let i = 0; i < count; i++) {
    const entry = decodeEntry(part())
    if (entry.index !== previous + 1 + i) throw new WireError('entries are not contiguous')
    entries.push(entry)
  }
  const message: Message = {
    type,
    from,
    to,
    term: number(0),
    index: number(1),
    logTerm: number(2),
    commit: number(3),
    rejectHint: number(4),
    context: number(5),
    reject: (flags & 1) !== 0,
    transfer: (flags & 2) !== 0,
    lease: (flags & 4) !== 0,
    entries,
    snapshot: snapshot === '' ? null : parseSnapshotMeta(snapshot),
  }
  return { clusterId, message }
}

function parseSnapshotMeta(text: string): SnapshotMeta {
  let meta: unknown
  try {
    meta = JSON.parse(text)
  } catch {
    throw new WireError('snapshot description is malformed')
  }
  if (!isSnapshotMeta(meta)) throw new WireError('snapshot description is malformed')
  return meta
}
