import t from 'tap'
import { decodeEvent, encodeEvent } from '../../../discovery/events/codec.ts'
import type { UserEvent } from '../../../discovery/events/types.ts'

const EVENT: UserEvent = {
  id: '346f5006-3cb0-4a71-8c13-ac92d53df453',
  name: 'deploy',
  payload: Uint8Array.of(0, 255, 10),
  nodeFilter: '^web',
  serviceFilter: 'api',
  tagFilter: 'blue',
  lamportTime: 7,
}

const fieldsOf = (event: UserEvent) => JSON.parse(Buffer.from(encodeEvent(event)).toString())
const decode = (fields: unknown) => decodeEvent(Buffer.from(JSON.stringify(fields)))

t.test('an event survives the way', async (t) => {
  const decoded = decodeEvent(encodeEvent(EVENT))
  t.same({ ...decoded, payload: [...decoded.payload] }, { ...EVENT, payload: [...EVENT.payload] })
  t.same([...decodeEvent(encodeEvent({ ...EVENT, payload: new Uint8Array() })).payload], [])
  t.equal(decode({ ...fieldsOf(EVENT), novelty: 1 }).name, 'deploy', 'a later version may say more')
})

t.test('the largest event fits, whatever its characters', async (t) => {
  const texts = { name: '\u0001'.repeat(255), nodeFilter: '\u0001'.repeat(512) }
  const filters = { serviceFilter: '\u0001'.repeat(512), tagFilter: '\u0001'.repeat(512) }
  const largest = { ...EVENT, ...texts, ...filters, payload: new Uint8Array(16 * 1024) }
  t.equal(decodeEvent(encodeEvent(largest)).payload.length, 16 * 1024)
})

t.test('anything else is refused', async (t) => {
  const fields = fieldsOf(EVENT)
  const wrong: Record<string, unknown> = {
    format: { ...fields, format: 2 },
    'no id': { ...fields, id: undefined },
    'id in capitals': { ...fields, id: fields.id.toUpperCase() },
    'id too long': { ...fields, id: `${fields.id}0` },
    'no name': { ...fields, name: '' },
    'long name': { ...fields, name: 'x'.repeat(256) },
    'name is a number': { ...fields, name: 1 },
    'long filter': { ...fields, tagFilter: 'x'.repeat(513) },
    'no filter': { ...fields, nodeFilter: undefined },
    'payload is null': { ...fields, payload: null },
    'payload is not base64': { ...fields, payload: 'AAA*' },
    'payload too large': { ...fields, payload: Buffer.alloc(16 * 1024 + 1).toString('base64') },
    'time is negative': { ...fields, lamportTime: -1 },
    'time is a fraction': { ...fields, lamportTime: 1.5 },
    'time is out of range': { ...fields, lamportTime: 2 ** 50 + 1 },
    'a list': [],
    nothing: null,
  }
  for (const [what, value] of Object.entries(wrong)) {
    t.throws(() => decode(value), { code: 'EVT_BAD_MESSAGE' }, what)
  }
  t.throws(() => decodeEvent(Buffer.from('{')), { code: 'EVT_BAD_MESSAGE' })
  t.throws(() => decodeEvent(Buffer.of(0xff)), { code: 'EVT_BAD_MESSAGE' })
  const padded = Buffer.from(`${' '.repeat(64 * 1024)}${JSON.stringify(fields)}`)
  t.throws(() => decodeEvent(padded), { code: 'EVT_BAD_MESSAGE' }, 'too many bytes')
})
