import t from 'tap'
import { decodeGossip, encodeGossip } from '../../../discovery/mesh/gossip.ts'
import { bytes, makeNode, text, until } from './cluster.ts'

const NODES = 20

t.test('a gossip message names its publisher', async (t) => {
  const message = decodeGossip(encodeGossip('peer', 7n, bytes('payload')))
  t.equal(message?.from, 'peer')
  t.equal(text(message?.payload ?? new Uint8Array()), 'payload')
  for (const junk of [[], [0], [5, 1, 2], [200]]) t.equal(decodeGossip(Uint8Array.from(junk)), undefined)
})

t.test('twenty nodes on one address deliver everything to everyone, once', async (t) => {
  const base = t.testdir()
  const nodes = await Promise.all(Array.from({ length: NODES }, () => makeNode(t, base)))
  const got = nodes.map(() => new Map<string, number>())
  const ready = nodes.map(() => new Set<string>())
  for (const [i, { mesh }] of nodes.entries()) {
    mesh.subscribe('ready', (from) => ready[i]?.add(from))
    mesh.subscribe('topic', (from, payload) => {
      const key = `${from} ${text(payload)}`
      got[i]?.set(key, (got[i]?.get(key) ?? 0) + 1)
    })
  }
  await Promise.all(nodes.map(({ mesh }) => mesh.start()))
  // Everybody dials the first at once: many peers on one address, as many handshakes at the same moment. The others
  // form a ring, so that most messages are relayed.
  const first = nodes[0]?.mesh.advertise ?? ''
  await Promise.all(nodes.slice(1).map(({ mesh }) => mesh.dial(first)))
  for (const [i, { mesh }] of nodes.entries()) await mesh.dial(nodes[(i + 1) % NODES]?.mesh.advertise ?? '')
  const lastAnnounced = { at: 0 }
  await until(
    async () => {
      if (performance.now() - lastAnnounced.at > 250) {
        lastAnnounced.at = performance.now()
        await Promise.all(nodes.map(({ mesh }) => mesh.publish('ready', bytes('r'))))
      }
      return ready.every((from) => from.size === NODES - 1)
    },
    () => ready.map((from) => from.size),
    20_000,
  )
  for (let round = 0; round < 3; round += 1) {
    await Promise.all(nodes.map(({ mesh }) => mesh.publish('topic', bytes(`same ${round}`))))
  }
  await until(
    () => got.every((messages) => messages.size === (NODES - 1) * 3),
    () => got.map((messages) => messages.size),
    20_000,
  )
  t.ok(got.every((messages) => [...messages.values()].every((count) => count === 1)))
})

t.test('equal payloads are different messages, a large one is refused', async (t) => {
  const base = t.testdir()
  const a = await makeNode(t, base)
  const b = await makeNode(t, base)
  const got: string[] = []
  b.mesh.subscribe('topic', (_from, payload) => got.push(text(payload)))
  b.mesh.subscribe('topic', () => {
    throw new Error('handler bug')
  })
  await Promise.all([a.mesh.start(), b.mesh.start()])
  await a.mesh.dial(b.mesh.advertise)
  await until(async () => {
    await a.mesh.publish('topic', bytes('x'))
    return got.length >= 2
  })
  await t.rejects(a.mesh.publish('topic', new Uint8Array(1024 * 1024 + 1)), { code: 'MSH_TOO_LARGE' })
})

t.test('gossip comes back after the connection was lost', async (t) => {
  const base = t.testdir()
  const a = await makeNode(t, base)
  const b = await makeNode(t, base)
  const got: string[] = []
  b.mesh.subscribe('topic', (_from, payload) => got.push(text(payload)))
  await Promise.all([a.mesh.start(), b.mesh.start()])
  for (const word of ['first', 'second']) {
    await a.mesh.dial(b.mesh.advertise)
    await until(async () => {
      await a.mesh.publish('topic', bytes(word))
      return got.includes(word)
    })
    a.mesh.forget(b.mesh.id)
    await until(() => a.mesh.connected().length === 0 && b.mesh.connected().length === 0)
  }
})
