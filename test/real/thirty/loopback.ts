import type { AgentProcess } from '../agent-process.ts'
import { Network } from '../network.ts'
import { reservePorts } from '../ports.ts'
import { type Fabric, FabricError, pairsAcross, type Site } from './fabric.ts'

/** Sites on 127.0.0.1 with a proxy in front of each mesh port, which holds back what is said across a cut. Needs no rights. */
export class LoopbackFabric implements Fabric {
  readonly title = 'loopback, through a proxy'
  readonly canLose = false
  readonly sites: readonly Site[]
  readonly #network: Network
  readonly #release: () => void

  private constructor(sites: readonly Site[], network: Network, release: () => void) {
    this.sites = sites
    this.#network = network
    this.#release = release
  }

  /** `agents`: those that run, for the proxies to know whose connection it is. */
  static async create(
    names: readonly string[],
    agents: () => readonly AgentProcess[],
  ): Promise<LoopbackFabric> {
    const network = new Network(agents)
    const blocks: ReturnType<typeof reservePorts>[] = []
    const sites: Site[] = []
    const next = async (): Promise<number> => {
      try {
        return await (blocks.at(-1) as ReturnType<typeof reservePorts>).next()
      } catch {
        blocks.push(reservePorts())
        return next()
      }
    }
    for (const name of names) {
      const front = await next()
      const ports = { http: await next(), mesh: await next(), dns: await next() }
      await network.listen(front, name, ports.mesh)
      sites.push({ name, host: '127.0.0.1', ports, address: `127.0.0.1:${front}`, launcher: [] })
    }
    return new LoopbackFabric(sites, network, () => {
      for (const block of blocks) block.release()
    })
  }

  async cut(groups: readonly (readonly string[])[]): Promise<void> {
    this.#network.heal()
    for (const [a, b] of pairsAcross(groups)) this.#network.cut(a, b)
  }

  async heal(): Promise<void> {
    this.#network.heal()
  }

  async lose(percent: number): Promise<void> {
    if (percent > 0) throw new FabricError('FAB_NO_LOSS', 'packets are lost only between network namespaces')
  }

  async lost(): Promise<number> {
    return 0
  }

  async traffic(): Promise<null> {
    return null
  }

  async close(): Promise<void> {
    await this.#network.close()
    this.#release()
  }
}
