import { once } from 'node:events'
import t from 'tap'
import { dial, harness, listen, readAll, until } from './harness.ts'

const LIMIT = 524_288

t.test('values up to 512 KiB, counted in bytes', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const put = (size: number) =>
    app.inject({ method: 'PUT', url: '/v1/kv/big', payload: Buffer.alloc(size, 1) })
  t.equal((await put(LIMIT)).body, 'true')
  const tooLarge = await put(LIMIT + 1)
  t.equal(tooLarge.statusCode, 413)
  t.match(tooLarge.body, /^Request body\(524289 bytes\) too large, max size: 524288 bytes\. /)
  t.equal(tooLarge.headers.connection, 'close')
})

t.test('a chunked upload that overshoots gets to read its 413', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  const port = await listen(app)
  const socket = await dial(port, 'PUT /v1/kv/big HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
  const answer = readAll(socket)
  const chunk = Buffer.alloc(LIMIT / 2, 1)
  for (let i = 0; i < 3; i++) {
    socket.write(`${chunk.length.toString(16)}\r\n`)
    socket.write(chunk)
    socket.write('\r\n')
  }
  socket.write('0\r\n\r\n')
  t.match(
    await answer,
    /^HTTP\/1\.1 413 [\s\S]*connection: close[\s\S]*Request body\(786432 bytes\) too large/i,
  )
  t.equal(consensus.proposals.length, 0)
})

t.test('an endless upload is cut and never held', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const port = await listen(app)
  const before = process.memoryUsage().arrayBuffers
  const socket = await dial(port, 'PUT /v1/kv/big HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const chunk = Buffer.alloc(1024 * 1024, 1)
  let sent = 0
  while (!socket.destroyed && sent < 1024) {
    socket.write(`${chunk.length.toString(16)}\r\n`)
    socket.write(Buffer.concat([chunk, Buffer.from('\r\n')]))
    sent += 1
    if (socket.writableNeedDrain)
      await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed])
  }
  await closed
  t.ok(sent < 64, `cut after ${sent} MiB`)
  t.ok(process.memoryUsage().arrayBuffers - before < 64 * 1024 * 1024)
})

t.test('a client that reads only after it has sent a lot reads the refusal', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  const port = await listen(app)
  const bodyBytes = 8 * 1024 * 1024
  for (const [request, status] of [
    ['POST /v1/kv/big', 405],
    ['GET /v1/kv/big', 404],
    ['PUT /v1/kv/big', 413],
  ] as const) {
    const head = `${request} HTTP/1.1\r\nHost: x\r\nContent-Length: ${bodyBytes}\r\n\r\n`
    const socket = await dial(port, head)
    socket.pause()
    const errors: Error[] = []
    socket.on('error', (error) => errors.push(error))
    const closed = new Promise((resolve) => socket.once('close', resolve))
    const chunk = Buffer.alloc(1024 * 1024, 1)
    for (let sent = 0; sent < bodyBytes && !socket.destroyed; sent += chunk.length) {
      if (!socket.write(chunk)) await Promise.race([once(socket, 'drain').catch(() => {}), closed])
    }
    // Whatever follows a refused body is no request.
    socket.write('PUT /v1/kv/smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx')
    socket.resume()
    t.match(await readAll(socket), new RegExp(`^HTTP/1\\.1 ${status} `), request)
    t.strictSame(errors, [], request)
  }
  t.equal(consensus.proposals.length, 0)
})

t.test('a declared gigabyte is refused before it is sent', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const port = await listen(app)
  const socket = await dial(port, 'PUT /v1/kv/big HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n')
  t.match(await readAll(socket), /^HTTP\/1\.1 413 [\s\S]*Request body\(1073741824 bytes\)/)
})

t.test('a body nobody wants is not waited for', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const port = await listen(app)
  const socket = await dial(port, 'POST /v1/kv/big HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n')
  t.match(await readAll(socket), /^HTTP\/1\.1 405 [\s\S]*connection: close/i)
})

t.test('half a request is answered 408', async (t) => {
  const { app } = harness(
    {},
    { limits: { headersTimeoutMs: 100, requestTimeoutMs: 200, checkIntervalMs: 50 } },
  )
  t.teardown(() => app.close())
  const port = await listen(app)
  const headers = readAll(await dial(port, 'GET /v1/status/leader HTTP/1.1\r\nHos'))
  const body = readAll(await dial(port, 'PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc'))
  t.match(await headers, /^HTTP\/1\.1 408 /)
  t.match(await body, /^HTTP\/1\.1 408 /)
})

t.test('a blocking query outlives the time allowed for sending a request', async (t) => {
  const h = harness({}, { limits: { headersTimeoutMs: 1000, requestTimeoutMs: 1500, checkIntervalMs: 100 } })
  t.teardown(() => h.app.close())
  const port = await listen(h.app)
  await h.app.inject({ method: 'PUT', url: '/v1/kv/k', payload: 'x' })
  const socket = await dial(
    port,
    'GET /v1/kv/k?index=8&wait=3s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  )
  t.match(await readAll(socket), /^HTTP\/1\.1 200 /)
})

t.test('what is no HTTP gets 400, a header without end 431, and the server goes on', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const port = await listen(app)
  t.match(await readAll(await dial(port, '\x16\x03\x01 hello\r\n\r\n')), /^HTTP\/1\.1 400 /)
  const long = `GET / HTTP/1.1\r\nX: ${'a'.repeat(70_000)}\r\n\r\n`
  t.match(await readAll(await dial(port, long)), /^HTTP\/1\.1 431 /)
  const upset = await dial(port, 'PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc')
  upset.destroy()
  await until('the server to answer', () => app.server.listening)
  t.match(
    await readAll(await dial(port, 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')),
    /^HTTP\/1\.1 200 /,
  )
})

t.test('a damaged body that comes while its request is answered puts no error into the answer', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const port = await listen(app)
  const socket = await dial(
    port,
    'GET /api/v1/kv/watch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n',
  )
  const answer = readAll(socket)
  await once(socket, 'data')
  socket.write('no chunk\r\n')
  t.match(await answer, /^HTTP\/1\.1 200 (?![\s\S]*HTTP\/1\.1)/)
})

t.test('a client that leaves is noticed also when it sent a body that nobody reads', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  const port = await listen(app)
  await app.inject({ method: 'PUT', url: '/v1/kv/k', payload: 'x' })
  const body = 'x'.repeat(600_000)
  for (const path of ['/v1/kv/k?index=8&wait=5m', '/api/v1/kv/watch']) {
    const socket = await dial(
      port,
      `GET ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`,
    )
    socket.write(body)
    await until('the query waits', () => consensus.watching === 1)
    socket.destroy()
    await until(`${path}: nobody waits`, () => consensus.watching === 0)
  }
})

t.test('dots and doubled slashes in a key arrive as they are', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  const port = await listen(app)
  for (const key of ['./../x', '//a//b/', '/leading', 'a/./b']) {
    const request = `PUT /v1/kv/${key} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nv`
    t.match(await readAll(await dial(port, request)), /^HTTP\/1\.1 200 /, key)
    t.ok(consensus.state.kvGet(key), key)
  }
})

t.test('unescaped bytes above 127 in a key arrive as they are', async (t) => {
  const { app, consensus } = harness()
  t.teardown(() => app.close())
  const port = await listen(app)
  const request = 'PUT /v1/kv/a\xff#b HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nv'
  const answer = await readAll(await dial(port, Buffer.from(request, 'latin1')))
  // A parser may refuse such a target; it must not store another key.
  if (answer.startsWith('HTTP/1.1 200')) t.same(consensus.kvList('')[0]?.key, 'a\xff#b')
  else t.match(answer, /^HTTP\/1\.1 400 /)
})

t.test('an idle connection stays open for the next request', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const port = await listen(app)
  t.ok(app.server.keepAliveTimeout >= 120_000)
  const request = 'GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n'
  const socket = await dial(port, `${request}\r\n`)
  await once(socket, 'data')
  socket.write(`${request}Connection: close\r\n\r\n`)
  t.match(await readAll(socket), /^HTTP\/1\.1 200 [\s\S]*"10\.0\.0\.1:7946"/)
})

t.test('a malformed path is 400 in the dialect of the path', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const consul = await app.inject('/v1/catalog/service/%zz')
  t.equal(consul.statusCode, 400)
  t.match(consul.headers['content-type'], 'text/plain')
  const api = await app.inject('/api/v1/%zz')
  t.equal(api.statusCode, 400)
  t.equal(api.json().error.code, 'HTTP_BAD_REQUEST')
  t.equal((await app.inject('/v1/health/service/%ff')).statusCode, 400)
})
