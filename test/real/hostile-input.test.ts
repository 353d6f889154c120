import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { AgentProcess } from './agent-process.ts'
import { clusterTest, ms } from './cluster.ts'
import { until } from './until.ts'

const GIGABYTE = 1024 ** 3
const CHUNK = randomBytes(1024 * 1024)
const RSS_MAX = 300e6
const RSS_GROWTH_MAX = 120e6

interface Conversation {
  readonly sent: number
  readonly received: string
  readonly ms: number
}

/** Opens a connection, lets `speak` write to it, and answers what came back once the other side closed it. */
function converse(
  port: number,
  speak: (socket: Socket) => unknown,
  options: { readonly timeoutMs?: number } = {},
): Promise<Conversation> {
  const started = performance.now()
  const socket = connect({ host: '127.0.0.1', port })
  let received = ''
  socket.setEncoding('latin1').on('data', (text) => {
    received = (received + text).slice(0, 10_000)
  })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.destroy()
      reject(
        new Error(
          `the connection was not closed within ${options.timeoutMs ?? 20_000} ms; sent ${socket.bytesWritten}`,
        ),
      )
    }, options.timeoutMs ?? 20_000)
    // A reset is a way to say no as well, once everything that was said before it was read.
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(timer)
      resolve({ sent: socket.bytesWritten, received, ms: performance.now() - started })
    })
    socket.on('connect', () => {
      void Promise.resolve(speak(socket)).catch(() => socket.destroy())
    })
  })
}

/** Writes up to `bytes` of junk as fast as the other side takes it, until it says something or closes. */
async function pour(
  socket: Socket,
  bytes: number,
  frame: (chunk: Buffer) => Buffer[] = (chunk) => [chunk],
): Promise<void> {
  let answered = false
  socket.once('data', () => {
    answered = true
  })
  for (
    let sent = 0;
    sent < bytes && !answered && !socket.destroyed && socket.writable;
    sent += CHUNK.length
  ) {
    for (const part of frame(CHUNK)) {
      if (socket.write(part)) continue
      await Promise.race([
        new Promise((resolve) => socket.once('drain', resolve)),
        new Promise((resolve) => socket.once('data', resolve)),
        new Promise((resolve) => socket.once('close', resolve)),
      ])
    }
  }
}

/** Largest resident memory of an agent while something happens. */
async function peakRss(agent: AgentProcess, during: Promise<unknown>): Promise<number> {
  let peak = agent.rss()
  let over = false
  const watch = (async () => {
    while (!over) {
      peak = Math.max(peak, agent.rss())
      await delay(20)
    }
  })()
  await during.finally(() => {
    over = true
  })
  await watch
  return peak
}

const header = (lines: readonly string[]): string => `${lines.join('\r\n')}\r\n\r\n`

clusterTest(
  'junk at the ports is refused and costs nothing',
  { nodes: 3, timeoutMs: 90_000 },
  async (t, cluster) => {
    const agent = cluster.agent('n1')
    const [http, mesh] = [agent.ports.http, agent.ports.mesh]
    const pid = agent.pid
    const before = existsSync(`/proc/${pid}/status`) ? agent.rss() : null
    const assertServes = async (): Promise<void> => {
      t.equal(agent.running && agent.pid, pid, 'the agent still runs')
      t.equal(await agent.put('still', 'here'), true)
      t.equal((await agent.ask('/readyz')).status, 200)
    }

    const attack = (async () => {
      // They wait for a timeout of the server, so they go on beside the rest.
      const half = converse(http, (socket) =>
        socket.write('PUT /v1/kv/half HTTP/1.1\r\nHost: x\r\nContent-Le'),
      )
      const silent = converse(mesh, () => {})
      const halfHello = converse(mesh, (socket) => socket.write('\x13/multistream/1.0.0\n'))
      const halfNoise = converse(mesh, (socket) => {
        socket.write('\x13/multistream/1.0.0\n\x07/noise\n')
        socket.write(Buffer.concat([Buffer.from([0, 32]), randomBytes(16)]))
      })

      await t.test('HTTP', async (t) => {
        const junk = await converse(http, (socket) => socket.write(randomBytes(100_000)))
        t.match(junk.received, /^HTTP\/1\.1 400 Bad Request\r\n/)
        t.comment(`random bytes: closed after ${ms(junk.ms)}`)
        const headers = await converse(
          http,
          (socket) =>
            void socket.write(
              `GET / HTTP/1.1\r\n${'X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n'.repeat(10_000)}`,
            ),
        )
        t.match(headers.received, /^HTTP\/1\.1 431 /)
        for (const method of ['PUT', 'POST', 'GET']) {
          const declared = await converse(http, async (socket) => {
            socket.write(header([`${method} /v1/kv/big HTTP/1.1`, 'Host: x', `Content-Length: ${GIGABYTE}`]))
            await pour(socket, GIGABYTE)
          })
          t.ok(declared.sent < 100e6, `${method} with a length: cut after ${declared.sent} bytes`)
          t.match(declared.received, method === 'PUT' ? /^HTTP\/1\.1 413 / : /^HTTP\/1\.1 4\d\d /, method)
          t.comment(
            `1 GB ${method}, Content-Length: cut after ${declared.sent} bytes, ${ms(declared.ms)}: ${declared.received.split('\r\n')[0]}`,
          )
        }
        for (const path of ['/v1/kv/big', '/v1/agent/service/register', '/no/such/path']) {
          const chunked = await converse(http, async (socket) => {
            socket.write(header([`PUT ${path} HTTP/1.1`, 'Host: x', 'Transfer-Encoding: chunked']))
            await pour(socket, GIGABYTE, (chunk) => [
              Buffer.from(`${chunk.length.toString(16)}\r\n`),
              chunk,
              Buffer.from('\r\n'),
            ])
          })
          t.ok(chunked.sent < 100e6, `${path} chunked: cut after ${chunked.sent} bytes`)
          t.match(chunked.received, /^HTTP\/1\.1 413 /, path)
          t.comment(`1 GB chunked to ${path}: cut after ${chunked.sent} bytes, ${ms(chunked.ms)}`)
        }
        t.equal((await agent.ask('/v1/kv/big')).status, 404, 'nothing of it was kept')
      })

      await t.test('mesh', async (t) => {
        const junk = await converse(mesh, (socket) => socket.write(randomBytes(100_000)))
        t.comment(`random bytes: closed after ${ms(junk.ms)}`)
        const web = await converse(mesh, (socket) => socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'))
        t.comment(`an HTTP request: closed after ${ms(web.ms)}`)
        const flood = await converse(mesh, (socket) => pour(socket, GIGABYTE))
        t.ok(flood.sent < 100e6, `cut after ${flood.sent} bytes`)
        t.comment(`1 GB of junk: cut after ${flood.sent} bytes, ${ms(flood.ms)}`)
        const hello = await converse(mesh, async (socket) => {
          socket.write('\x13/multistream/1.0.0\n\x07/noise\n')
          await pour(socket, GIGABYTE)
        })
        t.ok(hello.sent < 100e6, `cut after ${hello.sent} bytes`)
        t.comment(`1 GB of junk after a hello: cut after ${hello.sent} bytes, ${ms(hello.ms)}`)
      })

      await t.test('who says half and waits is cut off', async (t) => {
        const answer = await half
        t.match(answer.received, /^HTTP\/1\.1 408 Request Timeout\r\n/)
        t.comment(`half a request: ${ms(answer.ms)}`)
        for (const [what, conversation] of Object.entries({ silent, halfHello, halfNoise })) {
          const closed = await conversation
          t.ok(closed.ms < 15_000, `mesh, ${what}: closed`)
          t.comment(`mesh, ${what}: closed after ${ms(closed.ms)}`)
        }
      })

      await t.test('many connections that say nothing', async (t) => {
        const idle = Array.from({ length: 300 }, (_, i) =>
          connect({ host: '127.0.0.1', port: i % 2 === 0 ? http : mesh }),
        )
        for (const socket of idle) socket.on('error', () => {})
        await assertServes()
        for (const socket of idle) socket.destroy()
        t.pass('served meanwhile')
      })
    })()

    if (before === null) {
      await attack
      t.comment('not measured: memory, as /proc is missing')
    } else {
      const peak = await peakRss(agent, attack)
      t.ok(peak < RSS_MAX, `resident memory stayed below ${RSS_MAX / 1e6} MB: ${Math.round(peak / 1e6)} MB`)
      t.ok(peak - before < RSS_GROWTH_MAX, `it grew by less than ${RSS_GROWTH_MAX / 1e6} MB`)
      t.comment(`resident memory ${Math.round(before / 1e6)} MB before, ${Math.round(peak / 1e6)} MB at most`)
    }
    await assertServes()
    await until('the cluster is unharmed', async () =>
      (await agent.nodes()).every(({ status }) => status === 'alive'),
    )
    const noise = agent.log().filter(({ level }) => level >= 40)
    t.ok(noise.length < 10, `${noise.length} lines of warnings`)
  },
)
