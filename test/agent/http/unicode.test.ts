import t from 'tap'
import { parseFileService } from '../../../agent/service-files/definition.ts'
import { CONFIG, harness } from './harness.ts'

/** Half of a surrogate pair, as JSON writes it: no UTF-8 has it, so no path and no query can name what is called so. */
const HALF = '\ud800'

t.test('what has no UTF-8 cannot be registered', async (t) => {
  const { app, catalog } = harness()
  t.teardown(() => app.close())
  const put = (url: string, body: unknown) =>
    app.inject({ method: 'PUT', url, payload: JSON.stringify(body) })
  const refused: readonly (readonly [url: string, body: unknown, field: string])[] = [
    ['/v1/agent/service/register', { Name: HALF }, 'Name'],
    ['/v1/agent/service/register', { Name: 'web', ID: `web${HALF}` }, 'ID'],
    ['/v1/agent/service/register', { Name: 'web', Tags: ['v1', HALF] }, 'Tags'],
    ['/v1/agent/service/register', { Name: 'web', Meta: { a: HALF } }, 'Meta.a'],
    ['/v1/agent/service/register', { Name: 'web', TaggedAddresses: { [HALF]: {} } }, 'TaggedAddresses'],
    ['/v1/agent/service/register', { Name: 'web', Check: { TTL: '10s', Notes: HALF } }, 'Notes'],
    [
      '/v1/agent/service/register',
      { Name: 'web', Check: { HTTP: 'http://a', Header: { a: [HALF] } } },
      'Header.a',
    ],
    ['/v1/agent/check/register', { Name: HALF, TTL: '10s' }, 'Name'],
    ['/v1/agent/check/register', { Name: 'c', CheckID: HALF, TTL: '10s' }, 'CheckID'],
    ['/v1/catalog/register', { Node: 'p', Address: '192.0.2.7', NodeMeta: { [HALF]: 'a' } }, 'NodeMeta'],
    ['/v1/session/create', { Name: HALF }, 'Name'],
    ['/v1/session/create', { NodeChecks: [HALF] }, 'NodeChecks'],
    ['/v1/txn', [{ KV: { Verb: 'set', Key: HALF, Value: '' } }], 'Key'],
  ]
  for (const [url, body, field] of refused) {
    const answer = await put(url, body)
    t.equal(answer.statusCode, 400, `${url} ${field}`)
    const what = url === '/v1/txn' ? 'Failed to parse body' : 'Request decode failed'
    t.equal(answer.body, `${what}: ${field} is not valid Unicode: it holds half of a surrogate pair`)
  }
  t.same(catalog.journal, [], 'nothing was registered')
  t.equal(
    (await put('/v1/agent/service/register', { Name: '\ud83d\udca5' })).statusCode,
    200,
    'whole pairs are text',
  )
})

t.test('an output that was cut through a pair still counts as a report', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const put = (url: string, body: unknown) =>
    app.inject({ method: 'PUT', url, payload: JSON.stringify(body) })
  await put('/v1/agent/check/register', { Name: 'hb', TTL: '10s' })
  const cut = await put('/v1/agent/check/update/hb', { Status: 'passing', Output: `ok ${HALF}` })
  t.equal(cut.statusCode, 200, cut.body)
  t.match((await app.inject('/v1/agent/checks')).json(), { hb: { Status: 'passing', Output: 'ok \ufffd' } })
})

t.test('nor from a service file', async (t) => {
  const source = { kind: 'file', id: '/a.json', name: 'a.json' } as const
  t.throws(() => parseFileService({ Name: 'web', Tags: [HALF] }, source, CONFIG.checks), {
    code: 'FIL_INVALID',
    message: 'service "web": Tags is not valid Unicode: it holds half of a surrogate pair',
  })
})
