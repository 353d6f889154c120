import { type Container, readContainer } from '../../../providers/docker/container.ts'
import type { EngineEvent } from '../../../providers/docker/events.ts'
import type { TranslateOptions } from '../../../providers/docker/translate.ts'
import type { Engine, EngineInfo, EventStream } from '../../../providers/docker/types.ts'

/** What an inspection says of a container, with defaults for what a test does not care about. */
export interface InspectionParts {
  readonly id?: string
  readonly name?: string
  readonly status?: string
  readonly exitCode?: number
  readonly health?: 'starting' | 'healthy' | 'unhealthy'
  readonly healthOutput?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly exposed?: readonly string[]
  /** `80/tcp` → `0.0.0.0:8080`; IPv6 as `:::8080`. */
  readonly ports?: Readonly<Record<string, readonly string[]>>
  readonly configured?: Readonly<Record<string, readonly string[]>>
  readonly mode?: string
  readonly networks?: Readonly<Record<string, string>>
  readonly policy?: string
  readonly startedAt?: string
  readonly restartCount?: number
}

/** An answer of `GET /containers/{id}/json`, in the form of Docker 20.10. */
export function inspection(parts: InspectionParts = {}): Record<string, unknown> {
  const bindings = (ports: InspectionParts['ports'] = {}) =>
    Object.fromEntries(
      Object.entries(ports).map(([port, list]) => [
        port,
        list.map((text) => {
          const at = text.lastIndexOf(':')
          return { HostIp: text.slice(0, at), HostPort: text.slice(at + 1) }
        }),
      ]),
    )
  const { health, status = 'running' } = parts
  const id = parts.id ?? 'c1'
  return {
    Id: id,
    Name: `/${parts.name ?? 'web'}`,
    RestartCount: parts.restartCount ?? 0,
    State: {
      Status: status,
      ExitCode: parts.exitCode ?? 0,
      StartedAt: parts.startedAt ?? '2026-01-01T00:00:00Z',
      ...(health === undefined
        ? {}
        : { Health: { Status: health, FailingStreak: 0, Log: [{ Output: parts.healthOutput ?? '' }] } }),
    },
    Config: {
      Env: ['PASSWORD=hunter2'],
      Labels: parts.labels ?? { 'constellation.enable': 'true' },
      ExposedPorts: Object.fromEntries((parts.exposed ?? []).map((port) => [port, {}])),
    },
    HostConfig: {
      NetworkMode: parts.mode ?? 'default',
      RestartPolicy: { Name: parts.policy ?? 'no' },
      PortBindings: bindings(parts.configured ?? parts.ports),
    },
    NetworkSettings: {
      Ports: status === 'running' || status === 'paused' ? bindings(parts.ports) : {},
      Networks: Object.fromEntries(
        Object.entries(parts.networks ?? { bridge: '172.17.0.2' }).map(([name, IPAddress]) => [
          name,
          { IPAddress, GlobalIPv6Address: '' },
        ]),
      ),
    },
  }
}

export function container(parts: InspectionParts = {}): Container {
  return readContainer(inspection(parts))
}

export const OPTIONS: TranslateOptions = {
  exposeByDefault: false,
  mayRestart: false,
  mayRunOnce: false,
  nodeAddress: '10.0.0.1',
  routableNetworks: new Set(),
  lookUp: () => undefined,
}

/** An engine in memory that does what a test tells it to. */
export class FakeEngine implements Engine {
  readonly containers = new Map<string, Container>()
  readonly calls: string[] = []
  readonly restarted: string[] = []
  product: EngineInfo['product'] = 'docker'
  /** Set while it is away. */
  down: Error | null = null
  /** Ids that cannot be inspected. */
  readonly stuck = new Set<string>()
  /** Called while the list is made. */
  whileListing = () => {}
  #onEvent: ((event: EngineEvent) => void) | null = null
  #end: ((reason: Error) => void) | null = null

  async connect(): Promise<EngineInfo> {
    this.#called('connect')
    return { product: this.product, version: '1', apiVersion: '1.44' }
  }

  async events(onEvent: (event: EngineEvent) => void): Promise<EventStream> {
    this.#called('events')
    this.#onEvent = onEvent
    const { promise, resolve } = Promise.withResolvers<Error>()
    this.#end = resolve
    return { ended: promise, close: () => resolve(new Error('closed')) }
  }

  async list(): Promise<readonly string[]> {
    this.#called('list')
    const ids = [...this.containers.keys()]
    this.whileListing()
    return ids
  }

  async inspect(id: string): Promise<Container | null> {
    this.#called(`inspect ${id}`)
    if (this.stuck.has(id)) throw new Error('stuck')
    return this.containers.get(id) ?? null
  }

  async restart(id: string): Promise<void> {
    this.#called(`restart ${id}`)
    this.restarted.push(id)
  }

  async start(id: string): Promise<void> {
    this.#called(`start ${id}`)
  }

  async stop(id: string, graceSeconds: number | null): Promise<void> {
    this.#called(`stop ${id} ${graceSeconds}`)
  }

  put(parts: InspectionParts, action: string | null = 'start'): void {
    const made = container(parts)
    this.containers.set(made.id, made)
    if (action !== null) this.tell(made.id, action)
  }

  remove(id: string): void {
    this.containers.delete(id)
    this.tell(id, 'destroy')
  }

  tell(id: string, action: string, signal = ''): void {
    this.#onEvent?.({ container: id, action, signal })
  }

  /** The engine goes away; its stream ends. */
  goDown(reason: Error): void {
    this.down = reason
    this.#onEvent = null
    this.#end?.(reason)
  }

  #called(what: string): void {
    this.calls.push(what)
    if (this.down !== null) throw this.down
  }
}
