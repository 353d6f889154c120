import { connect } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { splitHostPort, tlsSettings } from './address.ts'
import { addressAttempts } from './address-attempts.ts'
import { socketLookup } from './name-lookup.ts'
import { type NetworkLimits, type ProbeResult, reason } from './probe.ts'
import type { CheckKind } from './types.ts'

/** An HTTP/2 ping check. */
export type H2Kind = Extract<CheckKind, { type: 'h2ping' }>

/**
 * Opens an HTTP/2 connection and pings once: passing if the ping is acknowledged, else critical (Consul's H2PING check).
 * Never rejects. An aborted signal ends it as critical with the reason of the abort.
 */
export function probeH2(
  kind: H2Kind,
  { signal, timeoutMs, names }: Pick<NetworkLimits, 'signal' | 'timeoutMs' | 'names'>,
): Promise<ProbeResult> {
  const { address } = kind
  const label = `HTTP2 ping ${address}`
  const target = splitHostPort(address)
  if (target === null) return Promise.resolve({ status: 'critical', output: `${label}: want "host:port"` })
  return new Promise((resolve) => {
    const options = { ...target, lookup: socketLookup(names, signal), ...addressAttempts({ timeoutMs }) }
    const socket = kind.useTls
      ? connectTls({ ...options, ...tlsSettings(kind, target.host), ALPNProtocols: ['h2'] })
      : connectTcp(options)
    // No request is sent, so nobody sees the authority; as a URL it could hold no zone of an address.
    const session = connect('http://localhost', { createConnection: () => socket })
    const finish = (result: ProbeResult) => {
      signal.removeEventListener('abort', onAbort)
      session.destroy()
      // The session leaves a connection alone that it waits for.
      socket.destroy()
      resolve(result)
    }
    const fail = (error: unknown) => finish({ status: 'critical', output: `${label}: ${reason(error)}` })
    const onAbort = () => fail(signal.reason)
    session.on('error', fail)
    session.once('close', () => fail(new Error('the connection was closed')))
    // The settings of the server come first: a ping into what is no HTTP/2 would wait for the timeout.
    session.once('remoteSettings', () => {
      session.ping((error) => {
        if (error) fail(error)
        else finish({ status: 'passing', output: `${label}: Success` })
      })
    })
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
  })
}
