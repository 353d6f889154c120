import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { AgentProcess } from './agent-process.ts'

/** A connection between two agents. */
interface Link {
  readonly between: readonly [string, string]
  readonly sockets: readonly [Socket, Socket]
}

/**
 * Proxies in front of the mesh ports of agents, which can lose what two agents say to each other: open connections stay
 * open and fall silent, as when a cable is cut. Linux only: /proc tells which agent opened a connection.
 */
export class Network {
  readonly #agents: () => readonly AgentProcess[]
  readonly #servers: Server[] = []
  readonly #links = new Set<Link>()
  readonly #cut = new Set<string>()

  constructor(agents: () => readonly AgentProcess[]) {
    this.#agents = agents
  }

  /** Listens on `port` for what is meant for the agent `name` at its mesh port. */
  listen(port: number, name: string, meshPort: number): Promise<void> {
    const server = createServer({ pauseOnConnect: true }, (from) => this.#accept(from, port, name, meshPort))
    this.#servers.push(server)
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => resolve())
    })
  }

  /** Silences these agents towards each other, in both directions. */
  cut(a: string, b: string): void {
    this.#cut.add(pairName(a, b))
    for (const { between, sockets } of this.#links) {
      if (this.#isCut(...between)) for (const socket of sockets) socket.pause()
    }
  }

  /** Lets everybody talk again; what was said meanwhile arrives late. */
  heal(): void {
    this.#cut.clear()
    for (const { sockets } of this.#links) for (const socket of sockets) socket.resume()
  }

  async close(): Promise<void> {
    for (const { sockets } of this.#links) for (const socket of sockets) socket.destroy()
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }

  #isCut(a: string, b: string): boolean {
    return this.#cut.has(pairName(a, b))
  }

  #accept(from: Socket, port: number, name: string, meshPort: number): void {
    const caller = this.#callerOf(from.remotePort ?? 0, port)
    const to = connect({ host: '127.0.0.1', port: meshPort, noDelay: true })
    from.setNoDelay(true)
    const link: Link = { between: [caller, name], sockets: [from, to] }
    this.#links.add(link)
    const end = (): void => {
      this.#links.delete(link)
      from.destroy()
      to.destroy()
    }
    for (const [source, sink] of [
      [from, to],
      [to, from],
    ] as const) {
      source.on('error', end).on('close', end)
      source.on('data', (chunk) => {
        if (!sink.write(chunk)) source.pause()
      })
      sink.on('drain', () => {
        if (!this.#isCut(...link.between)) source.resume()
      })
      if (this.#isCut(...link.between)) source.pause()
      else source.resume()
    }
  }

  /** Name of the agent that opened the connection from `localPort` to `remotePort`. */
  #callerOf(localPort: number, remotePort: number): string {
    const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0')
    const inode = readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .find(
        ([, local, remote]) =>
          local?.endsWith(`:${hex(localPort)}`) && remote?.endsWith(`:${hex(remotePort)}`),
      )?.[9]
    const owner = this.#agents().find((agent) => agent.running && ownsSocket(agent.pid, inode))
    return owner?.name ?? ''
  }
}

function ownsSocket(pid: number, inode: string | undefined): boolean {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).some((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`) === `socket:[${inode}]`
    } catch {
      // Closed while it was looked at.
      return false
    }
  })
}

function pairName(a: string, b: string): string {
  return [a, b].sort().join(' ')
}
