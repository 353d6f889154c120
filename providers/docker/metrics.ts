import { Counter, Gauge, type Registry } from 'prom-client'

/** Numbers of the Docker source. Does nothing without a registry. */
export class DockerMetrics {
  readonly #events: Counter<'action'> | null = null
  readonly #resyncs: Counter | null = null
  readonly #disconnects: Counter | null = null
  readonly #restarts: Counter<'result'> | null = null
  readonly #runOnce: Counter<'action' | 'result'> | null = null

  constructor(
    registry: Registry | undefined,
    read: {
      readonly connected: () => boolean
      readonly containers: () => number
      readonly instances: () => number
      readonly problems: () => number
    },
  ) {
    if (registry === undefined) return
    const registers = [registry]
    const gauge = (name: string, help: string, value: () => number) =>
      new Gauge({
        name: `constellation_docker_${name}`,
        help,
        registers,
        collect() {
          this.set(value())
        },
      })
    const counter = <T extends string>(name: string, help: string, labelNames: readonly T[] = []) =>
      new Counter({ name: `constellation_docker_${name}`, help, labelNames, registers })
    gauge('connected', 'Whether the engine answers.', () => Number(read.connected()))
    gauge('containers', 'Containers of the engine, running or not.', read.containers)
    gauge('instances', 'Those of them that are in the catalogue.', read.instances)
    gauge('problems', 'What is wrong with their labels and ports.', read.problems)
    this.#events = counter('events_total', 'Events of the engine that were heard.', ['action'])
    this.#resyncs = counter('resyncs_total', 'Looks at all containers.')
    this.#disconnects = counter('disconnects_total', 'Connections to the engine that were lost.')
    this.#restarts = counter('restarts_total', 'Unhealthy containers that were to be restarted, by result.', [
      'result',
    ])
    this.#runOnce = counter(
      'run_once_total',
      'Starts and stops of containers of which one runs in the cluster, by result.',
      ['action', 'result'],
    )
  }

  heard(action: string): void {
    this.#events?.inc({ action: ACTIONS.has(action) ? action : 'other' })
  }

  resynced(): void {
    this.#resyncs?.inc()
  }

  /** @param connected whether there was a connection to lose */
  disconnected(connected: boolean): void {
    if (connected) this.#disconnects?.inc()
  }

  restarted(result: 'done' | 'failed' | 'held'): void {
    this.#restarts?.inc({ result })
  }

  ranOnce(action: 'start' | 'stop', result: 'done' | 'failed'): void {
    this.#runOnce?.inc({ action, result })
  }
}

/** Words of an engine are not trusted to be few. */
const ACTIONS: ReadonlySet<string> = new Set([
  'create',
  'start',
  'restart',
  'die',
  'stop',
  'kill',
  'pause',
  'unpause',
  'oom',
  'rename',
  'update',
  'destroy',
  'health_status',
  'network connect',
  'network disconnect',
])
