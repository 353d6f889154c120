import t from 'tap'
import { bytes, makeNode, metric, until } from './cluster.ts'

const CHANNELS = ['x', 'y', 'z']

t.test('one stream per channel and direction, however much is sent at once', async (t) => {
  const base = t.testdir()
  const a = await makeNode(t, base)
  const b = await makeNode(t, base)
  let messages = 0
  for (const { mesh } of [a, b]) {
    for (const channel of CHANNELS) {
      mesh.onRequest(channel, async (_from, payload) => payload)
      mesh.onMessage(channel, () => {
        messages += 1
      })
    }
    await mesh.start()
  }
  await a.mesh.dial(b.mesh.advertise)
  await until(() => a.events.length === 1 && b.events.length === 1)
  const streams = () => metric(a.metrics, 'constellation_mesh_streams')
  // Gossip has one stream in each direction.
  await until(async () => (await streams()) === 2, streams)
  const rounds = 30
  for (let i = 0; i < rounds; i += 1) {
    const asked = CHANNELS.flatMap((channel) =>
      [
        [a, b],
        [b, a],
      ].map(([from, to]) => {
        if (from === undefined || to === undefined) throw new Error('unreachable')
        from.mesh.send(to.mesh.id, channel, bytes('x'))
        return from.mesh.request(to.mesh.id, channel, bytes('x'), { timeoutMs: 5_000 })
      }),
    )
    await Promise.all(asked)
  }
  await until(() => messages === rounds * CHANNELS.length * 2)
  t.equal(await streams(), 2 + CHANNELS.length * 2)
  t.equal(await metric(a.metrics, 'constellation_mesh_connections'), 1)
})
