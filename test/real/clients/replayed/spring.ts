import { setTimeout as delay } from 'node:timers/promises'
import { ask } from '../../http.ts'

/** Of the watch of the catalogue: what it asks the agent to wait, and its own pause. */
const WAIT = '500ms'
const PAUSE_MS = 100

interface Instance {
  readonly Node: { readonly Node: string; readonly Address: string }
  readonly Service: { readonly ID: string; readonly Address: string; readonly Port: number }
}

/**
 * An application of Spring Cloud Consul, whose client is Ecwid's: it registers with every field there is, watches the names of
 * services with an index of -1 at first, and asks for passing instances when the index has changed.
 */
export class SpringApplication {
  readonly errors: string[] = []
  readonly #port: number
  readonly #own: { readonly name: string; readonly port: number }
  readonly #peer: string
  readonly #gone = new AbortController()
  #index = -1n
  #instances: readonly string[] = []
  #heartbeats = 0

  /** `peer`: the service whose instances it calls. */
  constructor(agentPort: number, own: { readonly name: string; readonly port: number }, peer: string) {
    this.#port = agentPort
    this.#own = own
    this.#peer = peer
  }

  get id(): string {
    return `${this.#own.name}-${this.#own.port}`
  }

  /** Changes of the catalogue it has told its parts of. */
  get heartbeats(): number {
    return this.#heartbeats
  }

  /** Instances of the peer it would call. */
  instances(): readonly string[] {
    return this.#instances
  }

  async start(): Promise<void> {
    const { name, port } = this.#own
    await this.#put('/v1/agent/service/register?token=', {
      ...{ ID: this.id, Name: name, Tags: ['secure=false'], Address: '127.0.0.1', Meta: { secure: 'false' } },
      ...{ Port: port, EnableTagOverride: null, Checks: null, Connect: null, Weights: null },
      Check: {
        ...{ Script: null, DockerContainerID: null, Shell: null, Interval: '1s', TTL: null },
        ...{ HTTP: `http://127.0.0.1:${port}/actuator/health`, Method: null, Header: {}, TCP: null },
        ...{ Timeout: null, DeregisterCriticalServiceAfter: null, TLSSkipVerify: null, Status: null },
        ...{ GRPC: null, GRPCUseTLS: null },
      },
    })
    void this.#watch()
  }

  async stop(): Promise<void> {
    this.#gone.abort()
    await this.#put(`/v1/agent/service/deregister/${this.id}?token=`, null)
  }

  /** What its health page asks: who leads, and the names of all services. */
  async health(): Promise<{ readonly leader: string; readonly services: readonly string[] }> {
    const leader = (await this.#get('/v1/status/leader')).value as string
    const services = (await this.#get('/v1/catalog/services?token=')).value as Record<string, unknown>
    return { leader, services: Object.keys(services) }
  }

  async #watch(): Promise<void> {
    while (!this.#gone.signal.aborted) {
      try {
        const { index } = await this.#get(`/v1/catalog/services?wait=${WAIT}&index=${this.#index}&token=`)
        if (index !== this.#index) {
          this.#index = index
          this.#heartbeats++
        }
        const path = `/v1/health/service/${this.#peer}?passing=true&token=`
        const found = (await this.#get(path)).value as readonly Instance[]
        this.#instances = found
          .map(({ Node, Service }) => `${Node.Node} ${Service.Address || Node.Address}:${Service.Port}`)
          .toSorted()
      } catch (error) {
        this.errors.push((error as Error).message)
      }
      await delay(PAUSE_MS, undefined, { signal: this.#gone.signal }).catch(() => {})
    }
  }

  async #get(path: string): Promise<{ readonly value: unknown; readonly index: bigint }> {
    const { status, headers, text } = await ask(this.#port, path)
    if (status !== 200) throw new Error(`OperationException(statusCode=${status}, ${text})`)
    const index = headers['x-consul-index'] ?? '0'
    if (!/^\d+$/.test(String(index))) throw new Error(`no unsigned long: ${index}`)
    return { value: JSON.parse(text), index: BigInt(String(index)) }
  }

  async #put(path: string, body: unknown): Promise<void> {
    const sent = body === null ? '' : JSON.stringify(body)
    const { status, text } = await ask(this.#port, path, { method: 'PUT', body: sent })
    if (status !== 200) throw new Error(`OperationException(statusCode=${status}, ${text})`)
  }
}
