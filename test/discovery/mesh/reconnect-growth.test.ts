import { setTimeout as sleep } from 'node:timers/promises'
import v8 from 'node:v8'
import { AbstractMessageStream } from '@libp2p/utils'
import t from 'tap'
import { bytes, makeNode, text, until } from './cluster.ts'

const RECONNECTS = Number(process.env.CONSTELLATION_TEST_RECONNECTS ?? 25)
const ROUNDS_MAX = 3
const HEAP_BYTES_EACH_MAX = 2_048

/** What is alive after a full collection: connections, what is encrypted in them, and streams. It takes a while to count. */
const living = () => ({
  streams: v8.queryObjects(AbstractMessageStream, { format: 'count' }),
  heapBytes: process.memoryUsage().heapUsed,
})

t.test(
  `${RECONNECTS} reconnects leave nothing behind`,
  { timeout: 60_000 + ROUNDS_MAX * RECONNECTS * 1_000 },
  async (t) => {
    const base = t.testdir()
    const a = await makeNode(t, base)
    const b = await makeNode(t, base)
    let heard = 0
    for (const { mesh } of [a, b]) {
      mesh.onRequest('echo', async (_from, payload) => payload)
      mesh.subscribe('news', () => {
        heard += 1
      })
      await mesh.start()
    }
    const reconnect = async () => {
      a.mesh.setAddress(b.mesh.id, b.mesh.advertise)
      // No assertion: each would stay in memory.
      const answer = text(await a.mesh.request(b.mesh.id, 'echo', bytes('x'), { timeoutMs: 5_000 }))
      if (answer !== 'x') throw new Error(`the answer was ${answer}`)
      const before = heard
      await until(async () => {
        await b.mesh.publish('news', bytes('x'))
        return heard > before
      })
      // Both ends, or the one waits a while for the other.
      a.mesh.forget(b.mesh.id)
      b.mesh.forget(a.mesh.id)
      await until(() => a.mesh.connected().length === 0 && b.mesh.connected().length === 0)
      a.events.length = 0
      b.events.length = 0
      a.lines.length = 0
      b.lines.length = 0
    }
    for (let i = 0; i < 10; i += 1) await reconnect()
    const round = async () => {
      const before = living()
      for (let i = 0; i < RECONNECTS; i += 1) await reconnect()
      let after = living()
      // What was closed last is still on its way out.
      const settled = async () => {
        if (after.streams <= before.streams) return true
        await sleep(1_000)
        after = living()
        return false
      }
      await until(settled, () => ({ before, after }), 30_000)
      const grown = (after.heapBytes - before.heapBytes) / RECONNECTS
      t.comment(
        `${Math.round(grown)} bytes of heap for each of ${RECONNECTS} reconnects, ${JSON.stringify(after)}`,
      )
      return grown
    }
    let grown = await round()
    // What is compiled or cached once makes one round heavy; a leak every one.
    for (let i = 1; i < ROUNDS_MAX && grown >= HEAP_BYTES_EACH_MAX; i += 1) grown = await round()
    t.ok(grown < HEAP_BYTES_EACH_MAX, `${grown} bytes each`)
  },
)
