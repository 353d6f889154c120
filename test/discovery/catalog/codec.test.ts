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
  openRecord,
  type RecordMessage,
} from '../../../discovery/catalog/codec.ts'
import { applyStep } from '../../../discovery/catalog/delta.ts'
import type { NodeRecord } from '../../../discovery/catalog/types.ts'
import { check, delta, message, record, sealed, service } from './fixtures.ts'

const text = (value: unknown) => Buffer.from(JSON.stringify(value))
const RUNS = { numRuns: 300 }

const names = fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' })
const origin = fc.record({
  labels: fc.dictionary(names, fc.string({ maxLength: 8 }), { maxKeys: 4 }),
  endpoints: fc.uniqueArray(
    fc.record({
      name: names,
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
      containerPort: fc.nat(65_535),
      address: fc.string({ maxLength: 20 }),
      port: fc.nat(65_535),
    }),
    { selector: ({ name }) => name, maxLength: 3 },
  ),
  source: fc.record({ kind: fc.constantFrom('docker' as const, 'file' as const), id: names, name: names }),
})
const plain = {
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
}
const services = fc
  .uniqueArray(
    fc.oneof(
      fc.record(plain),
      fc.tuple(fc.record(plain), origin).map(([one, more]) => ({ ...one, ...more })),
    ),
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

const opened = (bytes: Uint8Array): NodeRecord | undefined => {
  const back = decodeMessage(bytes)
  const [one] = back.type === 'records' ? back.records : []
  return one && openRecord(one).record
}

t.test('a record comes back as it went', async (t) => {
  fc.assert(
    fc.property(records, (one) => {
      const back = opened(encodeMessage({ type: 'records', records: [message(one)] }))
      return back !== undefined && same(t, back, one)
    }),
    { numRuns: 100 },
  )
})

t.test('the step between two records leads from one to the other', async (t) => {
  fc.assert(
    fc.property(records, records, (before, after) => {
      const target = { ...after, version: { incarnation: 1, sequence: 9 } }
      const back = decodeGossip(encodeDelta(delta(before, target)))
      if (back.type !== 'delta') return false
      const { stamp, services, checks, ...removed } = back.delta
      const entries = { services: services.map((s) => s.entry), checks: checks.map((c) => c.entry) }
      const reached = applyStep(before, { ...removed, ...entries }, stamp)
      return reached.version.sequence === 9 && same(t, reached, target)
    }),
    { numRuns: 100 },
  )
})

t.test('fields this version does not know stay in what is handed on', async (t) => {
  const newer = { ...service('web-1'), colour: 'blue' }
  const { stamp } = sealed(record('b', 1))
  const body = {
    format: 2,
    type: 'delta',
    stamp,
    from: 0,
    services: [JSON.stringify(newer)],
    checks: [],
    removedServices: [],
    removedChecks: [],
  }
  const back = decodeGossip(text(body))
  const [one] = back.type === 'delta' ? back.delta.services : []
  t.same(one?.entry, service('web-1'))
  t.equal(one?.text, JSON.stringify(newer))
})

t.test('bytes from outside are rejected with one code, never with another error', async (t) => {
  const rejects = (bytes: Uint8Array) => {
    for (const decode of [decodeGossip, opened]) {
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
  const some = record('b', 1, [service('web-1')], [check('c', 'web-1')])
  const valid = [
    encodeMessage({ type: 'records', records: [message(some)] }),
    encodeMessage({ type: 'digest', entries: [{ id: 'b', incarnation: 1, sequence: 2 }] }),
    encodeDelta(delta(record('b', 1), record('b', 2, [service('web-1')]))),
  ]
  const spoiled = fc.tuple(fc.constantFrom(...valid), fc.nat(), fc.nat(255)).map(([bytes, at, value]) => {
    const copy = Uint8Array.from(bytes)
    copy[at % copy.length] = value
    return copy
  })
  fc.assert(fc.property(spoiled, rejects), { numRuns: 1000 })
  rejects(Buffer.from('['.repeat(200_000)))
  t.pass('no other error')
})

t.test('named violations', async (t) => {
  const bad = (value: unknown) =>
    t.throws(() => opened(text(value)), { code: 'CAT_BAD_MESSAGE' }, JSON.stringify(value).slice(0, 90))
  const good = message(record('b', 1, [service('web-1')], [check('c', 'web-1')]))
  const of = (more: Partial<Record<keyof RecordMessage, unknown>>) => ({
    format: 2,
    type: 'records',
    records: [{ ...good, ...more }],
  })
  const stamp = (more: object) => of({ stamp: { ...good.stamp, ...more } })
  const services = (...list: unknown[]) => of({ services: list.map((s) => JSON.stringify(s)), checks: [] })
  const checks = (...list: unknown[]) => of({ checks: list.map((c) => JSON.stringify(c)) })
  const head = (more: object) => of({ head: JSON.stringify({ name: 'b', address: '', meta: {}, ...more }) })
  t.equal(opened(text(of({})))?.services.size, 1, 'the base is valid')
  bad({ format: 1, type: 'records', records: [good] })
  bad({ format: 2, type: 'digest', entries: [['b', -1, 0]] })
  bad({ format: 2, type: 'digest', entries: [['b', 1.5, 0]] })
  bad({ format: 2, type: 'digest', entries: [['b', 1e300, 0]] })
  bad({ format: 2, type: 'compare', digest: 'x', own: { incarnation: 1, sequence: 1 } })
  bad({ format: 2, type: 'compare', digest: '0'.repeat(64) })
  bad({ format: 2, type: 'same', yours: { stamp: good.stamp } })
  bad(stamp({ id: '' }))
  bad(stamp({ id: 'x'.repeat(129) }))
  bad(stamp({ digest: 'X'.repeat(64) }))
  bad(stamp({ signature: `${'A'.repeat(85)}B==` }))
  bad(stamp({ signature: good.stamp.signature.slice(0, -2) }))
  bad(stamp({ incarnation: -1 }))
  bad(head({ name: '' }))
  bad(head({ meta: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [i, ''])) }))
  bad(of({ head: '"\ud800"' }))
  bad(of({ services: [JSON.stringify(service('web-1')), '"\ud800"'] }))
  bad(of({ services: [...good.services, ...good.services] }))
  bad(services(service('web-1'), service('web-1', { port: 81 })))
  bad(services({ ...service('web-1'), port: '80' }))
  bad(services({ ...service('web-1'), tags: 'x' }))
  const endpoint = { name: '80/tcp', protocol: 'tcp', containerPort: 80, address: '', port: 8080 }
  const source = { kind: 'docker', id: 'c1', name: 'web' }
  const from = (more: object) =>
    services({ ...service('web-1'), labels: { a: '1' }, endpoints: [endpoint], source, ...more })
  t.equal(opened(text(from({})))?.services.get('web-1')?.endpoints?.length, 1, 'the base is valid')
  bad(from({ labels: { a: 1 } }))
  bad(from({ labels: { a: 'x'.repeat(4097) } }))
  bad(from({ labels: Object.fromEntries(Array.from({ length: 257 }, (_, i) => [i, ''])) }))
  bad(from({ endpoints: [endpoint, endpoint] }))
  bad(from({ endpoints: [{ ...endpoint, protocol: 'icmp' }] }))
  bad(from({ endpoints: [{ ...endpoint, port: 65_536 }] }))
  bad(from({ endpoints: [{ ...endpoint, problem: '' }] }))
  bad(from({ endpoints: Array.from({ length: 65 }, (_, i) => ({ ...endpoint, name: `${i}` })) }))
  bad(from({ source: { ...source, kind: 'api' } }))
  bad(from({ source: { ...source, id: '' } }))
  bad(services(...Array.from({ length: 4097 }, (_, i) => service(`s-${i}`))))
  bad(checks(check('c', 'nobody')))
  bad(checks(check('serfHealth', '')))
  bad(checks({ ...check('c', ''), status: 'unknown' }))
  bad(of({ services: ['['.repeat(200_000)] }))
})

t.test('a record over its limit says how large it is', async (t) => {
  const long = { meta: Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`k${i}`, 'x'.repeat(500)])) }
  const many = Array.from({ length: 10 }, (_, i) => service(`web-${i}`, long))
  t.throws(() => openRecord(message(record('b', 1, many))), {
    code: 'CAT_TOO_LARGE',
    message: /have \d{6} bytes as JSON, the limit is 262144/,
  })
})

t.test('keys of any name are kept', async (t) => {
  const meta = JSON.parse('{"__proto__":"x","constructor":"y"}')
  const back = opened(
    encodeMessage({ type: 'records', records: [message(record('b', 1, [service('web-1', { meta })]))] }),
  )
  t.same(Object.entries(back?.services.get('web-1')?.meta ?? {}), [
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ])
})

t.test(
  'what is too large for gossip is announced, what is too large for one answer is left for the next',
  async (t) => {
    const many = Array.from({ length: 700 }, (_, i) => service(`web-${i}`))
    const step = delta(record('b', 1), record('b', 2, many))
    const bytes = encodeDelta(step)
    t.ok(bytes.length < GOSSIP_BYTES_MAX)
    t.same(decodeGossip(bytes), { type: 'version', stamp: step.stamp })
    t.same(bytes, encodeVersion(step.stamp))
    const records = Array.from({ length: 20 }, (_, i) => message(record(`n${i}`, 1, many)))
    const answer = decodeMessage(encodeMessage({ type: 'records', records }))
    const count = answer.type === 'records' ? answer.records.length : 0
    t.ok(count > 0 && count < 20)
    t.ok(encodeMessage({ type: 'records', records }).length < 2 * ANSWER_BYTES_MAX)
  },
)
