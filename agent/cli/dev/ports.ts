import { tcpIsFree, udpIsFree } from './free-port.ts'
import type { PlannedPort } from './plan.ts'

/** Tries to bind each port on 127.0.0.1, TCP and where it matters UDP; answers the first that cannot be had, or null. */
export async function findBusyPort(ports: readonly PlannedPort[]): Promise<PlannedPort | null> {
  for (const planned of ports) {
    if (!(await tcpIsFree(planned.port))) return planned
    if (planned.udp && !(await udpIsFree(planned.port))) return planned
  }
  return null
}
