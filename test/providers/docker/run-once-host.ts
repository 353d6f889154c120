import type { ContainerFate } from '../../../providers/docker/source.ts'
import { translate } from '../../../providers/docker/translate.ts'
import type { Engine } from '../../../providers/docker/types.ts'
import { container, type InspectionParts, OPTIONS } from './fixtures.ts'

const LABELS = { 'constellation.enable': 'true', 'constellation.run-once': 'true' }

/** A host: its containers, and an engine that starts and stops them as it is told to. */
export class RunOnceHost implements Pick<Engine, 'start' | 'stop'> {
  readonly containers = new Map<string, InspectionParts>()
  readonly calls: string[] = []
  connected = true
  startError: Error | null = null
  stopError: Error | null = null
  /** Set to have calls wait until it is resolved, as a program that takes its time to end. */
  hold: Promise<void> | null = null
  /** Events of the engine are seen only when told. */
  isBlind = false
  #seen: ContainerFate[] = []
  #starts = 0
  readonly #listeners = new Set<() => void>()

  put(parts: InspectionParts): void {
    const id = parts.id ?? 'a'
    const known = this.containers.get(id)
    const startedAt = parts.status === 'running' ? `t${++this.#starts}` : (known?.startedAt ?? '')
    this.containers.set(id, {
      id,
      name: id,
      status: 'created',
      labels: LABELS,
      ...known,
      startedAt,
      ...parts,
    })
    this.look()
  }

  remove(id: string): void {
    this.containers.delete(id)
    this.look()
  }

  /** The source has looked at the engine. */
  look(): void {
    if (this.isBlind) return
    this.#seen = [...this.containers.values()].map((parts) => {
      // Without a service of that name: the containers of a test are copies of one.
      const labels = { 'constellation.service': 'job', ...parts.labels }
      const translation = translate(container({ ...parts, labels }), { ...OPTIONS, mayRunOnce: true })
      return { translation, instance: null, problems: [], stopping: false }
    })
    for (const listener of this.#listeners) listener()
  }

  running(): string[] {
    return [...this.containers.values()].flatMap(({ id, status }) => (status === 'running' ? [id ?? ''] : []))
  }

  get source() {
    const host = this
    return {
      fates: () => host.#seen,
      get standing() {
        return { connected: host.connected, info: null, error: null, sinceMs: 0 }
      },
      onChange: (listener: () => void) => {
        host.#listeners.add(listener)
        return () => host.#listeners.delete(listener)
      },
    }
  }

  async start(id: string, signal: AbortSignal): Promise<void> {
    this.calls.push(`start ${id}`)
    await this.#wait(signal)
    if (this.startError !== null) throw this.startError
    this.put({ id, status: 'running' })
  }

  async stop(id: string, graceSeconds: number | null, signal: AbortSignal): Promise<void> {
    this.calls.push(`stop ${id} ${graceSeconds ?? 'own'}`)
    await this.#wait(signal)
    if (this.stopError !== null) throw this.stopError
    this.put({ id, status: 'exited', exitCode: 143 })
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const aborted = new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    aborted.catch(() => {})
    if (this.hold !== null) await Promise.race([this.hold, aborted])
  }
}
