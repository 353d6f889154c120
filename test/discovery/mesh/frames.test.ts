import fc from 'fast-check'
import t from 'tap'
import { encodeFrame, FRAME, FRAME_HEADER_BYTES, FrameDecoder } from '../../../discovery/mesh/frames.ts'

const kinds = Object.values(FRAME)

t.test('frames survive any cutting of the stream, in order', async () => {
  const frame = fc.record({
    kind: fc.constantFrom(...kinds),
    id: fc.nat(0xffff_ffff),
    payload: fc.uint8Array({ maxLength: 40 }),
  })
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 10 }),
      fc.array(fc.nat(30), { maxLength: 40 }),
      (frames, cuts) => {
        const stream = Buffer.concat(frames.map(({ kind, id, payload }) => encodeFrame(kind, id, payload)))
        const decoder = new FrameDecoder({ payloadBytesMax: 40 })
        const read = []
        let offset = 0
        for (const cut of [...cuts, stream.length]) {
          read.push(...decoder.push(stream.subarray(offset, offset + cut)))
          offset += cut
        }
        return JSON.stringify(read) === JSON.stringify(frames)
      },
    ),
  )
})

t.test('a frame over the limit is refused before its payload is kept', async (t) => {
  const decoder = new FrameDecoder({ payloadBytesMax: 10 })
  t.equal(decoder.push(encodeFrame(FRAME.message, 0, new Uint8Array(10))).length, 1)
  const header = encodeFrame(FRAME.message, 0, new Uint8Array(11)).subarray(0, FRAME_HEADER_BYTES)
  t.throws(() => decoder.push(header), { code: 'MSH_TOO_LARGE', message: /11 bytes, the limit is 10/ })
})

t.test('random bytes throw a MeshError or wait for more, and never anything else', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (junk) => {
      try {
        new FrameDecoder({ payloadBytesMax: 64 }).push(junk)
      } catch (error) {
        return error instanceof Error && error.name === 'MeshError'
      }
      return true
    }),
  )
})

t.test('a payload is copied in and out', async (t) => {
  const payload = Uint8Array.of(1, 2)
  const encoded = encodeFrame(FRAME.message, 0, payload)
  payload.fill(9)
  const [frame] = new FrameDecoder({ payloadBytesMax: 10 }).push(encoded)
  encoded.fill(0)
  t.same([...(frame?.payload ?? [])], [1, 2])
})
