import fc from 'fast-check'
import t from 'tap'
import type { Message } from '../../consensus/raft/types.ts'
import { CodecError, decodeRecord, encodeRecord } from '../../consensus/state/codec.ts'
import { DamagedEntryError } from '../../consensus/storage/entry-codec.ts'
import { decodeMessage, encodeMessage, WireError } from '../../consensus/wire.ts'
import { entriesOf, message } from './raft/harness.ts'

const APPEND = message({
  type: 'append',
  from: 'a',
  to: 'b',
  term: 7,
  index: 3,
  logTerm: 6,
  commit: 2,
  entries: entriesOf([6, 7], 4),
})
const SNAPSHOT = message({
  type: 'snapshot',
  from: 'a',
  to: 'b',
  term: 7,
  snapshot: {
    index: 9,
    term: 6,
    configuration: {
      voters: ['a', 'b'],
      votersOutgoing: ['a'],
      learners: ['c'],
      learnersNext: [],
      autoLeave: true,
    },
  },
})
const VOTE = message({ type: 'vote', from: 'ä', to: 'b', term: 2 ** 53 - 1, transfer: true, reject: true })

function tolerated(error: unknown): boolean {
  return error instanceof WireError || error instanceof DamagedEntryError
}

function attempt(bytes: Uint8Array): Message | null {
  try {
    return decodeMessage(bytes).message
  } catch (error) {
    if (!tolerated(error)) throw error
    return null
  }
}

t.test('every message comes back as it was sent', async (t) => {
  for (const sent of [APPEND, SNAPSHOT, VOTE]) {
    const { clusterId, message: back } = decodeMessage(encodeMessage('home', sent))
    t.equal(clusterId, 'home')
    t.same(back, sent)
  }
})

t.test('random bytes are refused with an error of the format, never another', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      attempt(bytes)
      attempt(Uint8Array.from([1, bytes[0] ?? 0, 0, 0, 0, 0, 0, (bytes[1] ?? 0) % 3, ...bytes]))
    }),
    { numRuns: 2000 },
  )
  t.pass()
})

t.test(
  'a damaged frame is refused the same way, and its entries are never other than those sent',
  async (t) => {
    const frames = [APPEND, SNAPSHOT, VOTE].map((sent) => encodeMessage('home', sent))
    fc.assert(
      fc.property(
        fc.constantFrom(...frames),
        fc.nat(400),
        fc.integer({ min: 1, max: 255 }),
        (frame, at, flip) => {
          const bytes = frame.slice()
          bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ flip
          for (const entry of attempt(bytes)?.entries ?? [])
            if (!APPEND.entries.some(({ index, term }) => index === entry.index && term === entry.term))
              return false
          attempt(frame.subarray(0, at % frame.length))
          return true
        },
      ),
      { numRuns: 2000 },
    )
    t.pass()
  },
)

t.test('what no node sends is refused', async (t) => {
  const bad: [Message, RegExp][] = [
    [{ ...APPEND, entries: entriesOf([7], 9) }, /not contiguous/],
    [{ ...SNAPSHOT, snapshot: { index: 1.5, term: 1 } as never }, /malformed/],
    [{ ...SNAPSHOT, snapshot: 'text' as never }, /malformed/],
  ]
  for (const [sent, reason] of bad) t.throws(() => decodeMessage(encodeMessage('home', sent)), reason)
  const other = encodeMessage('home', VOTE)
  other[0] = 2
  t.throws(() => decodeMessage(other), /unknown message version 2/)
  const long = encodeMessage('home', VOTE)
  new DataView(long.buffer).setUint32(4, 1 << 30)
  t.throws(() => decodeMessage(long), /too many/)
})

t.test('an entry does not keep the frame it came in alive', async (t) => {
  const { message: back } = decodeMessage(Buffer.from(encodeMessage('home', APPEND)))
  const [entry] = back.entries
  t.equal(entry?.data.buffer.byteLength, entry?.data.length)
})

t.test('records: random bytes are refused with CodecError, never another error', async (t) => {
  const frame = encodeRecord({ op: 'x', value: new Uint8Array([1, 2]), big: 5n })
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(200), fc.nat(255), (bytes, at, value) => {
      const damaged = frame.slice()
      damaged[at % damaged.length] = value
      for (const junk of [bytes, Uint8Array.from([1, 0, 0, 0, bytes.length, ...bytes]), damaged]) {
        try {
          decodeRecord(junk)
        } catch (error) {
          if (!(error instanceof CodecError)) return false
        }
      }
      return true
    }),
    { numRuns: 2000 },
  )
  for (const json of ['{"$b":[-9,4]}', '{"$b":[0.5,1]}', '{"$b":[0,99]}', '{"$n":"x"}', '{"$b":1}']) {
    const bytes = Buffer.concat([Buffer.from([1, 0, 0, 0, json.length]), Buffer.from(json), Buffer.alloc(4)])
    t.throws(() => decodeRecord(bytes), CodecError, json)
  }
})
