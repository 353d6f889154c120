import { connect } from 'node:http2'
import { splitHostPort, tlsSettings } from './address.ts'
import { type ProbeLimits, type ProbeResult, reason } from './probe.ts'
import type { CheckKind } from './types.ts'

/** An HTTP/2 ping check. */
export type H2Kind = Extract<CheckKind, { type: 'h2ping' }>

/**
 * Opens an HTTP/2 connection and pings once: passing if the ping is acknowledged, else critical (Consul's H2PING check).
 * Never rejects. An aborted signal ends it as critical with the reason of the abort.
 */
export function probeH2(kind: H2Kind, { signal }: Pick<ProbeLimits, 'signal'>): Promise<ProbeResult> {
  const { address } = kind
  const label = `HTTP2 ping ${address}`
  const target = splitHostPort(address)
  if (target === null) return Promise.resolve({ status: 'critical', output: `${label}: want "host:port"` })
  const host = target.host.includes(':') ? `[${target.host}]` : target.host
  return new Promise((resolve) => {
    const session = connect(
      `${kind.useTls ? 'https' : 'http'}://${host}:${target.port}`,
      kind.useTls ? tlsSettings(kind, target.host) : {},
    )
    const finish = (result: ProbeResult) => {
      signal.removeEventListener('abort', onAbort)
      session.destroy()
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
