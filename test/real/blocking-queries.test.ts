import { connect, type Socket } from 'node:net'
import t from 'tap'
import { Cluster } from './cluster.ts'
import { ask } from './http.ts'
import { until } from './until.ts'

const WAITERS = 5_000
const KEYS = 100
/** Connections opened at once: the backlog of a listener is not endless. */
const OPENING = 250
/** Far above what was measured; a leak of bodies or buffers is above it. */
const WAITER_BYTES_MAX = 64 * 1024

/** One connection with one query under way. */
class Waiter {
  answers = 0
  closed = false
  readonly #socket: Socket

  constructor(port: number, path: string) {
    this.#socket = connect(port, '127.0.0.1')
    this.#socket.on('data', (chunk: Buffer) => {
      if (chunk.subarray(0, 12).toString() === 'HTTP/1.1 200') this.answers++
    })
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => {
      this.closed = true
    })
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  }

  cancel(): void {
    this.#socket.destroy()
  }
}

t.test('5,000 blocking queries on one node', { timeout: 110_000 }, async (t) => {
  const cluster = await Cluster.create(t)
  const agent = await cluster.add('solo', { join: [] })
  await cluster.start()
  const { http } = agent.ports
  const put = (key: string, value: string) => ask(http, `/v1/kv/${key}`, { method: 'PUT', body: value })
  const metric = async (name: string): Promise<number> => {
    const { text } = await ask(http, '/metrics')
    const line = text.split('\n').find((row) => row.startsWith(`${name}{`) || row.startsWith(`${name} `))
    return Number(line?.split(' ').at(-1) ?? 0)
  }
  const waiting = () => metric('constellation_http_blocking_queries')
  const wakeUps = () => metric('constellation_http_wake_ups_total')
  const memory = () => metric('process_resident_memory_bytes')

  for (let i = 0; i < KEYS; i++) await put(`key/${i}`, '0')
  const index = Number((await ask(http, '/v1/kv/?keys')).headers['x-consul-index'])
  const before = await memory()
  const waiters: Waiter[] = []
  t.teardown(() => {
    for (const waiter of waiters) waiter.cancel()
  })
  while (waiters.length < WAITERS) {
    for (let i = 0; i < OPENING; i++) {
      const query = `index=${index}&wait=5m`
      waiters.push(new Waiter(http, `/v1/kv/key/${waiters.length % KEYS}?${query}`))
    }
    await until(`${waiters.length} wait`, async () => (await waiting()) === waiters.length, {
      timeoutMs: 30_000,
    })
  }
  const perWaiter = ((await memory()) - before) / WAITERS
  t.comment(`memory per waiter: ${(perWaiter / 1024).toFixed(1)} KiB`)
  t.ok(perWaiter < WAITER_BYTES_MAX, `${perWaiter} bytes`)

  const woken = await wakeUps()
  for (let i = 0; i < 50; i++) await put(`unrelated/${i}`, String(i))
  await ask(http, '/v1/session/create', { method: 'PUT' })
  await put('key/7', '0')
  t.equal(await wakeUps(), woken, 'neither other keys nor a session nor an unchanged write wake anybody')
  t.equal(await waiting(), WAITERS)
  t.equal(waiters.filter(({ answers }) => answers > 0).length, 0)

  await put('key/7', '1')
  const concerned = waiters.filter((_, i) => i % KEYS === 7)
  await until('all that wait for it are answered', () => concerned.every(({ answers }) => answers === 1), {
    timeoutMs: 10_000,
  })
  t.equal(await wakeUps(), woken + WAITERS / KEYS)
  t.equal(await waiting(), WAITERS - WAITERS / KEYS)
  t.equal(waiters.filter(({ answers }) => answers > 0).length, WAITERS / KEYS, 'and nobody else')

  const started = performance.now()
  await ask(http, '/v1/kv/key/?recurse', { method: 'DELETE' })
  await until('the others hear that their key is gone', async () => (await waiting()) === 0, {
    timeoutMs: 20_000,
  })
  t.comment(`${WAITERS - concerned.length} woken at once: ${Math.round(performance.now() - started)} ms`)
  for (const waiter of waiters) waiter.cancel()
})

t.test('clients that go away leave nothing behind', { timeout: 60_000 }, async (t) => {
  const cluster = await Cluster.create(t)
  const agent = await cluster.add('solo', { join: [] })
  await cluster.start()
  const { http } = agent.ports
  const metric = async (name: string): Promise<number> => {
    const { text } = await ask(http, '/metrics')
    return Number(
      text
        .split('\n')
        .find((row) => row.startsWith(`${name}{`))
        ?.split(' ')
        .at(-1) ?? 0,
    )
  }
  const open = () => metric('process_open_fds')
  const waiting = () => metric('constellation_http_blocking_queries')
  await ask(http, '/v1/kv/k', { method: 'PUT', body: 'x' })
  const index = Number((await ask(http, '/v1/kv/k')).headers['x-consul-index'])
  const before = await open()
  for (let round = 0; round < 3; round++) {
    const waiters = Array.from({ length: 300 }, (_, i) => {
      const path = i % 3 === 0 ? '/api/v1/kv/watch?prefix=k' : `/v1/kv/k?index=${index}&wait=5m`
      return new Waiter(http, path)
    })
    await until('all wait', async () => (await waiting()) === waiters.length, { timeoutMs: 10_000 })
    for (const waiter of waiters) waiter.cancel()
    await until('nobody waits', async () => (await waiting()) === 0, { timeoutMs: 10_000 })
  }
  await until('their descriptors are closed', async () => (await open()) <= before + 5, { timeoutMs: 10_000 })
  t.ok((await open()) <= before + 5)
})
