import type { Logger } from 'pino'
import { formatGoDuration } from '../../discovery/health/duration.ts'
import type { Timer, Timers } from '../../discovery/health/timers.ts'
import type { RestartWish } from './labels.ts'
import type { DockerMetrics } from './metrics.ts'
import type { ContainerFate, DockerSource } from './source.ts'
import type { Engine } from './types.ts'

/** Bounds restarts in the whole cluster. */
export interface RestartBrake {
  /**
   * Asks for one restart of a copy of a service. Answers null if it may be, else why not. Rejects when the cluster cannot decide
   * now, which means no.
   */
  ask(service: string, signal: AbortSignal): Promise<string | null>
}

/** What is told of restarts. */
export type RestartEvent = 'container-restarted' | 'container-restart-failed' | 'container-restart-held'

/** What the restarter works with. */
export interface RestarterCollaborators {
  readonly source: Pick<DockerSource, 'fates' | 'standing' | 'onChange'>
  readonly engine: Pick<Engine, 'restart'>
  readonly brake: RestartBrake
  readonly timers: Timers
  readonly log: Logger
  readonly metrics: Pick<DockerMetrics, 'restarted'>
  readonly onEvent: (event: RestartEvent, data: Readonly<Record<string, unknown>>) => void
}

interface History {
  /** When it was restarted, on the clock of the timers; within the window of its label. */
  times: number[]
  /** Not to be asked about before this. */
  notBeforeMs: number
  /** What was said last of why it is not restarted. */
  said: string | null
}

/** Pause behind the first restart; it doubles with each within the window. Longer than the brake keeps a service for. */
const BACKOFF_MS = 40_000
const BACKOFF_MS_MAX = 300_000
/** How long to wait when the brake is on. */
const BRAKE_MS = 10_000

/**
 * Restarts containers that ask for it by label when their HEALTHCHECK calls them unhealthy: with a growing pause, up to a budget
 * per window, and only when the whole cluster has a restart to give. One at a time on this node. A container that starts, has
 * ended or is asked to end is left to the engine and its own restart policy.
 */
export class DockerRestarter {
  readonly #ownContainer: string
  readonly #with: RestarterCollaborators
  readonly #histories = new Map<string, History>()
  #abort: AbortController | null = null
  #busy: Promise<void> | null = null
  #timer: Timer | null = null
  #unsubscribe = () => {}

  /** @param options.hostname of this process: in a container the beginning of the container's id */
  constructor(options: { readonly hostname: string }, collaborators: RestarterCollaborators) {
    this.#ownContainer = /^[0-9a-f]{12}$/.test(options.hostname) ? options.hostname : ''
    this.#with = collaborators
  }

  async start(): Promise<void> {
    if (this.#abort !== null) return
    this.#abort = new AbortController()
    this.#unsubscribe = this.#with.source.onChange(() => this.#consider())
    this.#consider()
  }

  async stop(): Promise<void> {
    this.#unsubscribe()
    this.#abort?.abort()
    this.#timer?.cancel()
    this.#timer = null
    await this.#busy
    this.#abort = null
  }

  #consider(): void {
    const signal = this.#abort?.signal
    if (signal === undefined || signal.aborted || this.#busy !== null) return
    this.#timer?.cancel()
    this.#timer = null
    const { source, timers, log } = this.#with
    this.#forget()
    if (!source.standing.connected) return
    const now = timers.now()
    let nextMs = Number.POSITIVE_INFINITY
    for (const fate of source.fates()) {
      const wish = this.#wishOf(fate)
      if (wish === null) continue
      const history = this.#history(fate, wish, now)
      const atMs = Math.max(history.notBeforeMs, allowedAt(history.times, wish))
      if (history.times.length >= wish.max) {
        const window = formatGoDuration(wish.windowMs)
        this.#hold(fate, history, `it was restarted ${wish.max} times within ${window}`)
      }
      if (atMs > now) {
        nextMs = Math.min(nextMs, atMs)
        continue
      }
      this.#busy = this.#attempt(fate, history, signal)
        .catch((error: unknown) => log.error({ err: error }, 'a container could not be restarted'))
        .finally(() => {
          this.#busy = null
          this.#consider()
        })
      return
    }
    if (Number.isFinite(nextMs)) this.#timer = timers.after(nextMs - now, () => this.#consider())
  }

  /** Null if it is not to be restarted now, whatever happened before. */
  #wishOf({ translation, instance, stopping }: ContainerFate): RestartWish | null {
    const { container, restart } = translation
    const isSick = container.state === 'running' && container.health?.status === 'unhealthy'
    if (!isSick || stopping || instance === null) return null
    if (this.#ownContainer !== '' && container.id.startsWith(this.#ownContainer)) return null
    return restart
  }

  #history({ translation }: ContainerFate, { windowMs }: RestartWish, now: number): History {
    const { id } = translation.container
    const known = this.#histories.get(id) ?? { times: [], notBeforeMs: 0, said: null }
    known.times = known.times.filter((time) => time > now - windowMs)
    this.#histories.set(id, known)
    return known
  }

  async #attempt(fate: ContainerFate, history: History, signal: AbortSignal): Promise<void> {
    const { brake, engine, source, timers, log, metrics, onEvent } = this.#with
    const { container, service, restart } = fate.translation
    const refusal = await brake.ask(service?.name ?? '', signal).catch((error: unknown) => {
      return `the cluster cannot decide now: ${error instanceof Error ? error.message : String(error)}`
    })
    if (signal.aborted) return
    if (refusal !== null) {
      history.notBeforeMs = timers.now() + BRAKE_MS
      this.#hold(fate, history, refusal)
      return
    }
    // It may have recovered, or be gone, while the cluster was asked.
    const latest = source.fates().find(({ translation }) => translation.container.id === container.id)
    if (latest === undefined || this.#wishOf(latest) === null || !source.standing.connected) return
    history.times.push(timers.now())
    history.said = null
    const data = { ...about(fate), attempt: history.times.length, of: restart?.max ?? 0 }
    try {
      await engine.restart(container.id, signal)
      metrics.restarted('done')
      log.warn(data, `restarted the unhealthy container ${container.name}`)
      onEvent('container-restarted', { ...data, health: container.health?.output ?? '' })
    } catch (error) {
      if (signal.aborted) return
      const reason = error instanceof Error ? error.message : String(error)
      metrics.restarted('failed')
      log.warn({ ...data, err: error }, `the unhealthy container ${container.name} could not be restarted`)
      onEvent('container-restart-failed', { ...data, reason })
    }
  }

  /** Tells why it is left as it is, once for each reason. */
  #hold(fate: ContainerFate, history: History, reason: string): void {
    if (history.said === reason) return
    history.said = reason
    const { name } = fate.translation.container
    this.#with.metrics.restarted('held')
    this.#with.log.warn(about(fate), `the unhealthy container ${name} is not restarted: ${reason}`)
    this.#with.onEvent('container-restart-held', { ...about(fate), reason })
  }

  #forget(): void {
    const there = new Set(this.#with.source.fates().map(({ translation }) => translation.container.id))
    for (const id of this.#histories.keys()) if (!there.has(id)) this.#histories.delete(id)
  }
}

/**
 * When a container may be restarted next, by its own history.
 * @param times of its restarts within the window, in order
 */
export function allowedAt(times: readonly number[], { max, windowMs }: RestartWish): number {
  const last = times.at(-1)
  if (last === undefined) return 0
  const backoffMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** Math.min(times.length - 1, 20))
  const oldest = times.length >= max ? (times[times.length - max] ?? last) : Number.NEGATIVE_INFINITY
  return Math.max(last + backoffMs, oldest + windowMs)
}

function about({ translation, instance }: ContainerFate): Readonly<Record<string, unknown>> {
  return { container: translation.container.name, service: translation.service?.name ?? null, instance }
}
