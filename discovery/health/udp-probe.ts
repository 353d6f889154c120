import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { splitHostPort } from './address.ts'
import { type ProbeLimits, type ProbeResult, ProbeTimeoutError, reason } from './probe.ts'

/**
 * Sends one empty datagram (Consul's UDP check): critical if the port is refused or cannot be reached, passing if anything
 * comes back, and also if nothing does until the timeout, as most services do not answer what they do not understand.
 * Never rejects.
 */
export async function probeUdp(
  address: string,
  { signal }: Pick<ProbeLimits, 'signal'>,
): Promise<ProbeResult> {
  const label = `UDP connect ${address}`
  const success: ProbeResult = { status: 'passing', output: `${label}: Success` }
  const critical = (error: unknown): ProbeResult => ({
    status: 'critical',
    output: `${label}: ${reason(error)}`,
  })
  const target = splitHostPort(address)
  if (target === null) return critical('want "host:port"')
  const { promise, resolve } = Promise.withResolvers<ProbeResult>()
  let socket: Socket | null = null
  let sent = false
  const onAbort = () => {
    const quiet = sent && signal.reason instanceof ProbeTimeoutError
    resolve(quiet ? success : critical(signal.reason))
  }
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  const send = async (): Promise<void> => {
    const { address: ip, family } = await lookup(target.host)
    if (signal.aborted) return
    socket = createSocket(family === 6 ? 'udp6' : 'udp4')
    socket.on('error', (error) => resolve(critical(error)))
    socket.once('message', () => resolve(success))
    const connected = socket
    // Connected, as only then the kernel reports a refused port to the socket.
    connected.once('connect', () => {
      if (signal.aborted) return
      connected.send('', (error) => {
        sent = true
        if (error) resolve(critical(error))
      })
    })
    // Without a callback, which would be called with an error too, that is an event.
    connected.connect(target.port, ip)
  }
  send().catch((error: unknown) => resolve(critical(error)))
  const result = await promise
  signal.removeEventListener('abort', onAbort)
  ;(socket as Socket | null)?.close()
  return result
}
