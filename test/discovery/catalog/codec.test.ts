import fc from 'fast-check'
import t from 'tap'
import {
  ANSWER_BYTES_MAX,
  decodeGossip,
  decodeMessage,
  encodeDelta,
  encodeMessage,
  encodeVersion,
  GOSSIP_BYTES_MAX,
} from '../../../discovery/catalog/codec.ts'
import { applyDelta, diffRecords } from '../../../discovery/catalog/delta.ts'
import type { NodeRecord } from '../../../discovery/catalog/types.ts'
import { check, record, service } from './fixtures.ts'

const text = (value: unknown) => Buffer.from(JSON.stringify(value))
const RUNS = { numRuns: 300 }

const names = fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' })
const services = fc
  .uniqueArray(
    fc.record({
      id: names,
      name: names,
      tags: fc.array(fc.string({ maxLength: 5 }), { maxLength: 3 }),
      address: fc.string({ maxLength: 20 }),
      port: fc.nat(65_535),
      meta: fc.dictionary(names, fc.string({ maxLength: 8 }), { maxKeys: 4 }),
      weights: fc.record({ passing: fc.nat(9), warning: fc.nat(9) }),
      enableTagOverride: fc.boolean(),
      taggedAddresses: fc.dictionary(names, fc.record({ address: fc.string(), port: fc.nat(65_535) }), {
        maxKeys: 2,
      }),
    }),
    { selector: (s) => s.id, maxLength: 5 },
  )
  .map((list) => list.map((one) => service(one.id, one)))
const records = fc.tuple(services, fc.constantFrom('passing', 'warning', 'critical')).map(([list, status]) =>
  record(
    'b',
    3,
    list,
    list.map((s, i) => check(`c${i}`, s.id, { status })),
  ),
)

const same = (t: { same: (a: unknown, b: unknown) => boolean }, a: NodeRecord, b: NodeRecord) => {
  return t.same(
    JSON.stringify([...a.services, ...a.checks].sort()),
    JSON.stringify([...b.services, ...b.checks].sort()),
  )
}

t.test('a record comes back as it went', async (t) => {
  fc.assert(
    fc.property(records, (one) => {
      const message = decodeMessage(encodeMessage({ type: 'records', records: [one] }))
      const back = message.type === 'records' ? message.records[0] : undefined
      return back !== undefined && same(t, back, one)
    }),
    { numRuns: 100 },
  )
})

t.test('the step between two records leads from one to the other', async (t) => {
  fc.assert(
    fc.property(records, records, (before, after) => {
      const target = { ...after, version: { incarnation: 1, sequence: 9 } }
      const message = decodeGossip(encodeDelta(diffRecords(before, target)))
      if (message.type !== 'delta') return false
      const reached = applyDelta(before, message.delta)
      return reached.version.sequence === 9 && same(t, reached, target)
    }),
    { numRuns: 100 },
  )
})

t.test('bytes from outside are rejected with one code, never with another error', async (t) => {
  const rejects = (bytes: Uint8Array) => {
    for (const decode of [decodeGossip, decodeMessage]) {
      try {
        decode(bytes)
      } catch (error) {
        if ((error as { code?: string }).code !== 'CAT_BAD_MESSAGE') throw error
      }
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), rejects), RUNS)
  fc.assert(
    fc.property(fc.jsonValue(), (value) => rejects(text(value))),
    RUNS,
  )
  const valid = [
    encodeMessage({ type: 'records', records: [record('b', 1, [service('web-1')], [check('c', 'web-1')])] }),
    encodeMessage({ type: 'digest', entries: [{ id: 'b', incarnation: 1, sequence: 2 }] }),
    encodeDelta(diffRecords(record('b', 1), record('b', 2, [service('web-1')]))),
  ]
  const spoiled = fc.tuple(fc.constantFrom(...valid), fc.nat(), fc.nat(255)).map(([bytes, at, value]) => {
    const copy = Uint8Array.from(bytes)
    copy[at % copy.length] = value
    return copy
  })
  fc.assert(fc.property(spoiled, rejects), { numRuns: 1000 })
  // A field of a valid body replaced by any other value.
  const body = {
    owner: 'b',
    incarnation: 1,
    from: 1,
    to: 2,
    services: [service('web-1')],
    checks: [check('c', 'web-1')],
    removedServices: ['x'],
    removedChecks: ['y'],
  }
  const keys = fc.constantFrom(...Object.keys(body))
  fc.assert(
    fc.property(keys, fc.jsonValue(), (key, value) => {
      rejects(text({ format: 1, type: 'delta', body: JSON.stringify({ ...body, [key]: value }) }))
    }),
    RUNS,
  )
  rejects(Buffer.from('['.repeat(200_000)))
  t.pass('no other error')
})

t.test('named violations', async (t) => {
  const bad = (value: unknown) =>
    t.throws(
      () => decodeMessage(text(value)),
      { code: 'CAT_BAD_MESSAGE' },
      JSON.stringify(value).slice(0, 60),
    )
  const sealed = (more: object) => ({
    format: 1,
    type: 'records',
    records: [
      {
        body: JSON.stringify({
          id: 'b',
          name: 'b',
          address: '',
          incarnation: 1,
          sequence: 1,
          meta: {},
          services: [],
          checks: [],
          ...more,
        }),
      },
    ],
  })
  t.equal(decodeMessage(text(sealed({}))).type, 'records', 'the base is valid')
  bad({ format: 2, type: 'digest', entries: [] })
  bad({ format: 1, type: 'digest', entries: [['b', -1, 0]] })
  bad({ format: 1, type: 'digest', entries: [['b', 1.5, 0]] })
  bad({ format: 1, type: 'digest', entries: [['b', 1e300, 0]] })
  bad(sealed({ id: '' }))
  bad(sealed({ id: 'x'.repeat(129) }))
  bad(sealed({ services: [{ ...service('web-1'), port: '80' }] }))
  bad(sealed({ services: [{ ...service('web-1'), tags: 'x' }] }))
  bad(sealed({ checks: [check('c', 'nobody')] }))
  bad(sealed({ checks: [check('serfHealth', '')] }))
  bad(sealed({ checks: [{ ...check('c', ''), status: 'unknown' }] }))
  bad(sealed({ meta: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [i, ''])) }))
  bad(sealed({ services: Array.from({ length: 4097 }, (_, i) => service(`s-${i}`)) }))
})

t.test('a signature has its place and keys of any name are kept', async (t) => {
  const plain = JSON.parse(Buffer.from(encodeVersion({ id: 'b', incarnation: 1, sequence: 2 })).toString())
  t.same(decodeGossip(text({ ...plain, signature: 'c2ln' })), {
    type: 'version',
    version: { id: 'b', incarnation: 1, sequence: 2 },
  })
  const meta = JSON.parse('{"__proto__":"x","constructor":"y"}')
  const message = decodeMessage(
    encodeMessage({ type: 'records', records: [record('b', 1, [service('web-1', { meta })])] }),
  )
  const back = message.type === 'records' ? message.records[0]?.services.get('web-1')?.meta : {}
  t.same(Object.entries(back ?? {}), [
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ])
})

t.test(
  'what is too large for gossip is announced, what is too large for one answer is left for the next',
  async (t) => {
    const many = Array.from({ length: 700 }, (_, i) => service(`web-${i}`))
    const bytes = encodeDelta(diffRecords(record('b', 1), record('b', 2, many)))
    t.ok(bytes.length < GOSSIP_BYTES_MAX)
    t.same(decodeGossip(bytes), { type: 'version', version: { id: 'b', incarnation: 1, sequence: 2 } })
    const records = Array.from({ length: 20 }, (_, i) => record(`n${i}`, 1, many))
    const answer = decodeMessage(encodeMessage({ type: 'records', records }))
    const count = answer.type === 'records' ? answer.records.length : 0
    t.ok(count > 0 && count < 20)
    t.ok(encodeMessage({ type: 'records', records }).length < 2 * ANSWER_BYTES_MAX)
  },
)
