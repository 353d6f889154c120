import fc from 'fast-check'
import t from 'tap'
import { LINE_CHARS_MAX, LineSplitter, readEvent } from '../../../providers/docker/events.ts'

t.test('lines arrive whole, however the stream is cut', async () => {
  fc.assert(
    fc.property(
      fc.array(
        fc
          .string({ unit: 'grapheme', minLength: 1 })
          .filter((line) => !/[\n\r]/.test(line) && line.trim() !== ''),
      ),
      fc.array(fc.nat(20), { minLength: 1 }),
      (lines, sizes) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
        const splitter = new LineSplitter()
        const got: string[] = []
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = (sizes[i % sizes.length] ?? 0) + 1
          got.push(...splitter.push(bytes.subarray(at, at + size)))
          at += size
        }
        return JSON.stringify(got) === JSON.stringify(lines)
      },
    ),
  )
})

t.test('a line without an end is dropped, and those behind it are read', async (t) => {
  const splitter = new LineSplitter()
  t.same(splitter.push(Buffer.from('x'.repeat(LINE_CHARS_MAX + 1))), [])
  t.same(splitter.push(Buffer.from('more\nnext\n')), ['next'])
})

t.test('events of both dialects', async (t) => {
  const read = (event: object) => readEvent(JSON.stringify(event))
  const actor = { Actor: { ID: 'a', Attributes: { signal: '15' } }, Type: 'container' }
  t.same(read({ ...actor, Action: 'die' }), { container: 'a', action: 'die', signal: '' })
  t.match(read({ ...actor, Action: 'health_status: unhealthy' }), { action: 'health_status' })
  t.match(read({ ...actor, Action: 'health_status', HealthStatus: 'healthy' }), { action: 'health_status' })
  t.match(read({ ...actor, Action: 'died' }), { action: 'die' })
  t.match(read({ ...actor, Action: 'remove' }), { action: 'destroy' })
  t.match(read({ ...actor, Action: 'kill' }), { action: 'kill', signal: '15' })
  t.equal(read({ ...actor, Action: 'exec_create: /bin/sh -c true' }), null)
  t.equal(read({ ...actor, Type: 'image', Action: 'pull' }), null)
  const network = { Type: 'network', Action: 'connect', Actor: { ID: 'net', Attributes: { container: 'c' } } }
  t.same(read(network), { container: 'c', action: 'network connect', signal: '' })
  for (const line of [
    '',
    '{',
    'null',
    '[]',
    '7',
    '{"Type":"container"}',
    '{"Type":"container","Action":{}}',
  ]) {
    t.equal(readEvent(line), null, line)
  }
})
