import t from 'tap'
import { decodeBody } from '../../../providers/traefik/strict-decoder.ts'

const balancer = (text: string) => `{"http":{"services":{"a":{"loadBalancer":${text}}}}}`
const health = (text: string) => balancer(`{"servers":[],"healthCheck":${text}}`)
const router = (text: string) => `{"http":{"routers":{"r":{"rule":"Path(\`/\`)","service":"a",${text}}}}}`

t.test('accepted bodies', (t) => {
  const cases: readonly [string, string, boolean][] = [
    ['no bytes', '', true],
    ['an empty object', '{}', true],
    ['null', 'null', true],
    ['unknown root keys only', '{"foo":1}', true],
    ['a null section', '{"http":null}', true],
    [
      'null next to something',
      '{"http":{"routers":null,"services":{"a":{"loadBalancer":{"servers":[]}}}}}',
      false,
    ],
    ['no servers', balancer('{"servers":[]}'), false],
    ['a service without a type', '{"http":{"services":{"a":{}}}}', false],
    ['a TCP router without fields', '{"tcp":{"routers":{"foo":{}}}}', false],
    [
      'healthCheck {} on weighted',
      '{"http":{"services":{"a":{"weighted":{"services":[{"name":"b"}],"healthCheck":{}}}}}}',
      false,
    ],
    ['tls {} on a router', router('"tls":{}'), false],
    ['tls true on a router', router('"tls":true'), false],
    ['tls false on a router', router('"tls":false'), false],
    ['sticky {} on a load balancer', balancer('{"servers":[],"sticky":{}}'), false],
    ['cookie {}', balancer('{"servers":[],"sticky":{"cookie":{}}}'), false],
    ['other case', '{"HTTP":{"Services":{"a":{"loadbalancer":{"Servers":[]}}}}}', false],
    ['numbers and booleans as text', router('"priority":"10","observability":{"metrics":"T"}'), false],
    ['an unknown strategy', balancer('{"servers":[],"strategy":"P2C"}'), false],
    ['a list as text', router('"middlewares":"a,b"'), false],
    ['any plugin', '{"http":{"middlewares":{"m":{"plugin":{"p":{"x":{"y":[1]}}}}}}}', false],
    ['compress {}', '{"http":{"middlewares":{"m":{"compress":{}}}}}', false],
  ]
  for (const [name, body, empty] of cases) {
    const result = decodeBody(body)
    t.same(result.errors, [], name)
    t.equal(result.empty, empty, name)
  }
  t.end()
})

t.test('bodies that are rejected as a whole', (t) => {
  const cases: readonly [string, string, string, string][] = [
    ['http {}', '{"http":{}}', 'STANDALONE', 'http'],
    ['tcp {}', '{"http":{"services":{"a":{"loadBalancer":{"servers":[]}}}},"tcp":{}}', 'STANDALONE', 'tcp'],
    [
      'routers {}',
      '{"http":{"routers":{},"services":{"a":{"loadBalancer":{"servers":[]}}}}}',
      'STANDALONE',
      'http.routers',
    ],
    ['members all null', '{"http":{"routers":null}}', 'STANDALONE', 'http'],
    ['loadBalancer {}', balancer('{}'), 'STANDALONE', 'http.services.a.loadBalancer'],
    ['loadBalancer true', balancer('true'), 'STANDALONE', 'http.services.a.loadBalancer'],
    [
      'healthCheck {} on a load balancer',
      health('{}'),
      'STANDALONE',
      'http.services.a.loadBalancer.healthCheck',
    ],
    [
      'sticky {} on weighted',
      '{"http":{"services":{"a":{"weighted":{"services":[],"sticky":{}}}}}}',
      'STANDALONE',
      'http.services.a.weighted.sticky',
    ],
    [
      'headers map {}',
      '{"http":{"middlewares":{"m":{"headers":{"customRequestHeaders":{}}}}}}',
      'STANDALONE',
      'http.middlewares.m.headers.customRequestHeaders',
    ],
    [
      'metadata',
      '{"http":{"services":{"a":{"metadata":{"x":1}}}}}',
      'FIELD_NOT_FOUND',
      'http.services.a.metadata',
    ],
    [
      'the label port',
      balancer('{"servers":[{"port":"80"}]}'),
      'FIELD_NOT_FOUND',
      'http.services.a.loadBalancer.servers.[0].port',
    ],
    ['1d', health('{"interval":"1d"}'), 'BAD_VALUE', 'http.services.a.loadBalancer.healthCheck.interval'],
    ['text for a number', router('"priority":"high"'), 'BAD_VALUE', 'http.routers.r.priority'],
    ['a float for an int', router('"priority":1.5'), 'BAD_VALUE', 'http.routers.r.priority'],
    [
      'yes for a boolean',
      balancer('{"servers":[],"passHostHeader":"yes"}'),
      'BAD_VALUE',
      'http.services.a.loadBalancer.passHostHeader',
    ],
    ['an object for text', router('"ruleSyntax":{"a":1}'), 'BAD_VALUE', 'http.routers.r.ruleSyntax'],
    [
      'text for servers',
      balancer('{"servers":"http://h"}'),
      'BAD_VALUE',
      'http.services.a.loadBalancer.servers',
    ],
    [
      'a server that is text',
      balancer('{"servers":["http://h"]}'),
      'BAD_VALUE',
      'http.services.a.loadBalancer.servers.[0]',
    ],
    [
      'an object in a list of text',
      router('"middlewares":[{"a":1}]'),
      'BAD_VALUE',
      'http.routers.r.middlewares.[0]',
    ],
    [
      'the separator in a list',
      router('"middlewares":["a║b"]'),
      'BAD_VALUE',
      'http.routers.r.middlewares.[0]',
    ],
    ['two spellings', router('"tls":{},"TLS":{}'), 'DUPLICATE', 'http.routers.r.TLS'],
    [
      'a very long key',
      `{"http":{"services":{"${'x'.repeat(1024)}":{"loadBalancer":{"servers":[]}}}}}`,
      'KEY_TOO_LONG',
      `http.services.${'x'.repeat(1024)}`,
    ],
    ['HTML', '<html></html>', 'NOT_A_MAP', ''],
    ['a list', '[]', 'NOT_A_MAP', ''],
  ]
  for (const [name, body, code, path] of cases) {
    const { accepted, errors } = decodeBody(body)
    t.equal(accepted, false, name)
    t.same(
      errors.map((issue) => [issue.code, issue.path.join('.')]),
      [[code, path]],
      name,
    )
  }
  t.end()
})

t.test('durations: text, and seconds as a number or text', (t) => {
  const interval = (text: string) =>
    Object(decodeBody(health(`{"Path":"/h","interval":${text}}`)).value).http.services.a.loadBalancer
      .healthCheck.interval
  t.equal(interval('10'), 10_000)
  t.equal(interval('"10"'), 10_000)
  t.equal(interval('"10s"'), 10_000)
  t.equal(interval('"0.5s"'), 500)
  t.equal(interval('"1m30s"'), 90_000)
  t.equal(interval('9999999999999'), undefined)
  t.end()
})

t.test('a field newer than the Traefik that reads it rejects the document', (t) => {
  const body = balancer('{"servers":[],"strategy":"p2c"}')
  t.equal(decodeBody(body, { release: '3.4' }).accepted, true)
  t.match(decodeBody(body, { release: '3.3' }).errors, [{ code: 'TOO_NEW' }])
  t.equal(decodeBody(balancer('{"servers":[]}'), { release: '3.0' }).accepted, true)
  t.end()
})

t.test('warns of objects that are accepted and useless', (t) => {
  t.match(decodeBody('{"http":{"services":{"a":{}}}}').warnings, [{ code: 'NO_TYPE' }])
  t.match(decodeBody('{"tcp":{"routers":{"foo":{}}}}').warnings, [{ code: 'EMPTY' }])
  t.end()
})
