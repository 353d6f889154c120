import { Follower } from './follower.ts'
import { GoClient, indexParam } from './go-client.ts'
import { AGENT_SERVICE, CATALOG_SERVICE, type Decoded, HEALTH_CHECK } from './go-types.ts'

const PREFIX = 'urlprefix-'
/** How often it looks whether it is still registered. Milliseconds. */
const REGISTERED_MS = 200

type Check = Decoded<typeof HEALTH_CHECK>

/**
 * Fabio (registry/consul): keeps itself registered with a check of its own and one with a TTL, follows all checks, and reads the
 * instances of each service that has a passing one. All its reads are consistent ones.
 */
export class Fabio {
  readonly client: GoClient
  readonly follower: Follower
  readonly #id: string
  readonly #own: { readonly name: string; readonly port: number }
  #routes: readonly string[] = []
  #index = 0
  #round: Promise<void> = Promise.resolve()
  #isLeaving = false

  constructor(port: number, own: { readonly name: string; readonly port: number }) {
    this.#own = own
    this.#id = `${own.name}-host-${own.port}`
    this.client = new GoClient(port)
    this.follower = new Follower(this.client.signal)
  }

  get id(): string {
    return this.#id
  }

  async start(): Promise<void> {
    const self = await this.client.get('/v1/agent/self', { map: { map: 'any' } })
    if (typeof self.Config?.Datacenter !== 'string') throw new Error('consul: missing Datacenter')
    this.follower.follow(
      () => {
        this.#round = this.#keepRegistered()
        return this.#round
      },
      REGISTERED_MS,
      () => this.#isLeaving,
    )
    this.follower.follow(() => this.#watch(), 0)
  }

  async stop(): Promise<void> {
    this.#isLeaving = true
    await this.#round.catch(() => {})
    await this.client.put(`/v1/agent/service/deregister/${encodeURIComponent(this.#id)}`)
    this.client.close()
  }

  /** Path, node and address of every target. */
  routes(): readonly string[] {
    return this.#routes
  }

  async #keepRegistered(): Promise<void> {
    const services = await this.client.get('/v1/agent/services', { map: AGENT_SERVICE })
    if (services[this.#id] === undefined)
      await this.client.put('/v1/agent/service/register', {
        ...{ ID: this.#id, Name: this.#own.name, Tags: [], Port: this.#own.port, Address: '127.0.0.1' },
        Checks: [{ CheckID: `${this.#id}-ttl`, TTL: '15s', DeregisterCriticalServiceAfter: '1m' }],
      })
    await this.client.put(`/v1/agent/check/update/${encodeURIComponent(`${this.#id}-ttl`)}`, {
      Status: 'passing',
      Output: '',
    })
  }

  async #watch(): Promise<void> {
    const params = { consistent: '', index: indexParam(this.#index) }
    const { value, index } = await this.client.read('/v1/health/state/any', params, [HEALTH_CHECK])
    const passing = new Map<string, Set<string>>()
    for (const check of value.filter((each) => passes(each, value))) {
      const of = passing.get(check.ServiceName) ?? new Set()
      passing.set(check.ServiceName, of.add(`${check.Node}.${check.ServiceID}`))
    }
    const routes: string[] = []
    for (const [name, ids] of passing) {
      const path = `/v1/catalog/service/${encodeURIComponent(name)}`
      const found = (await this.client.read(path, { consistent: '' }, [CATALOG_SERVICE])).value
      for (const service of found) {
        if (!ids.has(`${service.Node}.${service.ServiceID}`)) continue
        const address = `${service.ServiceAddress || service.Address}:${service.ServicePort}`
        for (const tag of service.ServiceTags)
          if (tag.startsWith(PREFIX)) routes.push(`${tag.slice(PREFIX.length)} ${service.Node} ${address}`)
      }
    }
    this.#routes = routes.toSorted()
    this.#index = index
  }
}

/** Whether this check of a service passes, with `checksRequired = all` and nothing of it or its node in maintenance. */
function passes(check: Check, all: readonly Check[]): boolean {
  if (check.ServiceID === '' || check.CheckID.startsWith('_service_maintenance:')) return false
  return all
    .filter(({ Node }) => Node === check.Node)
    .every((other) => {
      if (other.CheckID === '_node_maintenance') return false
      const concerns = other.ServiceID === check.ServiceID || other.CheckID === 'serfHealth'
      return !concerns || other.Status === 'passing'
    })
}
