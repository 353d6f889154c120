import t from 'tap'
import {
  CodecError,
  decodeLogRecord,
  decodeRecord,
  encodeLogRecord,
  encodeRecord,
} from '../../../consensus/state/codec.ts'

t.test('byte arrays, Buffers and big integers come back as they went in', async (t) => {
  const value = {
    a: Uint8Array.of(1, 2),
    b: [Buffer.from('xyz')],
    c: 2n ** 64n - 1n,
    d: new Uint8Array(0),
    e: 'text',
  }
  const back = decodeRecord(encodeRecord(value)) as typeof value
  t.same([...back.a], [1, 2])
  t.equal(Buffer.from(back.b[0] ?? []).toString(), 'xyz')
  t.equal(back.c, 2n ** 64n - 1n)
  t.equal(back.d.length, 0)
  t.equal(back.e, 'text')
})

t.test('anything else is refused', async (t) => {
  const good = encodeLogRecord({
    at: 1,
    origin: 'o',
    sequence: 1,
    acknowledged: 0,
    command: { type: 'kv.delete', key: 'k' },
  })
  t.equal(decodeLogRecord(good).command.type, 'kv.delete')
  t.throws(() => decodeRecord(new Uint8Array(0)), CodecError)
  t.throws(() => decodeRecord(Uint8Array.of(9, 0, 0, 0, 2, 123, 125)), /unknown record format 9/)
  t.throws(() => decodeRecord(Uint8Array.of(1, 0, 0, 1, 0, 123, 125)), /cut short/)
  t.throws(() => decodeLogRecord(encodeRecord({ some: 'thing' })), /no command/)
})
