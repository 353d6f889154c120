import { Follower } from './follower.ts'
import { GoClient, indexParam } from './go-client.ts'
import { aggregatedStatus, HEALTH_CHECK, SERVICE_ENTRY, SERVICE_TAGS } from './go-types.ts'

const ENABLE = 'traefik.enable=true'
/** `strictChecks`: what an instance must be to be sent to. */
const STRICT = ['passing', 'warning']

/**
 * Traefik's `consulCatalog` with `watch` and `stale`, not `exposedByDefault` (pkg/provider/consulcatalog): two watches, of the
 * names and of all checks; each time one tells of something, everything is read again.
 */
export class TraefikCatalog {
  readonly client: GoClient
  readonly follower: Follower
  #servers: readonly string[] = []
  #names = 0
  #checks = 0

  constructor(port: number) {
    this.client = new GoClient(port, { 'X-Consul-Token': 'anything' })
    this.follower = new Follower(this.client.signal)
  }

  async start(): Promise<void> {
    await this.#refresh()
    this.follower.follow(async () => {
      const params = { index: indexParam(this.#names) }
      const { index } = await this.client.read('/v1/catalog/services', params, SERVICE_TAGS)
      await this.#told(this.#names, index)
      this.#names = index < this.#names ? 0 : index
    }, 0)
    this.follower.follow(async () => {
      const params = { index: indexParam(this.#checks) }
      const { index } = await this.client.read('/v1/health/state/any', params, [HEALTH_CHECK])
      await this.#told(this.#checks, index)
      this.#checks = index < this.#checks ? 0 : index
    }, 0)
  }

  /** Service, node and address of every server that requests are sent to. */
  servers(): readonly string[] {
    return this.#servers
  }

  async #told(before: number, index: number): Promise<void> {
    if (index !== before) await this.#refresh()
  }

  async #refresh(): Promise<void> {
    const names = (await this.client.read('/v1/catalog/services', { stale: '' }, SERVICE_TAGS)).value
    const servers: string[] = []
    for (const [name, tags] of Object.entries(names)) {
      if (!tags.includes(ENABLE)) continue
      const path = `/v1/health/service/${encodeURIComponent(name)}`
      const { value } = await this.client.read(path, { stale: '', tag: ENABLE }, [SERVICE_ENTRY])
      const statuses = new Map(
        value.map(({ Node, Service, Checks }) => [`${Node.ID}${Service.ID}`, aggregatedStatus(Checks)]),
      )
      if (statuses.size !== value.length) throw new Error(`two instances of ${name} have one id`)
      for (const { Node, Service } of value) {
        if (!STRICT.includes(statuses.get(`${Node.ID}${Service.ID}`) ?? '')) continue
        const address = `${Service.Address === '' ? Node.Address : Service.Address}:${Service.Port}`
        servers.push(`${name} ${Node.Node} ${address}`)
      }
    }
    this.#servers = servers.toSorted()
  }
}
