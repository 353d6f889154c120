import { createServer } from 'node:http'
import { createServer as createH2 } from 'node:http2'
import type { AddressInfo, Server } from 'node:net'
import t, { type Test } from 'tap'
import { probeH2 } from '../../../discovery/health/h2-probe.ts'
import { probeHttp } from '../../../discovery/health/http-probe.ts'
import type { NetworkLimits } from '../../../discovery/health/probe.ts'
import { probeTcp } from '../../../discovery/health/tcp-probe.ts'
import { httpKind, tcpKind } from './fixtures.ts'

/** More than Node waits for the first of several addresses. */
const STALL_MS = 400

function stall(): void {
  const end = performance.now() + STALL_MS
  while (performance.now() < end);
}

/** A name with two addresses, of which the second refuses; the process stalls as soon as the first is being connected to. */
const limits = (): NetworkLimits => ({
  signal: AbortSignal.timeout(20_000),
  timeoutMs: 10_000,
  outputMax: 4_096,
  names: {
    addresses: async () => {
      // Two ticks on the name is known and the first attempt begun, and no socket has been looked at since.
      process.nextTick(() => process.nextTick(stall))
      return ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }))
    },
  },
})

async function listen(t: Test, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

t.test('a stall of the agent does not turn a check of a name with two addresses critical', async (t) => {
  const port = await listen(
    t,
    createServer((_request, response) => response.end('ok')),
  )
  t.match(await probeTcp(tcpKind(`both.test:${port}`), limits()), { status: 'passing' })
  t.match(await probeHttp(httpKind(`http://both.test:${port}/`), limits()), { status: 'passing' })
  const h2 = `both.test:${await listen(t, createH2())}`
  const kind = {
    type: 'h2ping',
    address: h2,
    useTls: false,
    tlsServerName: '',
    tlsSkipVerify: false,
  } as const
  t.match(await probeH2(kind, limits()), { status: 'passing' })
})
