import t, { type Test } from 'tap'
import { isReadOnly } from '../../../agent/http/txn-definition.ts'
import type { KvOperation } from '../../../consensus/client.ts'
import { outcomeUnknown } from '../../../consensus/errors.ts'
import { CONFIG, harness } from './harness.ts'

function client(t: Test, made = harness()) {
  t.teardown(() => made.app.close())
  const { app } = made
  const put = (url: string, payload: string) => app.inject({ method: 'PUT', url, payload })
  const txn = (operations: unknown, url = '/v1/txn') =>
    put(url, typeof operations === 'string' ? operations : JSON.stringify(operations))
  return { ...made, put, txn, get: (url: string) => app.inject(url) }
}

const kv = (Verb: string, Key: string, more: object = {}) => ({ KV: { Verb, Key, ...more } })

t.test('writes and reads in one step (golden transcript A.3)', async (t) => {
  const { txn, get, consensus } = client(t)
  const done = await txn([kv('set', 't/a', { Value: 'MQ==' }), kv('get', 't/a'), kv('delete', 'gone')])
  t.equal(done.statusCode, 200)
  t.equal(done.headers['content-type'], 'application/json')
  t.notOk(done.headers['x-consul-index'])
  const { appliedIndex: index } = consensus
  const entry = (value: string) =>
    `{"KV":{"LockIndex":0,"Key":"t/a","Flags":0,"Value":${value},"CreateIndex":${index},"ModifyIndex":${index}}}`
  t.equal(done.body, `{"Results":[${entry('null')},${entry('"MQ=="')}],"Errors":null}`)

  const failed = await txn([kv('set', 't/b', { Value: 'MQ==' }), kv('check-index', 't/a', { Index: 1 })])
  t.equal(failed.statusCode, 409)
  t.equal(
    failed.body,
    `{"Results":null,"Errors":[{"OpIndex":1,"What":"failed index check for key \\"t/a\\", current modify index ${index} != 1"}]}`,
  )
  t.equal((await get('/v1/kv/t/b')).statusCode, 404)

  const applied = consensus.appliedIndex
  const probe = await txn(Array.from({ length: 128 }, () => kv('get-or-empty', 'x')))
  t.equal(probe.statusCode, 200)
  t.equal(probe.json().Results.length, 128)
  t.same(probe.json().Results[0], {
    KV: { LockIndex: 0, Key: 'x', Flags: 0, Value: null, CreateIndex: 0, ModifyIndex: 0 },
  })
  t.equal(consensus.appliedIndex, applied, 'what only reads needs no log entry')
  t.match(probe.headers, { 'x-consul-knownleader': 'true', 'x-consul-lastcontact': '0' })

  const long = await txn(Array.from({ length: 129 }, () => kv('get-or-empty', 'x')))
  t.equal(long.statusCode, 413)
  t.equal(long.body, 'Transaction contains too many operations (129 > 128)')
  t.equal((await txn([])).body, '{"Results":[],"Errors":null}')
})

t.test('names in any case, flags of 64 bits, base64 with and without padding', async (t) => {
  const { txn, get, consensus } = client(t)
  consensus.addSession('s1')
  const flags = '[{"kv":{"verb":"SET","key":"f","value":"aGk","flags":18446744073709551615,"unknown":1}}]'
  t.match((await txn(flags)).body, '"Flags":18446744073709551615')
  t.equal((await get('/v1/kv/f?raw')).body, 'hi')
  t.equal((await txn([kv('set', 'ключ/ü', { Value: null, Flags: null })])).statusCode, 200)
  t.match((await get('/v1/kv/?keys')).json(), ['f', 'ключ/ü'])
  const locked = await txn([kv('lock', 'l', { Session: 's1', Value: '/+8=' })])
  t.match(locked.json().Results[0].KV, { Session: 's1', LockIndex: 1, Value: null })
  t.equal((await txn([kv('check-session', 'l', { Session: 's1' })])).statusCode, 200)
  t.same((await get('/v1/kv/l?raw')).rawPayload, Buffer.from([0xff, 0xef]))
  t.equal((await txn([kv('unlock', 'l', { Session: 's1' })])).statusCode, 200)
  const huge = await txn('[{"KV":{"Verb":"check-index","Key":"l","Index":18446744073709551615}}]')
  t.equal(huge.statusCode, 409)
  t.equal((await txn([kv('get-tree', '')])).json().Results.length, 3)
})

t.test('what is refused changes nothing', async (t) => {
  const { txn, consensus } = client(t)
  const applied = consensus.appliedIndex
  const texts: [body: unknown, status: number, text: string | RegExp][] = [
    ['', 400, 'Failed to parse body: the body is empty'],
    ['[', 400, 'Failed to parse body: the body is not valid JSON'],
    [{}, 400, 'Failed to parse body: the body must be a list of operations'],
    [[1], 400, 'Failed to parse body: operation 0 must be an object'],
    [[{}], 400, 'Failed to parse body: operation 0 has no KV'],
    [[{ Node: { Verb: 'get' } }], 400, 'Failed to parse body: an operation on a Node without a Node'],
    [[kv('set', 'k', { Value: '*' })], 400, 'Failed to parse body: a Value is not base64'],
    [[kv('set', 'k', { Value: 'A' })], 400, 'Failed to parse body: a Value is not base64'],
    [[kv('set', 'k', { Flags: -1 })], 400, 'Failed to parse body: Flags must be a whole number of 64 bits'],
    [[kv('set', 'k', { Flags: 1.5 })], 400, 'Failed to parse body: Flags must be a whole number of 64 bits'],
    ['[{"KV":{"Verb":"set","Key":"k","Flags":18446744073709551616}}]', 400, /Flags must be a whole number/],
    [[kv('cas', 'k', { Index: '1' })], 400, 'Failed to parse body: Index must be a whole number of 64 bits'],
    [[kv('set', 'k', { Value: 1 })], 400, 'Failed to parse body: Value must be a string'],
    [
      [kv('set', 'a'), kv('set', ''), kv('jump', 'k')],
      409,
      '{"Results":null,"Errors":[{"OpIndex":1,"What":"Must provide key"},{"OpIndex":2,"What":"unknown KV verb \\"jump\\""}]}',
    ],
  ]
  for (const [body, status, text] of texts) {
    const answer = await txn(body)
    t.equal(answer.statusCode, status, String(text))
    t.match(answer.body, text)
  }
  t.equal(consensus.appliedIndex, applied)
  consensus.leader = null
  for (const operations of [[kv('set', 'k')], [kv('get', 'k')]]) {
    const answer = await txn(operations)
    t.equal(answer.statusCode, 500)
    t.equal(answer.body, 'No cluster leader')
  }
  t.equal((await txn([kv('get-or-empty', 'k')], '/v1/txn?stale')).headers['x-consul-knownleader'], 'false')
  consensus.leader = 'peer-1'
  consensus.nextError = outcomeUnknown()
  t.match((await txn([kv('set', 'k')])).body, 'outcome unknown')
  const large = await txn([kv('set', 'k', { Value: 'A'.repeat(CONFIG.kv.valueBytesMax) })])
  t.equal(large.statusCode, 413)
  t.match(large.body, /^Request body\(\d+ bytes\) too large, max size: 524288 bytes/)
})

t.test('no value is larger than those of single keys', async (t) => {
  const { txn, put, consensus } = client(
    t,
    harness({}, { config: { ...CONFIG, kv: { valueBytesMax: 1024 } } }),
  )
  const value = (bytes: number) => ({ Value: Buffer.alloc(bytes).toString('base64') })
  t.equal((await put('/v1/kv/k', 'x'.repeat(1025))).statusCode, 413)
  const applied = consensus.appliedIndex
  const large = await txn([kv('set', 'a'), kv('set', 'k', value(1025))])
  t.equal(large.statusCode, 413)
  t.equal(large.body, 'Value for key "k" is too large (1025 > 1024 bytes)')
  t.equal(consensus.appliedIndex, applied)
  t.equal((await txn([kv('set', 'a', value(1024)), kv('set', 'b', value(1024))])).statusCode, 200)
})

t.test('keys with a time to live', async (t) => {
  const { put, get, consensus } = client(t)
  t.equal((await put('/v1/kv/k?ttl=1m30s', 'x')).body, 'true')
  t.match((await get('/v1/kv/k')).json()[0], { TTL: '1m30s' })
  t.equal(consensus.state.kvGet('k')?.ttl?.ms, 90_000)
  t.equal((await put('/v1/kv/k?ttl=10s&cas=1', 'x')).body, 'false')
  t.equal((await put('/v1/kv/k', 'x')).body, 'true')
  t.notOk('TTL' in (await get('/v1/kv/k')).json()[0], 'a write without one makes it stay')
  for (const ttl of ['', '0s', '999ms', 'soon', '-5s', '8761h', '1e3']) {
    const answer = await put(`/v1/kv/k?ttl=${ttl}`, 'y')
    t.equal(answer.statusCode, 400, ttl)
    t.equal(answer.body, `Invalid ttl: ${JSON.stringify(ttl)} is not a duration from 1s to 8760h`)
  }
  t.equal((await put('/v1/kv/k?ttl=10s&acquire=s', 'y')).body, 'Conflicting flags: acquire=s&ttl=10s\n')
  t.equal((await get('/v1/kv/k?raw')).body, 'x')
})

t.test('what only reads', (t) => {
  const operation = (verb: string) => ({ verb, key: 'k' }) as KvOperation
  const verbs: Record<KvOperation['verb'], boolean> = {
    set: false,
    cas: false,
    lock: false,
    unlock: false,
    get: true,
    'get-or-empty': true,
    'get-tree': true,
    'check-index': true,
    'check-session': true,
    'check-not-exists': true,
    delete: false,
    'delete-cas': false,
    'delete-tree': false,
  }
  for (const [verb, readOnly] of Object.entries(verbs)) {
    t.equal(isReadOnly([operation(verb)]), readOnly, verb)
  }
  t.equal(isReadOnly([operation('get'), operation('delete')]), false)
  t.end()
})
