import { createSocket } from 'node:dgram'
import { splitHostPort } from './address.ts'
import { type NetworkLimits, type ProbeResult, ProbeTimeoutError, reason } from './probe.ts'

/**
 * Sends one empty datagram (Consul's UDP check): critical if the port is refused or cannot be reached at any address of the host, passing if
 * anything comes back, and also if nothing does until the timeout, as most services do not answer what they do not understand.
 * Never rejects.
 */
export async function probeUdp(
  address: string,
  { signal, names }: Pick<NetworkLimits, 'signal' | 'names'>,
): Promise<ProbeResult> {
  const label = `UDP connect ${address}`
  const critical = (error: unknown): ProbeResult => ({
    status: 'critical',
    output: `${label}: ${reason(error)}`,
  })
  const target = splitHostPort(address)
  if (target === null) return critical('want "host:port"')
  const errors: unknown[] = []
  try {
    for (const { address: ip, family } of await names.addresses(target.host, signal)) {
      const error = await ask(ip, family, target.port, signal)
      if (error === null) return { status: 'passing', output: `${label}: Success` }
      errors.push(error)
      if (signal.aborted) break
    }
  } catch (error) {
    errors.push(error)
  }
  return critical(new AggregateError(errors))
}

/** What speaks against this address; null if something came back, or nothing until the timeout. */
async function ask(ip: string, family: number, port: number, signal: AbortSignal): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<unknown>()
  let sent = false
  const onAbort = () => {
    const quiet = sent && signal.reason instanceof ProbeTimeoutError
    resolve(quiet ? null : signal.reason)
  }
  if (signal.aborted) return signal.reason
  signal.addEventListener('abort', onAbort, { once: true })
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
  socket.on('error', resolve)
  socket.once('message', () => resolve(null))
  // Connected, as only then the kernel reports a refused port to the socket.
  socket.once('connect', () => {
    if (signal.aborted) return
    socket.send('', (error) => {
      sent = true
      if (error) resolve(error)
    })
  })
  // Without a callback, which would be called with an error too, that is an event.
  socket.connect(port, ip)
  const error = await promise
  signal.removeEventListener('abort', onAbort)
  socket.close()
  return error
}
