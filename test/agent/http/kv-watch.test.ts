import { get as httpGet, type IncomingMessage, type ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { CHANGES_MAX } from '../../../consensus/state/recent-changes.ts'
import { harness, listen, until } from './harness.ts'
import { openStream, StreamReader } from './stream-reader.ts'

class Watcher extends StreamReader {
  /** Event and key of each, `=` and the value for those that have one. */
  get shown(): string[] {
    return this.events.map(({ event, data }) =>
      event === 'put'
        ? `put ${data.Key}=${Buffer.from(String(data.Value ?? ''), 'base64')}`
        : `${event} ${data.Key ?? ''}`.trim(),
    )
  }
}

async function server(t: Test) {
  const made = harness()
  t.teardown(() => made.app.close())
  const port = await listen(made.app)
  const watch = async (query = '', lastEventId?: string) => {
    return new Watcher(await openStream(t, port, `/api/v1/kv/watch${query}`, lastEventId))
  }
  const put = (key: string, value = '', query = '') =>
    made.app.inject({ method: 'PUT', url: `/v1/kv/${key}${query}`, payload: value })
  const remove = (key: string) => made.app.inject({ method: 'DELETE', url: `/v1/kv/${key}` })
  return { ...made, port, watch, put, remove }
}

t.test('what there is, then every change below the prefix, once and in order', async (t) => {
  const { watch, put, remove, consensus } = await server(t)
  await put('a/1', 'one')
  await put('b', 'other')
  const watcher = await watch('?prefix=a%2F')
  t.equal(watcher.response.statusCode, 200)
  t.match(watcher.response.headers, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  await until('ready', () => watcher.events.length === 2)
  t.same(watcher.shown, ['put a/1=one', 'ready'])
  t.equal(watcher.events[0]?.id, null, 'a listing cannot be resumed in its middle')
  t.same(watcher.events[1]?.data, { Index: consensus.appliedIndex })

  await put('a/2', 'two')
  await put('a/2', 'two')
  await put('b', 'unrelated')
  await remove('a/1')
  await remove('a/none')
  await put('a/1', 'again')
  await put('a/ü', 'ü')
  await until('five changes', () => watcher.events.length === 6)
  t.same(watcher.shown.slice(2), ['put a/2=two', 'delete a/1', 'put a/1=again', 'put a/ü=ü'])
  const { ModifyIndex } = watcher.events[2]?.data ?? {}
  t.equal(watcher.events[2]?.id, `cluster-1/${ModifyIndex}`)
  t.match(watcher.events[3]?.data, { Key: 'a/1', Index: Number(ModifyIndex) + 3 })
})

t.test('going on behind any event gives exactly what came after it', async (t) => {
  const { watch, put, consensus, app } = await server(t)
  await put('k/0', '0')
  const first = await watch('?prefix=k/')
  await until('ready', () => first.events.length === 2)
  for (let i = 1; i <= 3; i++) await put(`k/${i}`, String(i))
  await app.inject({ method: 'DELETE', url: '/v1/kv/k/?recurse' })
  await put('k/new', 'x')
  await until('all changes', () => first.events.length === 2 + 3 + 4 + 1)
  const changes = first.events.slice(1)
  for (const [at, { id }] of changes.entries()) {
    const rest = await watch('?prefix=k/', id ?? '')
    const expected = changes.slice(at + 1)
    await until(`the rest behind ${id}`, () => rest.events.length >= expected.length)
    t.same(rest.events, expected, `behind ${id}`)
    rest.response.destroy()
  }
  const resumed = await watch('?prefix=k/', first.lastId)
  await put('k/later', 'y')
  await until('the later one', () => resumed.events.length === 1)
  t.same(resumed.shown, ['put k/later=y'])
  resumed.response.destroy()
  await until('nobody watches but the first', () => consensus.watching === 1)
})

t.test('a position that is not known any more is said so, and everything is sent', async (t) => {
  const { watch, put, consensus } = await server(t)
  await put('k', '1')
  const { appliedIndex } = consensus
  for (const id of [`cluster-1/${appliedIndex + 1}`, `other/${appliedIndex}`, 'nonsense']) {
    const watcher = await watch('?prefix=k', id)
    await until(`reset for ${id}`, () => watcher.events.length === 3)
    t.same(watcher.shown, ['reset', 'put k=1', 'ready'], id)
    t.equal(watcher.events[0]?.id, null)
    t.match(watcher.events[0]?.data.Reason, 'not known any more')
    watcher.response.destroy()
  }
  const before = await watch('?prefix=quiet/')
  await until('ready', () => before.events.length === 1)
  await put('quiet/before', 'x')
  await until('the change', () => before.events.length === 2)
  before.response.destroy()
  const quiet = await watch('?prefix=quiet/', before.lastId)
  const command = { type: 'kv.set', flags: 0n } as const
  for (let i = 0; i <= CHANGES_MAX; i++) {
    await consensus.propose({ ...command, key: `noise/${i % 7}`, value: Buffer.from(String(i)) })
    if (i % 4_000 > 0) continue
    // Instead of the second after which it would look by itself.
    consensus.wake('quiet/now')
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(consensus.state.kvChanges({ index: appliedIndex, ordinal: null }, 'noise/', 1), null)
  const returned = await watch('?prefix=quiet/', before.lastId)
  await until('connected', () => returned.comments > 0)
  await put('quiet/now', 'x')
  await until('the change', () => quiet.events.length > 0 && returned.events.length > 0)
  t.same(quiet.shown, ['put quiet/now=x'], 'forgotten changes of others are nothing to it')
  t.same(returned.shown, ['put quiet/now=x'], 'nor to who was not there meanwhile')
})

t.test('refusals come before the stream, as JSON', async (t) => {
  const { app, consensus } = await server(t)
  consensus.leader = null
  const answer = await app.inject('/api/v1/kv/watch')
  t.equal(answer.statusCode, 500)
  t.match(answer.json().error, { message: 'No cluster leader' })
  consensus.leader = 'peer-1'
  const head = await app.inject({ method: 'HEAD', url: '/api/v1/kv/watch' })
  t.equal(head.statusCode, 200)
  t.equal(head.headers['content-type'], 'text/event-stream')
})

t.test('streams count against the bound, end with the server, and leave nothing behind', async (t) => {
  const made = harness({}, { limits: { parkedMax: 1 } })
  const port = await listen(made.app)
  const open = () => {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    httpGet({ host: '127.0.0.1', port, path: '/api/v1/kv/watch?stale' }, resolve).on('error', reject)
    return promise
  }
  made.consensus.leader = null
  const first = new Watcher(await open())
  await until('ready without a leader', () => first.events.length === 1)
  const second = await open()
  t.equal(second.statusCode, 429)
  second.resume()
  first.response.destroy()
  await until('nobody watches', () => made.consensus.watching === 0)
  const third = new Watcher(await open())
  await until('ready', () => third.events.length === 1)
  await made.app.close()
  await until('the stream ended', () => third.ended)
  t.equal(made.consensus.watching, 0)
})

t.test('a client that is gone before its stream begins takes no place', async (t) => {
  const made = harness({}, { limits: { parkedMax: 1 } })
  t.teardown(() => made.app.close())
  const port = await listen(made.app)
  const { consensus } = made
  const read = consensus.read.bind(consensus)
  const { promise: asked, resolve: ask } = Promise.withResolvers<AbortSignal | undefined>()
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>()
  consensus.read = async (consistency, options) => {
    ask(options?.signal)
    // As if the answer of the leader had been under way already.
    await answered
    return read(consistency, options)
  }
  const request = httpGet({ host: '127.0.0.1', port, path: '/api/v1/kv/watch' })
  request.on('error', () => {})
  const signal = await asked
  request.destroy()
  await until('the server knows', () => signal?.aborted === true)
  answer()
  await new Promise((resolve) => setImmediate(resolve))
  const { promise, resolve } = Promise.withResolvers<IncomingMessage>()
  const next = httpGet({ host: '127.0.0.1', port, path: '/api/v1/kv/watch' }, resolve)
  t.equal((await promise).statusCode, 200)
  next.destroy()
  await until('nobody watches', () => consensus.watching === 0)
})

t.test('changes wait in the store for a slow client, not in its connection', async (t) => {
  const made = harness()
  t.teardown(() => made.app.close())
  const { promise: replied, resolve: reply } = Promise.withResolvers<ServerResponse>()
  made.app.addHook('onSend', async (_request, { raw }) => reply(raw))
  const port = await listen(made.app)
  const { promise, resolve } = Promise.withResolvers<IncomingMessage>()
  const request = httpGet({ host: '127.0.0.1', port, path: '/api/v1/kv/watch' }, resolve)
  const response = await promise
  response.once('readable', () => {})
  const value = Buffer.alloc(512 * 1024, 'x')
  const count = 30
  for (let i = 0; i < count; i++) {
    void made.consensus.propose({ type: 'kv.set', key: `k/${i}`, value, flags: 0n })
  }
  const { socket } = await replied
  await until('the client keeps it waiting', () => (socket?.writableLength ?? 0) > 0)
  t.ok((socket?.writableLength ?? 0) < 4 * value.length, `${socket?.writableLength} bytes wait`)
  const watcher = new Watcher(response)
  await until('every change', () => watcher.events.length === count + 1)
  t.same(
    watcher.shown.slice(1).map((line) => line.slice(0, 8)),
    Array.from({ length: count }, (_, i) => `put k/${i}=x`.slice(0, 8)),
  )
  request.destroy()
})
