import { Follower } from './follower.ts'
import { type GoAnswer, GoClient, indexParam, type Params } from './go-client.ts'
import { NODE, SERVICE_ENTRY, SERVICE_TAGS } from './go-types.ts'

const WAIT = '60000ms'
/** Least time between two polls, and how old an answer may be. Milliseconds. */
const POLL_MS = 100
const STALE_MS_MAX = 2000

/** consul-template (dependency/): a page with the nodes, the names of services, and the passing instances of one. */
export class ConsulTemplate {
  readonly client: GoClient
  readonly follower: Follower
  readonly #parts = new Map<string, readonly string[]>()
  #renders = 0

  constructor(port: number, service: string) {
    this.client = new GoClient(port, { 'User-Agent': 'consul-template/0.37.4' })
    this.follower = new Follower(this.client.signal)
    this.#depend('nodes', async (params) => {
      const answer = await this.client.read('/v1/catalog/nodes', params, [NODE])
      return { ...answer, value: answer.value.map(({ Node }) => Node) }
    })
    this.#depend('services', async (params) => {
      const answer = await this.client.read('/v1/catalog/services', params, SERVICE_TAGS)
      return { ...answer, value: Object.keys(answer.value).toSorted() }
    })
    this.#depend(service, async (params) => {
      const path = `/v1/health/service/${service}`
      const answer = await this.client.read(path, { ...params, passing: '1' }, [SERVICE_ENTRY])
      const lines = answer.value.map(
        ({ Node, Service }) => `${Node.Node} ${Service.Address || Node.Address}:${Service.Port}`,
      )
      return { ...answer, value: lines.toSorted() }
    })
  }

  /** How often the page was written. */
  get renders(): number {
    return this.#renders
  }

  /** The page. */
  page(): string {
    return [...this.#parts.values()].map((part) => part.join(',')).join('\n')
  }

  #depend(name: string, ask: (params: Params) => Promise<GoAnswer<readonly string[]>>): void {
    let index = 0
    this.#parts.set(name, [])
    this.follower.follow(async () => {
      const params = { wait: WAIT, index: indexParam(index) }
      let answer = await ask({ ...params, stale: '' })
      if (answer.lastContactMs > STALE_MS_MAX) answer = await ask(params)
      if (answer.index === index) return
      if (answer.index < index) {
        index = 0
        return
      }
      index = answer.index
      const before = this.page()
      this.#parts.set(name, answer.value)
      if (this.page() !== before) this.#renders++
    }, POLL_MS)
  }
}
