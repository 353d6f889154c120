import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** A connection through a proxy: who opened it ('' if that is gone already) and to whom, and the socket to each. */
export interface Proxied {
  readonly caller: string
  readonly callee: string
  readonly fromCaller: Socket
  readonly toCallee: Socket
}

/** What a proxy asks and tells. */
export interface MeshProxyCollaborators {
  /** Id of the process of each node that runs, by its name. */
  readonly pids: () => Iterable<readonly [name: string, pid: number]>
  /** A connection was opened. Its sockets are paused: nothing passes by itself. */
  readonly onOpen: (connection: Proxied) => void
  /** One end of a connection closed; the other was closed for it. */
  readonly onEnd: (connection: Proxied) => void
}

/**
 * Listens in front of the mesh ports of nodes and connects whoever calls there. What passes, and when, is decided by its
 * owner. Linux only: /proc tells which process opened a connection.
 */
export class MeshProxy {
  readonly #with: MeshProxyCollaborators
  readonly #servers: Server[] = []
  readonly #open = new Set<Proxied>()

  constructor(collaborators: MeshProxyCollaborators) {
    this.#with = collaborators
  }

  /** Listens on `port` for what is meant for the node `name` at its mesh port. */
  listen(port: number, name: string, meshPort: number): Promise<void> {
    const server = createServer({ pauseOnConnect: true }, (from) => this.#accept(from, port, name, meshPort))
    this.#servers.push(server)
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => resolve())
    })
  }

  async close(): Promise<void> {
    for (const { fromCaller, toCallee } of this.#open) {
      fromCaller.destroy()
      toCallee.destroy()
    }
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }

  #accept(fromCaller: Socket, port: number, callee: string, meshPort: number): void {
    const caller = this.#callerOf(fromCaller.remotePort ?? 0, port)
    const toCallee = connect({ host: '127.0.0.1', port: meshPort, noDelay: true })
    fromCaller.setNoDelay(true)
    const connection: Proxied = { caller, callee, fromCaller, toCallee }
    this.#open.add(connection)
    const end = (): void => {
      if (!this.#open.delete(connection)) return
      fromCaller.destroy()
      toCallee.destroy()
      this.#with.onEnd(connection)
    }
    for (const socket of [fromCaller, toCallee]) socket.on('error', end).on('close', end)
    this.#with.onOpen(connection)
  }

  /** The node whose process opened the connection from `localPort` to `remotePort`. */
  #callerOf(localPort: number, remotePort: number): string {
    const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0')
    const inode = readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .find(
        ([, local, remote]) =>
          local?.endsWith(`:${hex(localPort)}`) && remote?.endsWith(`:${hex(remotePort)}`),
      )?.[9]
    for (const [name, pid] of this.#with.pids()) if (ownsSocket(pid, inode)) return name
    return ''
  }
}

function ownsSocket(pid: number, inode: string | undefined): boolean {
  try {
    const folder = `/proc/${pid}/fd`
    return readdirSync(folder).some((fd) => linkTarget(`${folder}/${fd}`) === `socket:[${inode}]`)
  } catch {
    return false
  }
}

function linkTarget(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    // Closed while it was looked at.
    return ''
  }
}
