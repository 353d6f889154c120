import t from 'tap'
import type { Incoming } from './exchange.ts'
import { fill, includes, match } from './pattern.ts'
import { compare } from './replay.ts'
import { type Expectation, parseTranscript } from './transcript.ts'

const TEXT = `
## one
# A comment.
> PUT /v1/kv/a?cas=0
> Content-Type: text/plain
>| x
>| y
< 200 json
< X-Consul-Index: {i:index}
< took 300ms
<| true

>& w GET /v1/kv/a
> GET /v1/self
< 200 json
<~ {"a":1}
<& w 404
< at once
? {i} > 1
`

const PLAIN: Expectation = { status: 200, type: null, headers: [], body: '', includes: null, took: null }
const ANSWER: Incoming = { status: 200, headers: {}, text: '', ms: 10, heldUpMs: 0 }

t.test('a transcript is read', async (t) => {
  const json = 'application/json'
  t.strictSame(parseTranscript(TEXT), [
    {
      title: 'one',
      steps: [
        {
          kind: 'request',
          line: 4,
          name: '',
          request: {
            method: 'PUT',
            target: '/v1/kv/a?cas=0',
            headers: [['content-type', 'text/plain']],
            body: 'x\ny',
          },
        },
        {
          kind: 'answer',
          line: 8,
          name: '',
          answer: {
            ...PLAIN,
            type: json,
            headers: [['x-consul-index', '{i:index}']],
            body: 'true',
            took: { ms: 300 },
          },
        },
        {
          kind: 'request',
          line: 13,
          name: 'w',
          request: { method: 'GET', target: '/v1/kv/a', headers: [], body: null },
        },
        {
          kind: 'request',
          line: 14,
          name: '',
          request: { method: 'GET', target: '/v1/self', headers: [], body: null },
        },
        { kind: 'answer', line: 15, name: '', answer: { ...PLAIN, type: json, includes: '{"a":1}' } },
        { kind: 'answer', line: 17, name: 'w', answer: { ...PLAIN, status: 404, took: 'at once' } },
        { kind: 'relation', line: 19, text: '{i} > 1' },
      ],
    },
  ])
})

t.test('what cannot be read is told with its line', async (t) => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['> GET /', /line 1: there is no section/],
    ['## a\nGET /', /line 2: GET \//],
    ['## a\n>| body', /line 2: .* begins no block/],
    ['## a\n> GET /\n> no header', /line 2: no header is no header/],
    ['## a\n< 200\n< took long', /line 2: took long is no duration/],
    ['## a\n>& w nothing', /line 2: nothing is no request/],
  ]
  for (const [text, message] of wrong) t.throws(() => parseTranscript(text), { message }, text)
})

t.test('values get names and are asked for again', async (t) => {
  const variables = new Map([['node', 'n1']])
  t.equal(fill('/{node}/«3×, [a]»/«2×b»', variables), '/n1/[a],[a],[a]/bb')
  t.equal(match('{"I":{i:index},"J":{i}}', '{"I":7,"J":7}', variables), '{"I":7,"J":7}')
  t.equal(variables.get('i'), '7')
  t.not(match('{"I":{k:index},"J":{k}}', '{"I":7,"J":8}', variables), '{"I":7,"J":8}')
  t.equal(match('{i}', '8', variables), '7', 'what was expected')
  t.not(match('{z:index}', '0', variables), '0', 'an index is at least 1')
  t.notOk(variables.has('z'))
  t.equal(match('a.c', 'abc', variables), 'a.c', 'all else is literal')
  t.throws(() => fill('{unknown}', variables), /nothing is called/)
  t.throws(() => match('{a:kind}', '', variables), /no such kind/)
})

t.test('a part of JSON', async (t) => {
  const whole = { a: 1, b: [{ c: null, d: 'x' }, 2] }
  for (const part of [{}, { a: 1 }, { b: [{ c: null }, 2] }, whole]) t.ok(includes(whole, part))
  for (const part of [{ a: 2 }, { b: [2] }, { b: {} }, { z: null }, []]) t.notOk(includes(whole, part))
})

t.test('an answer that differs in anything is not as expected', async (t) => {
  const differs = (answer: Partial<Incoming>, expectation: Partial<Expectation>): boolean => {
    const { actual, expected } = compare({ ...ANSWER, ...answer }, { ...PLAIN, ...expectation }, new Map())
    return actual !== expected
  }
  const read = {
    'x-consul-index': '3',
    'x-consul-knownleader': 'true',
    'x-consul-lastcontact': '0',
    'x-consul-effective-consistency': 'leader',
  }
  t.notOk(differs({}, {}))
  t.notOk(differs({ headers: read }, { headers: [['x-consul-index', '{i:index}']] }))
  t.notOk(differs({ ms: 2310 }, { took: { ms: 300 } }))
  t.notOk(differs({ ms: 2400, heldUpMs: 100 }, { took: { ms: 300 } }), 'it could not run')
  t.notOk(differs({}, { headers: [['x-consul-index', 'absent']] }))
  t.ok(differs({ status: 201 }, {}))
  t.ok(differs({ headers: { 'content-type': 'text/html' } }, {}))
  t.ok(differs({ text: 'x' }, {}))
  t.ok(differs({ text: '{}' }, { includes: '{"a":1}' }))
  t.ok(differs({}, { headers: [['allow', 'GET']] }))
  t.ok(differs({ headers: { ...read, 'x-consul-lastcontact': undefined } }, {}))
  t.ok(differs({ headers: { ...read, 'x-consul-index': '0' } }, {}))
  t.ok(differs({ ms: 298 }, { took: { ms: 300 } }), 'too early')
  t.ok(differs({ ms: 2320 }, { took: { ms: 300 } }), 'too late')
  t.ok(differs({ ms: 2000 }, { took: 'at once' }))
})
