import { connect } from 'node:net'
import { type ProbeResult, reason } from './probe.ts'

/** "host:port", "[v6]:port" split in two; null if it is neither. */
export function splitHostPort(address: string): { readonly host: string; readonly port: number } | null {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):([0-9]{1,5})$/.exec(address)
  if (match === null) return null
  const port = Number(match[3])
  return port > 0 && port < 65536 ? { host: match[1] ?? (match[2] || 'localhost'), port } : null
}

/**
 * Connects and hangs up: passing if the connection was accepted, else critical (Consul's TCP check).
 * Never rejects. An aborted `signal` ends it as critical with the reason of the abort.
 */
export function probeTcp(address: string, signal: AbortSignal): Promise<ProbeResult> {
  const target = splitHostPort(address)
  if (target === null) {
    return Promise.resolve({ status: 'critical', output: `TCP connect ${address}: want "host:port"` })
  }
  return new Promise((resolve) => {
    const socket = connect(target)
    const finish = (result: ProbeResult) => {
      signal.removeEventListener('abort', onAbort)
      socket.destroy()
      resolve(result)
    }
    const fail = (error: unknown) =>
      finish({ status: 'critical', output: `TCP connect ${address}: ${reason(error)}` })
    const onAbort = () => fail(signal.reason)
    socket.on('error', fail)
    socket.once('connect', () => finish({ status: 'passing', output: `TCP connect ${address}: Success` }))
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
  })
}
