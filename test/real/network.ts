import type { AgentProcess } from './agent-process.ts'
import { MeshProxy, type Proxied } from './mesh-proxy.ts'

/**
 * Proxies in front of the mesh ports of agents, which can lose what two agents say to each other: open connections stay
 * open and fall silent, as when a cable is cut. Linux only: /proc tells which agent opened a connection.
 */
export class Network {
  readonly #proxy: MeshProxy
  readonly #links = new Set<Proxied>()
  readonly #cut = new Set<string>()

  constructor(agents: () => readonly AgentProcess[]) {
    this.#proxy = new MeshProxy({
      pids: () =>
        agents()
          .filter(({ running }) => running)
          .map(({ name, pid }) => [name, pid] as const),
      onOpen: (link) => this.#opened(link),
      onEnd: (link) => this.#links.delete(link),
    })
  }

  /** Listens on `port` for what is meant for the agent `name` at its mesh port. */
  listen(port: number, name: string, meshPort: number): Promise<void> {
    return this.#proxy.listen(port, name, meshPort)
  }

  /** Silences these agents towards each other, in both directions. */
  cut(a: string, b: string): void {
    this.#cut.add(pairName(a, b))
    for (const link of this.#links) {
      if (this.#isCut(link)) for (const socket of [link.fromCaller, link.toCallee]) socket.pause()
    }
  }

  /** Lets everybody talk again; what was said meanwhile arrives late. */
  heal(): void {
    this.#cut.clear()
    for (const { fromCaller, toCallee } of this.#links)
      for (const socket of [fromCaller, toCallee]) socket.resume()
  }

  close(): Promise<void> {
    return this.#proxy.close()
  }

  #isCut({ caller, callee }: Proxied): boolean {
    return this.#cut.has(pairName(caller, callee))
  }

  #opened(link: Proxied): void {
    const { fromCaller, toCallee } = link
    this.#links.add(link)
    for (const [source, sink] of [
      [fromCaller, toCallee],
      [toCallee, fromCaller],
    ] as const) {
      source.on('data', (chunk) => {
        if (!sink.write(chunk)) source.pause()
      })
      sink.on('drain', () => {
        if (!this.#isCut(link)) source.resume()
      })
      if (this.#isCut(link)) source.pause()
      else source.resume()
    }
  }
}

function pairName(a: string, b: string): string {
  return [a, b].sort().join(' ')
}
