import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { splitHostPort, tlsSettings } from './address.ts'
import { addressAttempts } from './address-attempts.ts'
import { socketLookup } from './name-lookup.ts'
import { type NetworkLimits, type ProbeResult, reason } from './probe.ts'
import type { CheckKind } from './types.ts'

/** A TCP check. */
export type TcpKind = Extract<CheckKind, { type: 'tcp' }>

/**
 * Connects and hangs up: passing if the connection was accepted, with TLS if its handshake succeeded, else critical
 * (Consul's TCP check). Never rejects. An aborted signal ends it as critical with the reason of the abort.
 */
export function probeTcp(
  kind: TcpKind,
  { signal, timeoutMs, names }: Pick<NetworkLimits, 'signal' | 'timeoutMs' | 'names'>,
): Promise<ProbeResult> {
  const { address } = kind
  const target = splitHostPort(address)
  if (target === null) {
    return Promise.resolve({ status: 'critical', output: `TCP connect ${address}: want "host:port"` })
  }
  return new Promise((resolve) => {
    const options = { ...target, lookup: socketLookup(names, signal), ...addressAttempts({ timeoutMs }) }
    const socket: Socket = kind.useTls
      ? connectTls({ ...options, ...tlsSettings(kind, target.host) })
      : connect(options)
    const finish = (result: ProbeResult) => {
      signal.removeEventListener('abort', onAbort)
      socket.destroy()
      resolve(result)
    }
    const fail = (error: unknown) =>
      finish({ status: 'critical', output: `TCP connect ${address}: ${reason(error)}` })
    const onAbort = () => fail(signal.reason)
    socket.on('error', fail)
    socket.once(kind.useTls ? 'secureConnect' : 'connect', () =>
      finish({ status: 'passing', output: `TCP connect ${address}: Success` }),
    )
    socket.once('close', () => fail(new Error('the connection was closed')))
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
  })
}
