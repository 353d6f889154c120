import { mkdirSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { tcpIsFree, udpIsFree } from '../../agent/cli/dev/free-port.ts'
import { tryLock, unlock } from './exclusive.ts'

/** Below the ports that the system hands out for outgoing connections, which come and go at any moment. */
const FIRST_PORT = 20_000
const BLOCK_PORTS = 40
const BLOCKS = 300

/** Ports that belong to one test until it gives them back. */
export interface PortBlock {
  /** The next port that nobody uses, TCP and UDP, on 127.0.0.1. */
  next(): Promise<number>
  release(): void
}

/** Reserves a block of 40 ports, so that test files that run at the same time do not get the same ones. */
export function reservePorts(): PortBlock {
  const locks = join(tmpdir(), `constellation-test-ports-${userInfo().uid}`)
  mkdirSync(locks, { recursive: true })
  const first = process.pid % BLOCKS
  for (let i = 0; i < BLOCKS * 2; i++) {
    const block = (first + i) % BLOCKS
    const lock = join(locks, String(block))
    if (!tryLock(lock)) continue
    const start = FIRST_PORT + block * BLOCK_PORTS
    let used = 0
    return {
      async next() {
        while (used < BLOCK_PORTS) {
          const port = start + used++
          if ((await tcpIsFree(port)) && (await udpIsFree(port))) return port
        }
        throw new Error(`no free port is left in ${start}-${start + BLOCK_PORTS - 1}`)
      },
      release: () => unlock(lock),
    }
  }
  throw new Error(`every block of ports is reserved; remove ${locks} if no test runs`)
}
