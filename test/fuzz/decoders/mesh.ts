import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { checkAnswer, type FollowAnswer } from '../../../consensus/feed-messages.ts'
import { CodecError, decodeRecord, encodeRecord } from '../../../consensus/state/codec.ts'
import { DamagedEntryError, encodeEntry } from '../../../consensus/storage/entry-codec.ts'
import {
  decodeMessage as decodeConsensus,
  encodeMessage as encodeConsensus,
  WireError,
} from '../../../consensus/wire.ts'
import { decodeEvent, encodeEvent } from '../../../discovery/events/codec.ts'
import { EventError } from '../../../discovery/events/errors.ts'
import { SwimCore } from '../../../discovery/membership/core/swim-core.ts'
import {
  DEFAULT_TIMINGS,
  type SwimMessage,
  type SyncEntry,
} from '../../../discovery/membership/core/types.ts'
import { MembershipError } from '../../../discovery/membership/errors.ts'
import {
  decodeAnswer,
  decodeMessage,
  decodeSync,
  decodeSyncRequest,
  encodeAnswer,
  encodeMessage,
  encodeOffer,
  encodeSync,
} from '../../../discovery/membership/wire.ts'
import { MeshError } from '../../../discovery/mesh/errors.ts'
import { encodeFrame, FRAME, type Frame, FrameDecoder } from '../../../discovery/mesh/frames.ts'
import { decodeGossip, encodeGossip } from '../../../discovery/mesh/gossip.ts'
import {
  decodeHello,
  encodeHello,
  HELLO_BYTES,
  NONCE_BYTES,
  PROOF_VERSION,
  sameCluster,
} from '../../../discovery/mesh/proof-messages.ts'
import { splitNote, withNote } from '../../../discovery/mesh/run-note.ts'
import { entriesOf, message } from '../../consensus/raft/harness.ts'
import { hostile } from './hostile.ts'
import type { NamedProperty } from './property.ts'

/** The result, or undefined if the error is the one that is documented. Any other error is thrown. */
function attempt<T>(read: () => T, isExpected: (error: unknown) => boolean): T | undefined {
  try {
    return read()
  } catch (error) {
    if (!isExpected(error)) throw error
    return undefined
  }
}

const PAYLOAD_BYTES_MAX = 1000
const FRAMES = [
  encodeFrame(FRAME.ping, 0),
  encodeFrame(FRAME.request, 7, Buffer.from('payload')),
  encodeFrame(FRAME.response, 2 ** 32 - 1, new Uint8Array(PAYLOAD_BYTES_MAX)),
  encodeFrame(FRAME.message, 0, new Uint8Array(PAYLOAD_BYTES_MAX + 1)),
  Buffer.from([0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0]),
  Buffer.from([0, 0, 0, 0, 2, 0, 0, 0, 0]),
]

/** The frames in these bytes, given in pieces of this length; null if the stream is useless. */
function framesOf(bytes: Uint8Array, piece: number): Frame[] | null {
  const decoder = new FrameDecoder({ payloadBytesMax: PAYLOAD_BYTES_MAX })
  const frames: Frame[] = []
  for (let at = 0; at < bytes.length; at += piece) {
    const more = attempt(
      () => decoder.push(bytes.subarray(at, at + piece)),
      (error) => error instanceof MeshError && ['MSH_TOO_LARGE', 'MSH_PROTOCOL'].includes(error.code),
    )
    if (more === undefined) return null
    frames.push(...more)
  }
  return frames
}

const NONCE = new Uint8Array(NONCE_BYTES).fill(5)
const HELLO = encodeHello(NONCE, 'home')
const NOTED = withNote(Buffer.alloc(64, 7), { run: '0f'.repeat(16), address: '10.0.0.5:7946' })

const b = { id: 'b', name: 'b', address: 'b:1', incarnation: 3, meta: { role: 'voter' } }
const SWIM: readonly SwimMessage[] = [
  { type: 'ping', seq: 4, updates: [{ status: 'alive', ...b }] },
  { type: 'ping-req', seq: 5, target: 'c', updates: [{ status: 'left', id: 'c', incarnation: 2 }] },
  {
    type: 'gossip',
    updates: [
      { status: 'suspect', id: 'a', incarnation: 1, from: 'b' },
      { status: 'failed', id: 'c', incarnation: 1, from: 'b' },
      { status: 'alive', ...b, id: 'd', name: 'a' },
    ],
  },
  { type: 'ack', seq: 1, updates: [] },
]
const SYNC: readonly SyncEntry[] = [
  { member: { ...b, status: 'alive' }, ageMs: 5 },
  { member: { ...b, id: 'c', name: 'c', status: 'left' }, ageMs: 1e9 },
  { member: { ...b, id: 'a', name: 'x', status: 'failed' }, ageMs: 0 },
]
const isBadMember = (error: unknown) => error instanceof MembershipError && error.code === 'MBR_BAD_MESSAGE'

function swimCore(): SwimCore {
  const self = { id: 'a', name: 'a', address: 'a:1', incarnation: 1, meta: {} }
  return new SwimCore({ self, random: () => 0.5, timings: { membersMax: 8 } }, 0)
}

/** Whatever a member is told about itself, it says the same about itself; and it knows no more than it may. */
function isSound(core: SwimCore): boolean {
  const { id, name, address, meta, status, incarnation } = core.self()
  return (
    isDeepStrictEqual(
      { id, name, address, meta, status },
      { ...{ id: 'a', name: 'a', address: 'a:1' }, meta: {}, status: 'alive' },
    ) &&
    Number.isSafeInteger(incarnation) &&
    core.members().length <= 8 &&
    core.queued <= 64
  )
}

const EVENT = encodeEvent({
  id: '6f1c2a34-0d55-4b1c-8c39-8f5b4e0f9d11',
  name: 'deploy',
  payload: Buffer.from('x'),
  nodeFilter: '',
  serviceFilter: 'web',
  tagFilter: '',
  lamportTime: 7,
})

const APPEND = message({
  type: 'append',
  from: 'a',
  to: 'b',
  term: 7,
  index: 3,
  logTerm: 6,
  entries: entriesOf([6, 7], 4),
})
const CONSENSUS = [
  encodeConsensus('home', APPEND),
  encodeConsensus('home', message({ type: 'vote', from: 'a', to: 'b', term: 2 ** 53 - 1, transfer: true })),
  encodeConsensus('home', {
    ...message({ type: 'snapshot', from: 'a', to: 'b', term: 7 }),
    snapshot: {
      index: 9,
      term: 6,
      configuration: {
        voters: ['a'],
        votersOutgoing: [],
        learners: ['c'],
        learnersNext: [],
        autoLeave: false,
      },
    },
  }),
]
const ANSWER: FollowAnswer = {
  leader: 'a',
  term: 7,
  commitIndex: 5,
  lastContactMs: 3,
  members: { voters: ['a'], learners: [] },
  body: { kind: 'entries', entries: entriesOf([6, 7], 4).map(encodeEntry) },
}
const SNAPSHOT_ANSWER: FollowAnswer = {
  ...ANSWER,
  body: {
    kind: 'snapshot',
    transfer: 't',
    index: 9,
    term: 6,
    part: 0,
    records: [encodeRecord({ kind: 'end' })],
    last: true,
  },
}

/** What comes over the mesh beside the catalogue. */
export const MESH_PROPERTIES: readonly NamedProperty[] = [
  {
    name: 'frames: the same however the bytes are cut, never more than came, and a broken stream is told as such',
    property: fc.property(
      fc.array(hostile(FRAMES, 'bytes'), { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 40 }),
      (parts, piece) => {
        const bytes = Buffer.concat(parts)
        const whole = framesOf(bytes, Math.max(1, bytes.length))
        const pieces = framesOf(bytes, piece)
        const size = (whole ?? []).reduce((sum, frame) => sum + frame.payload.length, 0)
        return isDeepStrictEqual(whole, pieces) && size <= bytes.length
      },
    ),
  },
  {
    name: 'gossip: an envelope is read as it was written, or not at all',
    property: fc.property(hostile([encodeGossip('b', 7n, Buffer.from('x'))], 'bytes'), (bytes) => {
      const read = decodeGossip(bytes)
      return read === undefined || read.from.length + read.payload.length < bytes.length
    }),
  },
  {
    name: 'proof of membership: a first message that was changed names another cluster, or none',
    property: fc.property(hostile([HELLO], 'bytes'), (bytes) => {
      const hello = decodeHello(bytes)
      if (hello === undefined || hello.version !== PROOF_VERSION) return true
      if (bytes.length !== HELLO_BYTES) return false
      return sameCluster(hello, 'home') === (Buffer.compare(bytes, HELLO) === 0)
    }),
  },
  {
    name: 'proof of membership: a note of a run is read in bounds, and never adds to the signatures',
    property: fc.property(hostile([NOTED], 'bytes'), (bytes) => {
      const { signatures, note } = splitNote(bytes)
      if (note === undefined) return signatures.length === bytes.length
      const isText = note.address === '' || /^[\x21-\x7e]{1,255}$/.test(note.address)
      return signatures.length < bytes.length && note.run.length === 32 && isText
    }),
  },
  {
    name: 'membership: a message is refused with one code, or leaves the node what it is',
    property: fc.property(
      fc.array(fc.tuple(hostile(SWIM.map(encodeMessage), 'json'), fc.constantFrom('b', 'c', 'evil')), {
        maxLength: 4,
      }),
      (list) => {
        const core = swimCore()
        for (const [i, [bytes, from]] of list.entries()) {
          const read = attempt(() => decodeMessage(bytes), isBadMember)
          if (read) core.message(from, read, i)
        }
        core.tick(DEFAULT_TIMINGS.probeIntervalMs * 20)
        return isSound(core)
      },
    ),
  },
  {
    name: 'membership: a full state is refused with one code, or leaves the node what it is',
    property: fc.property(hostile([encodeSync(SYNC)], 'json'), (bytes) => {
      const core = swimCore()
      const read = attempt(() => decodeSync(bytes), isBadMember)
      if (read) core.merge('b', read, 1)
      return isSound(core)
    }),
  },
  {
    name: 'membership: an offer and its answer are refused with one code, or leave the node what it is',
    property: fc.property(
      hostile([encodeOffer(swimCore().offer(1)), encodeSync(SYNC)], 'json'),
      hostile([encodeAnswer({ buckets: [0], entries: SYNC, places: [] })], 'json'),
      (requested, answered) => {
        const core = swimCore()
        const request = attempt(() => decodeSyncRequest(requested), isBadMember)
        if (request && 'digest' in request) core.answerOffer(request, 1)
        else if (request) core.merge('b', request, 1)
        const answer = attempt(() => decodeAnswer(answered), isBadMember)
        if (answer) core.takeAnswer('b', core.offer(2), answer, 2)
        return isSound(core)
      },
    ),
  },
  {
    name: 'user events: refused with one code, or within their bounds',
    property: fc.property(hostile([EVENT], 'json'), (bytes) => {
      const event = attempt(
        () => decodeEvent(bytes),
        (error) => error instanceof EventError && error.code === 'EVT_BAD_MESSAGE',
      )
      return event === undefined || encodeEvent(event).length <= 64 * 1024
    }),
  },
  {
    name: 'consensus: a message is refused as such, or is one that could have been sent',
    property: fc.property(hostile(CONSENSUS, 'bytes'), (bytes) => {
      const read = attempt(
        () => decodeConsensus(bytes),
        (error) => error instanceof WireError || error instanceof DamagedEntryError,
      )
      if (read === undefined) return true
      const again = decodeConsensus(encodeConsensus(read.clusterId, read.message))
      return isDeepStrictEqual(again, read)
    }),
  },
  {
    name: 'consensus: records, and answers to clients, are refused as such',
    property: fc.property(hostile([ANSWER, SNAPSHOT_ANSWER].map(encodeRecord), 'bytes'), (bytes) => {
      const isExpected = (error: unknown) => error instanceof CodecError || error instanceof DamagedEntryError
      const read = attempt(() => decodeRecord(bytes), isExpected)
      attempt(() => checkAnswer(read as FollowAnswer, { index: 3, term: 6 }), isExpected)
      return true
    }),
  },
]
