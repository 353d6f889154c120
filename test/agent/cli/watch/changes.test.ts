import t from 'tap'
import { changeLine, KeyChanges } from '../../../../agent/cli/watch/changes.ts'
import { EventStreamError } from '../../../../agent/cli/watch/event-stream.ts'
import { changeText } from '../../../../agent/cli/watch/watch-keys.ts'

const put = (key: string, value: string, more: object = {}) => ({
  type: 'put',
  data: JSON.stringify({
    LockIndex: 0,
    Key: key,
    Flags: 0,
    Value: value,
    CreateIndex: 1,
    ModifyIndex: 2,
    ...more,
  }),
  lastEventId: '',
})
const gone = (key: string) => ({
  type: 'delete',
  data: JSON.stringify({ Key: key, Index: 9 }),
  lastEventId: '',
})
const ready = { type: 'ready', data: '{"Index":12}', lastEventId: '' }
const reset = { type: 'reset', data: '{"Reason":"too old"}', lastEventId: '' }

/** Takes events and says what changed, as `+key` and `-key`. */
const take = (keys: KeyChanges, ...events: readonly { type: string; data: string; lastEventId: string }[]) =>
  events.flatMap((event) =>
    keys.take(event).changes.map((change) => `${change.event === 'put' ? '+' : '-'}${change.key}`),
  )

t.test('a listing, then changes', async (t) => {
  const keys = new KeyChanges(null)
  keys.begin(false)
  t.strictSame(take(keys, put('a', 'MQ=='), put('b', 'MQ==')), ['+a', '+b'])
  t.match(keys.take(ready), { ready: true, changes: [] })
  t.strictSame(take(keys, put('a', 'Mg=='), gone('b'), gone('c')), ['+a', '-b'])
  t.strictSame(take(keys, { type: 'later-invention', data: 'x', lastEventId: '' }), [])
})

t.test('a stream that begins anew tells only what differs', async (t) => {
  const keys = new KeyChanges(null)
  keys.begin(false)
  take(keys, put('same', 'MQ=='), put('other', 'MQ=='), put('gone', 'MQ=='), put('locked', 'MQ=='), ready)
  t.match(keys.take(reset), { reset: 'too old', changes: [] })
  t.strictSame(
    take(
      keys,
      put('same', 'MQ==', { ModifyIndex: 50 }),
      put('other', 'Mg=='),
      put('locked', 'MQ==', { Session: 's' }),
      put('new', ''),
    ),
    ['+other', '+locked', '+new'],
  )
  t.strictSame(keys.take(ready).changes, [
    { event: 'delete', key: 'gone', fields: { Key: 'gone', Index: 12 } },
  ])
  keys.begin(true)
  t.strictSame(take(keys, ready, put('new', 'MQ==')), ['+new'], 'one that goes on deletes nothing')
  keys.begin(false)
  keys.begin(false)
  t.strictSame(
    take(keys, ready).sort(),
    ['-locked', '-new', '-other', '-same'],
    'a listing that was cut off does not count',
  )
})

t.test('one key alone', async (t) => {
  const keys = new KeyChanges('a')
  keys.begin(false)
  t.strictSame(take(keys, put('a', ''), put('ab', ''), ready, gone('ab'), gone('a')), ['+a', '-a'])
})

t.test('events that are none', async (t) => {
  const keys = new KeyChanges(null)
  for (const data of ['', '[]', 'null', '{"Key":5}', '{']) {
    t.throws(() => keys.take({ type: 'put', data, lastEventId: '' }), EventStreamError, data)
  }
})

t.test('a change as a line', async (t) => {
  const keys = new KeyChanges(null)
  const lines = (data: string, type = 'put') =>
    keys
      .take({ type, data, lastEventId: '' })
      .changes.map((change) => [changeText(change), changeLine(change)])
  t.strictSame(lines('{"Key":"a","Flags":18446744073709551615,"Value":"eA==","ModifyIndex":7}'), [
    [
      'put     7         a  1 byte  x',
      '{"Event":"put","Key":"a","Flags":18446744073709551615,"Value":"eA==","ModifyIndex":7}',
    ],
  ])
  const long = Buffer.from(`${'x'.repeat(59)}çy`).toString('base64')
  const colour = Buffer.from('\u001b[31m').toString('base64')
  for (const [value, text] of [
    ['null', '0 bytes'],
    ['"/wA="', '2 bytes'],
    [`"${long}"`, `62 bytes  ${'x'.repeat(59)}…`],
    [`"${colour}"`, '5 bytes  ?[31m'],
  ]) {
    t.equal(lines(`{"Key":"a\\n","Value":${value},"ModifyIndex":7}`)[0]?.[0], `put     7         a?  ${text}`)
  }
  t.match(
    lines('{"Key":"l","Value":null,"ModifyIndex":8,"Session":"s1"}')[0]?.[0],
    /0 bytes {2}locked by s1$/,
  )
  t.strictSame(lines('{"Key":"a","Index":123}', 'delete'), [
    ['delete  123       a', '{"Event":"delete","Key":"a","Index":123}'],
  ])
})
