import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { ProbeTimeoutError } from '../../../discovery/health/probe.ts'
import { probeUdp } from '../../../discovery/health/udp-probe.ts'
import { names } from './fixtures.ts'

async function bind(t: Test): Promise<{ socket: Socket; port: number }> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  let open = true
  socket.once('close', () => {
    open = false
  })
  t.teardown(() => {
    if (open) socket.close()
  })
  return { socket, port: socket.address().port }
}
const limit = () => ({ signal: AbortSignal.timeout(5_000), names })

t.test('an answer is passing', async (t) => {
  const { socket, port } = await bind(t)
  let datagrams = 0
  socket.on('message', (message, from) => {
    datagrams += 1
    t.equal(message.length, 0)
    socket.send('hello', from.port, from.address)
  })
  t.same(await probeUdp(`127.0.0.1:${port}`, limit()), {
    status: 'passing',
    output: `UDP connect 127.0.0.1:${port}: Success`,
  })
  t.equal(datagrams, 1)
})

t.test('silence until the timeout is passing, for another reason to end it is not', async (t) => {
  const { socket, port } = await bind(t)
  for (const [reason, status] of [
    [new ProbeTimeoutError(10), 'passing'],
    [new Error('the check was removed'), 'critical'],
  ] as const) {
    const abort = new AbortController()
    const result = probeUdp(`127.0.0.1:${port}`, { signal: abort.signal, names })
    await once(socket, 'message')
    // Its own callback of the send comes in the same turn or the next.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    abort.abort(reason)
    t.match(await result, { status })
  }
})

t.test('a refused port is critical', async (t) => {
  const { socket, port } = await bind(t)
  socket.close()
  await once(socket, 'close')
  t.match(await probeUdp(`127.0.0.1:${port}`, limit()), { status: 'critical', output: /ECONNREFUSED/ })
  t.match(await probeUdp('nonsense', limit()), { status: 'critical', output: /want "host:port"/ })
})

t.test('an address that no route leads to is critical', async (t) => {
  // The kernel refuses a broadcast address to a socket that did not ask for it, as it does an address without a route.
  t.match(await probeUdp('255.255.255.255:53', limit()), { status: 'critical', output: /EACCES|ENETUNREACH/ })
})
