import t from 'tap'
import type { SwimMessage, SyncEntry } from '../../../discovery/membership/core/types.ts'
import { decodeMessage, decodeSync, encodeMessage, encodeSync } from '../../../discovery/membership/wire.ts'
import { member } from './sim.ts'

const coordinate = {
  vec: [0.001, -0.002, 0.000003, 0, 0, 0, 0, 0.25],
  height: 0.00001,
  adjustment: -0.0005,
  error: 0.25,
}
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value))

t.test('an ack and a full state carry coordinates, to the microsecond', async (t) => {
  const ack: SwimMessage = { type: 'ack', seq: 7, updates: [], coordinate }
  t.same(decodeMessage(encodeMessage(ack)), ack)
  const rough = { ...coordinate, height: 0.0000104 }
  t.same(decodeMessage(encodeMessage({ ...ack, coordinate: rough })), ack)
  const entries: SyncEntry[] = [
    { member: member('a'), ageMs: 5, place: { coordinate, ageMs: 12 } },
    { member: member('b'), ageMs: 0 },
  ]
  t.same(decodeSync(encodeSync(entries)), entries)
  const size = encodeMessage(ack).length - encodeMessage({ type: 'ack', seq: 7, updates: [] }).length
  t.ok(size < 100, `${size} bytes`)
})

t.test('a message without a coordinate is read as before', async (t) => {
  t.same(decodeMessage(bytes({ type: 'ack', seq: 1, updates: [] })), { type: 'ack', seq: 1, updates: [] })
  t.same(decodeSync(bytes({ entries: [{ member: member('a'), ageMs: 0 }] })), [
    { member: member('a'), ageMs: 0 },
  ])
})

t.test('what is no coordinate is refused', async (t) => {
  for (const bad of ['x', {}, [1, 'x'], [null], new Array(33).fill(0)]) {
    t.throws(() => decodeMessage(bytes({ type: 'ack', seq: 1, updates: [], coordinate: bad })), {
      code: 'MBR_BAD_MESSAGE',
    })
  }
  const entry = (place: unknown) => bytes({ entries: [{ member: member('a'), ageMs: 0, place }] })
  for (const bad of [7, { coordinate: [1], ageMs: -1 }, { coordinate: [1] }, { coordinate: 'x', ageMs: 1 }]) {
    t.throws(() => decodeSync(entry(bad)), { code: 'MBR_BAD_MESSAGE' })
  }
})
