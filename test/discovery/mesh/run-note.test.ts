import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Keyring, RING_KEYS_MAX } from '../../../discovery/mesh/cluster-key.ts'
import { drawRun, splitNote, withNote } from '../../../discovery/mesh/run-note.ts'

const data = randomBytes(100)
const ring = (count: number) => new Keyring(Array.from({ length: count }, () => randomBytes(32)))

t.test('a note comes back, and agents that know none still accept the proof', async (t) => {
  for (const address of ['', '10.0.0.5:7946', '[2001:db8::1]:7946', `${'h'.repeat(60)}.example:1`]) {
    const keys = ring(2)
    const signatures = keys.sign(data)
    const note = { run: drawRun(), address }
    const proof = withNote(signatures, note)
    t.same(splitNote(proof), { signatures, note })
    t.ok(keys.verify(data, proof), 'read whole, as an agent without notes does')
    t.ok(keys.verify(data, splitNote(proof).signatures))
  }
})

t.test('it never makes the proof longer than older agents read', async (t) => {
  const note = { run: drawRun(), address: '10.0.0.5:7946' }
  const notes = Array.from({ length: RING_KEYS_MAX }, (_, index) => {
    const keys = ring(index + 1)
    const proof = withNote(keys.sign(data), note)
    t.ok(keys.verify(data, proof), `${index + 1} keys`)
    return splitNote(proof).note
  })
  t.same(notes.slice(0, 6), Array(6).fill(note))
  t.same(notes.slice(6), [{ ...note, address: '' }, undefined])
})

t.test('what is no address is not told, and what is no note is none', async (t) => {
  const signatures = ring(1).sign(data)
  for (const address of ['a b:1', 'host', 'x\n:1', 'h:99999', `${'h'.repeat(300)}:1`]) {
    const note = splitNote(withNote(signatures, { run: drawRun(), address })).note
    t.equal(note?.address, '', JSON.stringify(address))
  }
  t.same(splitNote(signatures), { signatures, note: undefined })
  for (const length of [0, 1, 31, 33, 512]) {
    const bytes = randomBytes(length)
    t.same(splitNote(bytes), { signatures: bytes, note: undefined })
  }
  const cut = Buffer.concat([Buffer.from('run-note'), Buffer.alloc(24, 255)])
  t.equal(splitNote(cut).note?.address, '', 'longer than what is there')
})
