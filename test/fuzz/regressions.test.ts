import t from 'tap'
import { parseAnswers } from './answer.ts'
import { request } from './request.ts'
import { type Input, Run } from './run.ts'
import { Subject } from './subject.ts'

/** Inputs the fuzzer has found, as small as it could make them, and the status they have to get. */
const FOUND: readonly (readonly [name: string, input: Input, status: number])[] = [
  ['CONNECT was closed without an answer', request('CONNECT', '/v1/kv/a'), 400],
  [
    'an expectation nobody knows was refused without a text',
    request('GET', '/v1/kv/a', { headers: [['Expect', '200-maybe']] }),
    200,
  ],
  ['a request without Host was refused without a text', Buffer.from('GET /v1/kv/a HTTP/1.1\r\n\r\n'), 400],
  [
    'below /api a request without Host was refused without JSON',
    Buffer.from('GET /api/v1/status HTTP/1.1\r\n\r\n'),
    400,
  ],
  [
    'a write was answered with the error of the bytes behind it',
    Buffer.from('PUT /v1/kv/new HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nhello'),
    200,
  ],
  ['an absolute target below /api was refused in text', request('GET', 'http://x/api/v1/nodes/nobody'), 404],
  [
    'an absolute target got parameters past the checks of all of /v1',
    request('GET', 'http://x/v1/kv/a?dc=nowhere'),
    500,
  ],
  [
    'a GET that changes something was carried out before its damaged body was refused',
    Buffer.from(
      'GET /v1/agent/service/deregister/web HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nhello',
    ),
    400,
  ],
  ['a wrong method below /api was refused as JSON with a charset', request('POST', '/api/v1/status'), 405],
]

t.test('what the fuzzer found stays right', async (t) => {
  const subject = await Subject.start()
  t.teardown(() => subject.close())
  for (const [name, input, status] of FOUND) {
    await subject.reset()
    const { wrong, exchange } = await new Run(subject).try(input)
    t.strictSame(wrong, [], name)
    t.equal(parseAnswers(exchange.received, false).answers[0]?.status, status, name)
  }
})
