import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import type { PlannedPort } from './plan.ts'

/** Tries to bind each port on 127.0.0.1, TCP and where it matters UDP; answers the first that cannot be had, or null. */
export async function findBusyPort(ports: readonly PlannedPort[]): Promise<PlannedPort | null> {
  for (const planned of ports) {
    if (!(await tcpIsFree(planned.port))) return planned
    if (planned.udp && !(await udpIsFree(planned.port))) return planned
  }
  return null
}

function tcpIsFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}

function udpIsFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.once('error', () => {
      socket.close()
      resolve(false)
    })
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => socket.close(() => resolve(true)))
  })
}
