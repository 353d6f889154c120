import { Follower } from './follower.ts'
import { GoClient, indexParam } from './go-client.ts'
import { aggregatedStatus, SERVICE_ENTRY, SERVICE_TAGS } from './go-types.ts'

const WAIT = '120000ms'

/** A `consul_sd_configs` entry. */
export interface PrometheusOptions {
  readonly tags: readonly string[]
  readonly filter: string
  readonly healthFilter: string
  readonly refreshMs: number
}

/** Prometheus's `consul_sd_configs` (discovery/consul): a watch of the names, and one of each service with the wanted tags. */
export class Prometheus {
  readonly client: GoClient
  readonly follower: Follower
  readonly #options: PrometheusOptions
  readonly #groups = new Map<string, readonly string[]>()
  readonly #watched = new Set<string>()
  #datacenter = ''
  #index = 0

  constructor(port: number, options: PrometheusOptions) {
    this.#options = options
    this.client = new GoClient(port, { Authorization: 'Basic cHJvbTpzZWNyZXQ=' })
    this.follower = new Follower(this.client.signal)
  }

  async start(): Promise<void> {
    const self = await this.client.get('/v1/agent/self', { map: { map: 'any' } })
    this.#datacenter = self.Config?.Datacenter as string
    this.follower.follow(() => this.#names(), this.#options.refreshMs)
  }

  /** Address, health and service of each target. */
  targets(): readonly string[] {
    return [...this.#groups.values()].flat().toSorted()
  }

  async #names(): Promise<void> {
    const { filter, tags, refreshMs } = this.#options
    const params = { index: indexParam(this.#index), wait: WAIT, stale: '', dc: this.#datacenter, filter }
    const { value, index } = await this.client.read('/v1/catalog/services', params, SERVICE_TAGS)
    if (index === this.#index) return
    this.#index = index
    for (const [name, offered] of Object.entries(value)) {
      if (this.#watched.has(name) || !tags.every((tag) => offered.includes(tag))) continue
      this.#watched.add(name)
      const service = { name, index: 0 }
      this.follower.follow(
        () => this.#service(service),
        refreshMs,
        () => !this.#watched.has(name),
      )
    }
    for (const name of this.#watched) {
      if (Object.hasOwn(value, name)) continue
      this.#watched.delete(name)
      this.#groups.delete(name)
    }
  }

  async #service(service: { readonly name: string; index: number }): Promise<void> {
    const { tags, healthFilter } = this.#options
    const { value, index } = await this.client.read(
      `/v1/health/service/${encodeURIComponent(service.name)}`,
      {
        ...{ index: indexParam(service.index), wait: WAIT, stale: '', dc: this.#datacenter },
        ...{ tag: tags, filter: healthFilter },
      },
      [SERVICE_ENTRY],
    )
    if (index === service.index || !this.#watched.has(service.name)) return
    service.index = index
    this.#groups.set(
      service.name,
      value.map(({ Node, Service, Checks }) => {
        const address = `${Service.Address === '' ? Node.Address : Service.Address}:${Service.Port}`
        return `${service.name} ${Node.Node} ${address} ${aggregatedStatus(Checks)}`
      }),
    )
  }
}
