import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { perform } from './kv-client.ts'

async function target(t: Test, answer: RequestListener) {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { port: (server.address() as AddressInfo).port, node: 'n1', client: 'c' }
}

const PUT = { f: 'put', value: 'x' } as const

t.test('the outcome of a write follows from the answer', async (t) => {
  const rows: readonly (readonly [status: number, text: string, outcome: string])[] = [
    [200, 'true\n', 'ok'],
    [200, 'false', 'ok'],
    [200, 'perhaps', 'unknown'],
    [500, 'No cluster leader', 'failed'],
    [500, 'outcome unknown: the write was sent but not confirmed; read back before repeating it', 'unknown'],
    [500, 'internal error', 'unknown'],
    [400, 'Missing key name', 'failed'],
  ]
  let next = 0
  const to = await target(t, (_, reply) => {
    const [status, text] = rows[next++] ?? [500, '']
    reply.writeHead(status).end(text)
  })
  for (const [status, text, outcome] of rows) {
    t.equal((await perform(to, 'k', PUT)).outcome, outcome, `${status} ${text}`)
  }
})

t.test('a broken connection leaves a write unknown and a read without meaning', async (t) => {
  const to = await target(t, (request) => request.socket.destroy())
  t.match(await perform(to, 'k', PUT), { outcome: 'unknown', output: null, note: 'ECONNRESET' })
  t.match(await perform(to, 'k', { f: 'get' }), { outcome: 'failed', output: null })
})

t.test('a write that was never sent has failed', async (t) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  t.match(await perform({ port, node: 'n1', client: 'c' }, 'k', PUT), {
    outcome: 'failed',
    note: 'ECONNREFUSED',
  })
})

t.test('entries and absent keys are read with their versions; calls become requests', async (t) => {
  const asked: string[] = []
  const to = await target(t, (request, reply) => {
    asked.push(`${request.method} ${request.url}`)
    const row = { Value: 'eA==', ModifyIndex: 9, CreateIndex: 5, LockIndex: 1, Session: 's' }
    if (request.url?.startsWith('/v1/kv/gone') === true) reply.writeHead(404, { 'x-consul-index': '7' }).end()
    else reply.writeHead(200).end(request.method === 'GET' ? JSON.stringify([row]) : 'true')
  })
  const { output } = await perform(to, 'k', { f: 'get' }, 'consistent')
  t.strictSame(output, { kind: 'entry', value: 'x', version: 9, lockIndex: 1, session: 's', created: 5 })
  t.strictSame((await perform(to, 'gone', { f: 'get' })).output, { kind: 'absent', index: 7 })
  await perform(to, 'k', { f: 'cas', value: 'y', version: 9 })
  await perform(to, 'k', { f: 'delete-cas', version: 9 })
  await perform(to, 'k', { f: 'delete' })
  await perform(to, 'k', { f: 'acquire', value: 'y', session: 's' })
  t.strictSame(asked, [
    'GET /v1/kv/k?consistent',
    'GET /v1/kv/gone',
    'PUT /v1/kv/k?cas=9',
    'DELETE /v1/kv/k?cas=9',
    'DELETE /v1/kv/k',
    'PUT /v1/kv/k?acquire=s',
  ])
})
