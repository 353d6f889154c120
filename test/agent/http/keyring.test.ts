import t from 'tap'
import { generateClusterKey, keyFingerprint, parseClusterKey } from '../../../discovery/mesh/cluster-key.ts'
import { FakeKeyring } from './fake-keyring.ts'
import { harness } from './harness.ts'

const KEY = generateClusterKey()
const NAME = keyFingerprint(parseClusterKey(KEY))

function keys() {
  const keyring = new FakeKeyring()
  const { app } = harness({ keyring })
  const send = (method: 'GET' | 'PUT' | 'POST' | 'DELETE', url: string, body?: unknown) =>
    app.inject({ method, url, ...(body === undefined ? {} : { payload: JSON.stringify(body) }) })
  return { app, keyring, send }
}

t.test('the list has fingerprints, in our shape and in that of Consul', async (t) => {
  const { app, send } = keys()
  t.teardown(() => app.close())
  t.match((await send('GET', '/api/v1/keyring')).json(), {
    primary: 'aaaaaaaaaaaaaaaa',
    nodes: [{ name: 'n1' }, {}],
  })
  t.same((await send('GET', '/v1/operator/keyring')).json(), [
    {
      WAN: false,
      Datacenter: 'dc1',
      Segment: '',
      Keys: { aaaaaaaaaaaaaaaa: 2, bbbbbbbbbbbbbbbb: 1 },
      PrimaryKeys: { aaaaaaaaaaaaaaaa: 2 },
      NumNodes: 2,
    },
  ])
})

t.test('install, use and remove, with and without force', async (t) => {
  const { app, keyring, send } = keys()
  t.teardown(() => app.close())
  const answer = await send('PUT', '/api/v1/keyring/install', { key: KEY })
  t.equal(answer.statusCode, 200)
  t.same(answer.json(), { fingerprint: NAME, done: ['n1'], missing: [] })
  t.notMatch(answer.body, KEY)
  await send('PUT', '/api/v1/keyring/use', { fingerprint: NAME })
  await send('PUT', '/api/v1/keyring/use?force', { key: KEY })
  await send('PUT', '/api/v1/keyring/remove?force=true', { fingerprint: NAME.slice(0, 8) })
  t.same(keyring.calls, [
    `install ${NAME}`,
    `use ${NAME}`,
    `use ${NAME} by force`,
    `remove ${NAME.slice(0, 8)} by force`,
  ])
})

t.test('what is no key or fingerprint is 400, and is not repeated', async (t) => {
  const { app, keyring, send } = keys()
  t.teardown(() => app.close())
  const secret = KEY.slice(0, 40)
  for (const [url, body] of [
    ['/api/v1/keyring/install', { key: secret }],
    ['/api/v1/keyring/install', { fingerprint: NAME }],
    ['/api/v1/keyring/install', [KEY]],
    ['/api/v1/keyring/use', { fingerprint: secret }],
    ['/api/v1/keyring/use', {}],
    ['/api/v1/keyring/remove?force=1', { fingerprint: NAME }],
    ['/v1/operator/keyring', { Key: secret }],
    ['/v1/operator/keyring', {}],
  ] as const) {
    const { statusCode, body: text } = await send('PUT', url, body)
    t.equal(statusCode, 400, url)
    t.notMatch(text, secret)
  }
  t.same(keyring.calls, [])
})

t.test('refusals are 409 and 404 here, and 500 with the text in the dialect of Consul', async (t) => {
  const { app, keyring, send } = keys()
  t.teardown(() => app.close())
  for (const [code, status] of [
    ['KRG_NOT_EVERYWHERE', 409],
    ['KRG_STILL_NEEDED', 409],
    ['KRG_PRIMARY', 409],
    ['KRG_UNKNOWN_KEY', 404],
  ] as const) {
    keyring.refusal = code
    const answer = await send('PUT', '/api/v1/keyring/use', { fingerprint: NAME })
    t.equal(answer.statusCode, status)
    t.same(answer.json(), { error: { code, message: 'refused, says the fake' } })
    const consul = await send('PUT', '/v1/operator/keyring', { Key: KEY })
    t.equal(consul.statusCode, 500)
    t.equal(consul.body, 'refused, says the fake')
  }
})

t.test('the methods of Consul', async (t) => {
  const { app, keyring, send } = keys()
  t.teardown(() => app.close())
  for (const method of ['POST', 'PUT', 'DELETE'] as const) {
    const { statusCode, body } = await send(method, '/v1/operator/keyring', { Key: KEY })
    t.equal(statusCode, 200)
    t.equal(body, '')
  }
  t.same(keyring.calls, [`install ${NAME}`, `use ${NAME}`, `remove ${NAME}`])
  keyring.missing = [{ name: 'n2', reason: 'it has failed' }]
  const partly = await send('POST', '/v1/operator/keyring', { key: KEY })
  t.equal(partly.statusCode, 500)
  t.equal(partly.body, '1/2 nodes have not done it: n2 (it has failed)')
})

t.test('changing needs operator:write, reading operator:read', async (t) => {
  const asked: string[] = []
  const { app } = harness({
    authorizer: {
      authorize: ({ permission }) => {
        asked.push(permission)
        return false
      },
    },
  })
  t.teardown(() => app.close())
  for (const [method, url] of [
    ['GET', '/api/v1/keyring'],
    ['GET', '/v1/operator/keyring'],
    ['PUT', '/api/v1/keyring/install'],
    ['POST', '/v1/operator/keyring'],
    ['DELETE', '/v1/operator/keyring'],
  ] as const) {
    t.equal((await app.inject({ method, url })).statusCode, 403)
  }
  t.same(asked, ['operator:read', 'operator:read', 'operator:write', 'operator:write', 'operator:write'])
})
