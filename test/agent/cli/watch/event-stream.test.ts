import fc from 'fast-check'
import t from 'tap'
import {
  EventStreamError,
  EventStreamParser,
  type StreamEvent,
} from '../../../../agent/cli/watch/event-stream.ts'

const all = (parser: EventStreamParser, ...chunks: readonly (string | Uint8Array)[]): StreamEvent[] =>
  chunks.flatMap((chunk) => parser.push(Buffer.from(chunk as string)))
const parse = (...chunks: readonly (string | Uint8Array)[]) => all(new EventStreamParser(), ...chunks)
const data = (...chunks: readonly (string | Uint8Array)[]) => parse(...chunks).map((event) => event.data)

t.test('fields', async (t) => {
  t.strictSame(parse('event: put\nid: 7\ndata: {"a":1}\n\n'), [
    { type: 'put', data: '{"a":1}', lastEventId: '7' },
  ])
  t.strictSame(parse('data: a\ndata:b\ndata:  c\ndata\n\n'), [
    { type: 'message', data: 'a\nb\n c\n', lastEventId: '' },
  ])
  t.strictSame(parse(': keep-alive\n\n:\n\n'), [], 'comments are nothing')
  t.strictSame(
    parse('event: put\n\ndata: x\n\n'),
    [{ type: 'message', data: 'x', lastEventId: '' }],
    'no data, no event',
  )
  t.strictSame(data('data: a:b: c\n\nother: x\ndata\n\n'), ['a:b: c', ''])
  t.strictSame(data('data: not ended\n'), [], 'an event ends with an empty line')
})

t.test('the id of the last event', async (t) => {
  const ids = (...chunks: string[]) => parse(...chunks).map((event) => event.lastEventId)
  t.strictSame(
    ids('id: 1\ndata: a\n\ndata: b\n\nid: 2\n\ndata: c\n\n'),
    ['1', '1', '2'],
    'it stays until the next one',
  )
  t.strictSame(ids('id: 1\ndata: a\n\nid\ndata: b\n\n'), ['1', ''], 'an empty one takes it back')
  t.strictSame(ids('id: 1\ndata: a\n\nid: x\0y\ndata: b\n\n'), ['1', '1'], 'one with NUL is ignored')
  const resumed = new EventStreamParser('41')
  t.strictSame(all(resumed, 'data: a\n\n')[0]?.lastEventId, '41')
  t.equal(resumed.lastEventId, '41')
  resumed.push(Buffer.from('id: 42\ndata: b\n'))
  t.equal(resumed.lastEventId, '41', 'an event that was cut off is asked for again')
  resumed.push(Buffer.from('\n: keep-alive\nid: 43\n\n'))
  t.equal(resumed.lastEventId, '43', 'an id without an event counts')
})

t.test('retry', async (t) => {
  const parser = new EventStreamParser()
  t.equal(parser.retryMs, null)
  parser.push(Buffer.from('retry: 1500\nretry: 2s\nretry: -1\n'))
  t.equal(parser.retryMs, 1500)
})

t.test('line ends', async (t) => {
  for (const end of ['\n', '\r', '\r\n']) {
    t.strictSame(
      data(`data: a${end}data: b${end}${end}data: c${end}${end}`),
      ['a\nb', 'c'],
      JSON.stringify(end),
    )
  }
  t.strictSame(data('data: a\r', '\n\r', '\n'), ['a'], 'CR LF cut in two is one line end')
  t.strictSame(data('data: a\r', '\n', '\r', '\ndata: b\n\n'), ['a', 'b'], 'also one byte at a time')
  t.strictSame(data('data: a\r', '\ndata: b\r\n\r\n'), ['a\nb'], 'and ends no event')
  t.strictSame(data('data: a\r', '\r'), ['a'], 'CR CR is two line ends')
  t.strictSame(data('data: a\r', '', '\n\n'), ['a'], 'a chunk of nothing does not change that')
})

t.test('characters that chunks split, and a byte order mark', async (t) => {
  const bytes = Buffer.from('\uFEFFdata: ç€\u{1F600}\n\n')
  for (let cut = 1; cut < bytes.length; cut++) {
    t.strictSame(data(bytes.subarray(0, cut), bytes.subarray(cut)), ['ç€\u{1F600}'], `cut at ${cut}`)
  }
  t.strictSame(data(Buffer.of(0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 0x0a, 0x0a)), ['\uFFFD'])
})

t.test('wherever the chunks end, the events are the same', async () => {
  const piece = fc.constantFrom(
    'data: x',
    'data:ç\u{1F600}',
    'event: e',
    'id: 1',
    ':',
    'retry: 5',
    '\r',
    '\n',
    '\r\n',
    '\n\n',
  )
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 30 }),
      fc.array(fc.nat(200), { maxLength: 8 }),
      (pieces, cuts) => {
        const bytes = Buffer.from(pieces.join(''))
        const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length]
        const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end))
        const whole = JSON.stringify(parse(bytes))
        const bytewise = Array.from(bytes, (byte) => Uint8Array.of(byte))
        return JSON.stringify(parse(...chunks)) === whole && JSON.stringify(parse(...bytewise)) === whole
      },
    ),
  )
})

t.test('a line or an event without end is refused', async (t) => {
  const endless = (text: string) => () => {
    const parser = new EventStreamParser()
    const chunk = Buffer.from(text.repeat(2 ** 20 / text.length))
    for (let mebibytes = 0; mebibytes < 40; mebibytes++) parser.push(chunk)
  }
  t.throws(endless('x'), EventStreamError)
  t.throws(endless(`data:${'x'.repeat(1018)}\n`), EventStreamError)
  t.throws(endless('data\n'.repeat(64)), EventStreamError, 'also of lines without anything')
})
