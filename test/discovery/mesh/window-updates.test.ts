import type { StreamMuxerFactory } from '@libp2p/interface'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import t from 'tap'
import { fewerWindowUpdates } from '../../../discovery/mesh/window-updates.ts'

const HEADER_BYTES = 12
const WINDOW_UPDATE = 1
const DEADLINE_MS = 10_000

/** Sends `count` messages over a new stream; answers the bytes read at the other end and the window updates that came back. */
async function send(make: () => StreamMuxerFactory, count: number, bytes: number) {
  const [near, far] = multiaddrConnectionPair()
  let updates = 0
  near.addEventListener('message', ({ data }) => {
    const frames = Buffer.from(data.subarray())
    for (let at = 0; at < frames.length; at += HEADER_BYTES) if (frames[at + 1] === WINDOW_UPDATE) updates++
  })
  const sender = make().createStreamMuxer(near)
  const receiver = make().createStreamMuxer(far)
  const total = count * bytes
  let received = 0
  const all = new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${received} of ${total} bytes arrived`)), DEADLINE_MS)
    receiver.addEventListener('stream', ({ detail: stream }) => {
      stream.addEventListener('message', ({ data }) => {
        received += data.byteLength
        if (received < total) return
        clearTimeout(late)
        resolve()
      })
    })
  })
  const stream = await sender.createStream()
  for (let i = 0; i < count; i++) {
    if (!stream.send(new Uint8Array(bytes))) await stream.onDrain()
    // Each message as a frame of its own, as in an agent, where they are far apart.
    await new Promise((resolve) => setImmediate(resolve))
  }
  await all
  sender.abort(new Error('the test is over'))
  receiver.abort(new Error('the test is over'))
  return { received, updates }
}

t.test('a stream of small messages is answered with hardly any window updates', async (t) => {
  const before = await send(yamux(), 200, 100)
  t.ok(before.updates >= 200, `yamux by itself sends one per message: ${before.updates}`)
  const { received, updates } = await send(fewerWindowUpdates(yamux()), 200, 100)
  t.equal(received, 20_000)
  t.ok(updates <= 2, `${updates} updates`)
})

t.test('much more than a window gets through', async (t) => {
  const { received, updates } = await send(fewerWindowUpdates(yamux()), 400, 60_000)
  t.equal(received, 24_000_000)
  t.ok(updates > 2, `${updates} updates`)
})
