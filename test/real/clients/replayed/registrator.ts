import { GoClient } from './go-client.ts'
import { AGENT_SERVICE } from './go-types.ts'

const OWN_ID = /^(.+?):([a-zA-Z0-9][a-zA-Z0-9_.-]+):[0-9]+(?::udp)?$/

/** A container with one published port. */
export interface Container {
  readonly name: string
  readonly image: string
  readonly hostPort: number
  readonly tags: readonly string[]
  /** Its variables `SERVICE_CHECK_…` as the check they make. */
  readonly check: Readonly<Record<string, unknown>> | null
  readonly meta?: Readonly<Record<string, string>>
}

/** registrator with `-cleanup` (bridge, consul): one host's containers in its agent. */
export class Registrator {
  readonly client: GoClient
  readonly #host: string

  constructor(port: number, host: string) {
    this.#host = host
    this.client = new GoClient(port)
  }

  /** What it does at its start: waits for a leader, registers what runs, and ends what it once registered and does not run. */
  async start(containers: readonly Container[]): Promise<void> {
    await this.client.get('/v1/status/leader', 'string')
    await this.sync(containers)
  }

  /** Registers all again, and cleans up. */
  async sync(containers: readonly Container[]): Promise<void> {
    for (const container of containers) await this.add(container)
    const registered = await this.client.get('/v1/agent/services', { map: AGENT_SERVICE })
    for (const service of Object.values(registered)) {
      const [, host, name] = OWN_ID.exec(service.ID) ?? []
      if (host !== this.#host) continue
      if (containers.some((container) => container.name === name && container.image === service.Service))
        continue
      await this.#deregister(service.ID)
    }
  }

  async add(container: Container): Promise<void> {
    const { image, hostPort, tags, check, meta } = container
    await this.client.put('/v1/agent/service/register', {
      ...{ ID: this.#id(container), Name: image, Tags: tags, Port: hostPort, Address: '127.0.0.1' },
      ...{ Check: check, Checks: null, ...(meta === undefined ? {} : { Meta: meta }) },
    })
  }

  /** Its container has died. */
  async remove(container: Container): Promise<void> {
    await this.#deregister(this.#id(container))
  }

  #id({ name }: Container): string {
    return `${this.#host}:${name}:80`
  }

  async #deregister(id: string): Promise<void> {
    // Go leaves the colons of a path as they are.
    await this.client.put(`/v1/agent/service/deregister/${id}`)
  }
}
