import { Counter, Gauge, type Registry } from 'prom-client'
import type { CheckStatus } from '../catalog/types.ts'
import type { ProbeQueue } from './probe-queue.ts'

/** Counts the runs of checks and shows how busy the queue is. Does nothing without a registry. */
export class RunnerMetrics {
  readonly #runs: Counter<'type' | 'status'> | null = null
  readonly #reaped: Counter | null = null

  constructor(registry: Registry | undefined, queue: Pick<ProbeQueue, 'running' | 'slow' | 'waiting'>) {
    if (registry === undefined) return
    const registers = [registry]
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read())
        },
      })
    gauge('constellation_health_probes', 'Health probes under way.', () => queue.running)
    gauge('constellation_health_probes_slow', 'Those of them that are slow.', () => queue.slow)
    gauge(
      'constellation_health_probes_waiting',
      'Health probes that are due and wait for a free place.',
      () => queue.waiting,
    )
    this.#runs = new Counter({
      name: 'constellation_health_runs_total',
      help: 'Finished runs of health checks by type and result.',
      labelNames: ['type', 'status'],
      registers,
    })
    this.#reaped = new Counter({
      name: 'constellation_health_services_deregistered_total',
      help: 'Services that were deregistered because a check of theirs was critical for too long.',
      registers,
    })
  }

  ran(type: string, status: CheckStatus): void {
    this.#runs?.inc({ type, status })
  }

  deregistered(): void {
    this.#reaped?.inc()
  }
}
