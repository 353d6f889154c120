import type { Logger } from 'pino'
import type { Timer, Timers } from '../../discovery/health/timers.ts'
import type { Container } from './container.ts'
import { DockerError, type DockerErrorCode } from './errors.ts'
import type { DockerMetrics } from './metrics.ts'
import { type Candidate, decideRunOnce, type RunOnceDecision, type RunOnceStep } from './run-once-decision.ts'
import type { ContainerFate, DockerSource } from './source.ts'
import type { Engine } from './types.ts'

/** The leases of services of which one copy runs in the cluster, by name of the service. */
export interface RunOnceLeases {
  /** Whether it is known what this node holds. */
  readonly known: boolean
  /** Says for which services this host could run a copy. */
  claim(services: ReadonlySet<string>): void
  /** Services this node may act as the holder for. */
  held(): readonly string[]
  /** Name of the node that holds it as far as is known. */
  holder(service: string): string | null
  /** False if the lease is to be given up for another host, or for none. */
  mayKeep(service: string): boolean
  /** Whether another host could run it. */
  othersCan(service: string): boolean
  /** Gives it back: nothing runs here any more. */
  release(service: string): void
  onChange(listener: () => void): () => void
}

/** What is told of containers of which one runs in the cluster. */
export type RunOnceEvent = 'run-once-started' | 'run-once-stopped' | 'run-once-failed'

/** What the runner works with. */
export interface RunOnceCollaborators {
  readonly source: Pick<DockerSource, 'fates' | 'standing' | 'onChange'>
  readonly engine: Pick<Engine, 'start' | 'stop'>
  readonly leases: RunOnceLeases
  readonly timers: Timers
  readonly log: Logger
  readonly metrics: Pick<DockerMetrics, 'ranOnce'>
  readonly onEvent: (event: RunOnceEvent, data: Readonly<Record<string, unknown>>) => void
}

/** How it stands with one service on this host. */
interface Standing {
  isHolder: boolean
  hasRun: boolean
  /** Since when a copy runs here, or null. */
  upSinceMs: number | null
  downSinceMs: number
  failure: string | null
  /** Container that was started, or was found running, since the lease is held. */
  current: string | null
  /** Failures one after the other; they make this host stand back for longer. */
  failures: number
  restUntilMs: number
  /** Stops that failed one after the other. */
  stopFailures: number
  retryAtMs: number
  /** What is being done, and the end of it. */
  busy: { readonly step: RunOnceStep; readonly abort: AbortController } | null
  note: string
}

/** A lease is given up so long before anybody else gets it that a stop with this grace has ended. */
const FENCED_GRACE_SECONDS = 10
/** An agent that has just started gives itself so long to learn whether what runs is its own to run. */
const NEW_MS = 10_000
const REST_MS = 10_000
const REST_MS_MAX = 300_000
/** What ran for so long had not failed before. */
const GOOD_MS = 600_000
const STOP_RETRY_MS = 1_000
const STOP_RETRY_MS_MAX = 30_000
/** An agent that ends waits no longer than this for its containers to end; the engine goes on with it. */
const LEAVE_MS_MAX = 6_000
/** What has not ended by then is told to end as without the lease; waited for that long, so that the engine has heard of it. */
const FENCE_MS_MAX = 1_000
/** After these errors the engine may have done, or do yet, what it was asked for. */
const UNKNOWN_OUTCOMES: ReadonlySet<DockerErrorCode> = new Set(['DKR_TIMEOUT', 'DKR_UNREACHABLE'])
/** The engine restarts a container that often before another host is tried. */
const ENGINE_RESTARTS_MAX = 3

/**
 * Has one copy run in the cluster of the containers that ask for it by label: starts the copy of this host while it holds the lease
 * of the service, and stops what runs without it.
 */
export class DockerRunOnce {
  readonly #ownContainer: string
  readonly #with: RunOnceCollaborators
  readonly #standings = new Map<string, Standing>()
  /** Start times of containers as of which they were stopped: what is seen of them may be older. */
  readonly #stopped = new Map<string, string>()
  /** Start times before they were started, of containers that were, or may have been. The same holds for these. */
  readonly #started = new Map<string, string>()
  readonly #work = new Set<Promise<void>>()
  #running = false
  #leaving: { readonly done: () => void; readonly isLate: boolean } | null = null
  #stopping: Promise<void> | null = null
  #startedMs = 0
  #timer: Timer | null = null
  #unsubscribe: (() => void)[] = []

  /** @param options.hostname of this process: in a container the beginning of the container's id */
  constructor(options: { readonly hostname: string }, collaborators: RunOnceCollaborators) {
    this.#ownContainer = /^[0-9a-f]{12}$/.test(options.hostname) ? options.hostname : ''
    this.#with = collaborators
  }

  async start(): Promise<void> {
    if (this.#running) return
    const { source, leases, timers } = this.#with
    this.#running = true
    this.#startedMs = timers.now()
    this.#unsubscribe = [source.onChange(() => this.#consider()), leases.onChange(() => this.#consider())]
    this.#consider()
  }

  /**
   * Stops what runs here and gives its lease back. What has not ended in six seconds keeps its lease, until that expires, and is
   * given no more time than there is until then.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop().finally(() => {
      this.#stopping = null
    })
    return this.#stopping
  }

  /** What is so with the service and why, in words; null if no copy of it is here. */
  note(service: string): string | null {
    return this.#standings.get(service)?.note ?? null
  }

  async #stop(): Promise<void> {
    if (!this.#running) return
    const isDone = await this.#leave(LEAVE_MS_MAX, false)
    if (!isDone) await this.#leave(FENCE_MS_MAX, true)
    this.#running = false
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    this.#timer?.cancel()
    for (const { busy } of this.#standings.values()) busy?.abort.abort()
    await Promise.all(this.#work)
    this.#standings.clear()
    this.#leaving = null
  }

  /** Has everything stopped. False if that took too long. */
  async #leave(msMax: number, isLate: boolean): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const timeout = this.#with.timers.after(msMax, () => resolve(false))
    this.#leaving = { done: () => resolve(true), isLate }
    this.#consider()
    const isDone = await promise
    timeout.cancel()
    return isDone
  }

  /** Whether what is done about the service may rely on its lease. */
  #holds(service: string): boolean {
    return this.#leaving?.isLate !== true && this.#with.leases.held().includes(service)
  }

  #consider(): void {
    if (!this.#running) return
    const { leases, timers } = this.#with
    this.#timer?.cancel()
    this.#timer = null
    const now = timers.now()
    const services = this.#services()
    const claims = new Set<string>()
    const newForMs = this.#startedMs + NEW_MS - now
    let nextMs = leases.known || newForMs <= 0 ? Number.POSITIVE_INFINITY : newForMs
    let isIdle = true
    for (const [service, fates] of services) {
      const standing = this.#standingOf(service)
      const decision = this.#decide(service, fates, standing, now)
      const { step, againInMs } = decision
      standing.note = decision.note
      if (decision.claims) claims.add(service)
      if (againInMs !== null) nextMs = Math.min(nextMs, againInMs)
      if (step.kind !== 'none' || standing.busy !== null) isIdle = false
      if (standing.busy !== null) this.#cutShort(standing.busy, service)
      else if (standing.retryAtMs > now && step.kind === 'stop')
        nextMs = Math.min(nextMs, standing.retryAtMs - now)
      else if (step.kind === 'release') this.#release(service, standing, step.failed, decision.note)
      else if (step.kind !== 'none') this.#begin(service, standing, step, decision.note)
    }
    leases.claim(claims)
    this.#forget(services)
    if (Number.isFinite(nextMs)) this.#timer = timers.after(nextMs, () => this.#consider())
    if (isIdle) this.#leaving?.done()
  }

  /** Containers of this host by service, and services that are held without one. */
  #services(): Map<string, ContainerFate[]> {
    const services = new Map<string, ContainerFate[]>()
    for (const service of this.#with.leases.held()) services.set(service, [])
    for (const [service, { busy }] of this.#standings) if (busy !== null) services.set(service, [])
    for (const fate of this.#with.source.fates()) {
      const { runOnce } = fate.translation
      if (runOnce === null) continue
      const known = services.get(runOnce)
      if (known === undefined) services.set(runOnce, [fate])
      else known.push(fate)
    }
    return services
  }

  #standingOf(service: string): Standing {
    const known = this.#standings.get(service)
    if (known !== undefined) return known
    const standing: Standing = {
      isHolder: false,
      hasRun: false,
      upSinceMs: null,
      downSinceMs: Number.NEGATIVE_INFINITY,
      failure: null,
      current: null,
      failures: 0,
      restUntilMs: Number.NEGATIVE_INFINITY,
      stopFailures: 0,
      retryAtMs: Number.NEGATIVE_INFINITY,
      busy: null,
      note: '',
    }
    this.#standings.set(service, standing)
    return standing
  }

  #decide(
    service: string,
    fates: readonly ContainerFate[],
    standing: Standing,
    now: number,
  ): RunOnceDecision {
    const { leases, source } = this.#with
    const holds = this.#holds(service)
    if (holds !== standing.isHolder) {
      Object.assign(standing, { isHolder: holds, hasRun: false, failure: null, current: null })
      // There is only so much time to stop it now: no pause after what failed while there was more.
      if (!holds) Object.assign(standing, { stopFailures: 0, retryAtMs: Number.NEGATIVE_INFINITY })
    }
    const candidates = this.#candidates(fates, standing)
    const up = candidates.find(({ state }) => state === 'up')
    if (up !== undefined) {
      standing.upSinceMs ??= now
      if (holds) Object.assign(standing, { hasRun: true, current: up.id })
    } else if (standing.upSinceMs !== null) {
      if (now - standing.upSinceMs >= GOOD_MS) standing.failures = 0
      Object.assign(standing, { upSinceMs: null, downSinceMs: now })
    }
    return decideRunOnce({
      candidates,
      engineUp: source.standing.connected,
      holds,
      holder: leases.holder(service),
      isNew: !leases.known && now - this.#startedMs < NEW_MS,
      mayKeep: leases.mayKeep(service),
      othersCan: leases.othersCan(service),
      leaving: this.#leaving !== null,
      failure: standing.failure,
      hasRun: standing.hasRun,
      downForMs: now - standing.downSinceMs,
      restsForMs: standing.restUntilMs - now,
    })
  }

  /** The one that is to run first, then those that run longest, then by name. */
  #candidates(fates: readonly ContainerFate[], { current }: Standing): Candidate[] {
    const rank = ({ translation }: ContainerFate) => Number(translation.container.id !== current)
    return fates
      .toSorted((a, b) => {
        const [one, other] = [a.translation.container, b.translation.container]
        return rank(a) - rank(b) || compare(one.startedAt, other.startedAt) || compare(one.name, other.name)
      })
      .map(({ translation: { container, restart } }) => {
        const { id, name, health, restartCount } = container
        const isOwn = this.#ownContainer !== '' && id.startsWith(this.#ownContainer)
        const state = isOwn ? 'gone' : this.#stateOf(container)
        const isLooping = container.state === 'restarting' && restartCount >= ENGINE_RESTARTS_MAX
        const sick = isLooping
          ? `the engine restarted it ${restartCount} times`
          : health?.status === 'unhealthy' && restart === null
            ? 'its HEALTHCHECK calls it unhealthy'
            : null
        return { id, name, state, sick }
      })
  }

  /** What is seen of it, unless that is older than what was done with it. */
  #stateOf({ id, state, startedAt }: Container): Candidate['state'] {
    const seen = STATES[state]
    if (seen === 'up' && this.#stopped.get(id) === startedAt) return 'down'
    if (seen === 'down' && this.#started.get(id) === startedAt) return 'up'
    return seen
  }

  /** A stop that takes the time it wants, and a start, end with the lease. */
  #cutShort({ step, abort }: NonNullable<Standing['busy']>, service: string): void {
    const needsLease = step.kind === 'start' || (step.kind === 'stop' && !step.fenced)
    if (needsLease && !this.#holds(service)) abort.abort()
  }

  #release(service: string, standing: Standing, failed: boolean, note: string): void {
    const { leases, timers, log, onEvent } = this.#with
    leases.release(service)
    // What follows from that: what is claimed, and whether an agent that ends is done.
    queueMicrotask(() => this.#consider())
    if (!failed) return
    const restMs = Math.min(REST_MS_MAX, REST_MS * 2 ** Math.min(standing.failures, 20))
    standing.failures += 1
    standing.restUntilMs = timers.now() + restMs
    const data = { service, reason: note, restMs }
    log.warn(data, `the copy of ${service} that runs once failed here: ${note}`)
    onEvent('run-once-failed', data)
  }

  #begin(
    service: string,
    standing: Standing,
    step: Extract<RunOnceStep, { kind: 'start' | 'stop' }>,
    note: string,
  ): void {
    const abort = new AbortController()
    standing.busy = { step, abort }
    const work = this.#perform(service, standing, step, note, abort.signal)
      .catch((error: unknown) =>
        this.#with.log.error({ err: error }, 'a container that runs once was not seen to'),
      )
      .finally(() => {
        this.#work.delete(work)
        standing.busy = null
        this.#consider()
      })
    this.#work.add(work)
  }

  async #perform(
    service: string,
    standing: Standing,
    step: Extract<RunOnceStep, { kind: 'start' | 'stop' }>,
    note: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { source, engine, timers, log, metrics, onEvent } = this.#with
    const fate = source.fates().find(({ translation }) => translation.container.id === step.id)
    if (fate === undefined) return
    const { container } = fate.translation
    const data = { container: container.name, service, reason: note }
    try {
      if (step.kind === 'start') {
        this.#stopped.delete(container.id)
        await engine.start(container.id, signal)
        this.#started.set(container.id, container.startedAt)
        Object.assign(standing, { hasRun: true, current: container.id, downSinceMs: timers.now() })
      } else {
        await engine.stop(
          container.id,
          step.fenced ? fencedGrace(container.stopTimeoutSeconds) : null,
          signal,
        )
        this.#started.delete(container.id)
        this.#stopped.set(container.id, container.startedAt)
        Object.assign(standing, { stopFailures: 0, retryAtMs: Number.NEGATIVE_INFINITY })
        // What was stopped on purpose has not failed, and may be started again.
        if (step.failed) standing.failure = note
        else standing.hasRun = false
      }
      metrics.ranOnce(step.kind, 'done')
      log.info(data, `container ${container.name}: ${note}`)
      onEvent(step.kind === 'start' ? 'run-once-started' : 'run-once-stopped', data)
    } catch (error) {
      const isUnknown = signal.aborted || (error instanceof DockerError && UNKNOWN_OUTCOMES.has(error.code))
      if (step.kind === 'start' && isUnknown) this.#started.set(container.id, container.startedAt)
      if (signal.aborted) return
      const reason = error instanceof Error ? error.message : String(error)
      metrics.ranOnce(step.kind, 'failed')
      log.warn({ ...data, err: error }, `container ${container.name} could not be made to ${step.kind}`)
      if (step.kind === 'start') {
        standing.failure = `${container.name} could not be started: ${reason}`
        return
      }
      standing.retryAtMs =
        timers.now() + Math.min(STOP_RETRY_MS_MAX, STOP_RETRY_MS * 2 ** Math.min(standing.stopFailures, 20))
      standing.stopFailures += 1
      if (standing.stopFailures === 1) {
        onEvent('run-once-failed', { ...data, reason: `it could not be stopped: ${reason}` })
      }
    }
  }

  #forget(services: ReadonlyMap<string, unknown>): void {
    const now = this.#with.timers.now()
    for (const [service, { restUntilMs }] of this.#standings) {
      if (!services.has(service) && restUntilMs <= now) this.#standings.delete(service)
    }
    const there = new Set(this.#with.source.fates().map(({ translation }) => translation.container.id))
    for (const times of [this.#stopped, this.#started])
      for (const id of times.keys()) if (!there.has(id)) times.delete(id)
  }
}

const STATES = {
  created: 'down',
  exited: 'down',
  running: 'up',
  paused: 'up',
  restarting: 'up',
  // A word of an engine that is newer than this: better stopped once too often.
  unknown: 'up',
  removing: 'gone',
  dead: 'gone',
} as const

/** Seconds a container is given to end when its lease is gone: no more than what it says itself, and no more than there are. */
export function fencedGrace(stopTimeoutSeconds: number | null): number {
  const own =
    stopTimeoutSeconds === null || stopTimeoutSeconds < 0 ? FENCED_GRACE_SECONDS : stopTimeoutSeconds
  return Math.min(own, FENCED_GRACE_SECONDS)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
