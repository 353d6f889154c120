import type { Logger } from 'pino'
import type { Timers } from '../../discovery/health/timers.ts'
import type { Container } from './container.ts'
import { DockerError } from './errors.ts'
import type { EngineEvent } from './events.ts'
import type { DockerMetrics } from './metrics.ts'
import type { Engine, EngineInfo } from './types.ts'

/** How closely an engine is watched. Milliseconds. */
export interface WatcherOptions {
  /** Everything is looked at again this often, give or take a tenth. Default 60,000. */
  readonly resyncMs?: number
  /** A container is looked at when nothing more was heard of it for so long; at once if it died or its health changed. Default 300. */
  readonly debounceMs?: number
  /** But no later than this. Default 2,000. */
  readonly debounceMsMax?: number
  /** Longest pause between two attempts to reach the engine; the first is 500. Default 5,000. */
  readonly retryMsMax?: number
}

/** What the watcher works with. `random` is in [0, 1). */
export interface WatcherCollaborators {
  readonly engine: Engine
  readonly timers: Timers
  readonly random: () => number
  readonly log: Logger
  readonly metrics: DockerMetrics
  /** Containers, or the standing of the engine, may have changed. */
  readonly onChange: () => void
}

/** How it stands with the engine. */
export interface EngineStanding {
  readonly connected: boolean
  /** Of the last engine that answered; null before the first. */
  readonly info: EngineInfo | null
  /** Why it is not connected; null if it is, or before the first attempt has ended. */
  readonly error: DockerError | null
  /** Since when it is connected or not, on the clock of the timers. */
  readonly sinceMs: number
}

interface Dirty {
  readonly firstMs: number
  dueMs: number
  /** Look once more afterwards: Podman tells of a HEALTHCHECK before it has written the result down. */
  again: boolean
  /** It could not be inspected. Tried once more; then it waits for the look at everything, as what hangs delays the others. */
  readonly isRetry: boolean
}

const RESYNC_MS = 60_000
const DEBOUNCE_MS = 300
const DEBOUNCE_MS_MAX = 2_000
const RETRY_MS_FIRST = 500
/** Short for a retry, as engines are restarted on purpose and their sockets are on this host. */
const RETRY_MS_MAX = 5_000
const AGAIN_MS = 1_000
const INSPECTIONS_AT_ONCE = 6
/**
 * What decides whether it gets traffic does not wait for quiet. A start does: what starts and ends at once, again and again,
 * would get traffic each time.
 */
const URGENT: ReadonlySet<string> = new Set(['die', 'health_status'])
/** More changes than this at a time are one look at everything. */
const DIRTY_MAX = 512
/** Signals that ask a program to end, as the engine writes them. */
const STOP_SIGNALS: ReadonlySet<string> = new Set(['15', '2', '3', 'SIGTERM', 'SIGINT', 'SIGQUIT'])
/** A program that has not ended this long after such a signal goes on. Docker kills it after ten seconds. */
const STOPPING_MS = 15_000

/**
 * Keeps a picture of all containers of an engine. Events are listened to before the first look, so that nothing falls in between;
 * they only say which container to look at. What they miss, a look at everything each minute finds. While the engine is away the
 * last picture stays.
 */
export class DockerWatcher {
  readonly #options: Required<WatcherOptions>
  readonly #with: WatcherCollaborators
  readonly #containers = new Map<string, Container>()
  readonly #dirty = new Map<string, Dirty>()
  readonly #stopping = new Map<string, number>()
  #standing: EngineStanding
  #wake = () => {}
  #resyncAtMs = Number.POSITIVE_INFINITY
  #abort: AbortController | null = null
  #running: Promise<void> = Promise.resolve()
  #firstLook = Promise.withResolvers<void>()

  constructor(options: WatcherOptions, collaborators: WatcherCollaborators) {
    this.#options = {
      resyncMs: options.resyncMs ?? RESYNC_MS,
      debounceMs: options.debounceMs ?? DEBOUNCE_MS,
      debounceMsMax: options.debounceMsMax ?? DEBOUNCE_MS_MAX,
      retryMsMax: options.retryMsMax ?? RETRY_MS_MAX,
    }
    this.#with = collaborators
    this.#standing = { connected: false, info: null, error: null, sinceMs: collaborators.timers.now() }
  }

  /** As of the last look, by id. */
  get containers(): ReadonlyMap<string, Container> {
    return this.#containers
  }

  get standing(): EngineStanding {
    return this.#standing
  }

  /** Settles when the first attempt to look at everything has ended, well or not. */
  get firstLook(): Promise<void> {
    return this.#firstLook.promise
  }

  /** True between the signal to end and the end. */
  isStopping(id: string): boolean {
    return this.#stopping.has(id)
  }

  async start(): Promise<void> {
    if (this.#abort !== null) return
    this.#abort = new AbortController()
    this.#running = this.#run(this.#abort.signal)
  }

  async stop(): Promise<void> {
    this.#abort?.abort()
    this.#wake()
    await this.#running
    this.#abort = null
  }

  async #run(signal: AbortSignal): Promise<void> {
    let failures = 0
    while (!signal.aborted) {
      try {
        await this.#follow(signal)
      } catch (error) {
        if (signal.aborted) break
        if (this.#standing.connected) failures = 0
        this.#lost(error)
        this.#firstLook.resolve()
      }
      const ceilingMs = Math.min(this.#options.retryMsMax, RETRY_MS_FIRST * 2 ** Math.min(failures, 20))
      failures += 1
      // A floor, so that an engine that fails at once is not asked without a pause.
      await this.#sleep(Math.max(RETRY_MS_FIRST / 5, this.#with.random() * ceilingMs), signal)
    }
    this.#firstLook.resolve()
  }

  /** One connection, from its beginning to its end. Returns only by an error. */
  async #follow(signal: AbortSignal): Promise<never> {
    const { engine, timers } = this.#with
    const info = await engine.connect(signal)
    this.#dirty.clear()
    const stream = await engine.events((event) => this.#heard(event, info), signal)
    const end: { reason: Error | null } = { reason: null }
    stream.ended.then((reason) => {
      end.reason = reason
      this.#wake()
    })
    try {
      await this.#lookAtAll(signal)
      this.#connected(info)
      for (;;) {
        signal.throwIfAborted()
        if (end.reason !== null) throw end.reason
        const now = timers.now()
        if (now >= this.#resyncAtMs) await this.#lookAtAll(signal)
        else await this.#lookAtDirty(signal)
        this.#forgetStopping()
        if (end.reason === null) await this.#sleep(Math.max(0, this.#nextMs() - timers.now()), signal)
      }
    } finally {
      stream.close()
    }
  }

  #connected(info: EngineInfo): void {
    const { log, timers } = this.#with
    this.#standing = { connected: true, info, error: null, sinceMs: timers.now() }
    log.info({ ...info, containers: this.#containers.size }, `watching the containers of ${info.product}`)
    this.#with.onChange()
    this.#firstLook.resolve()
  }

  #lost(cause: unknown): void {
    const { log, timers, metrics } = this.#with
    const before = this.#standing
    const error =
      cause instanceof DockerError
        ? cause
        : new DockerError('DKR_UNREACHABLE', `the engine cannot be watched: ${String(cause)}`, { cause })
    metrics.disconnected(before.connected)
    this.#stopping.clear()
    this.#standing = {
      ...before,
      connected: false,
      error,
      sinceMs: before.connected ? timers.now() : before.sinceMs,
    }
    if (before.connected || before.error?.code !== error.code) log.warn({ err: error }, error.message)
    this.#with.onChange()
  }

  #heard(event: EngineEvent, { product }: EngineInfo): void {
    const { timers, metrics } = this.#with
    const { container: id, action } = event
    const now = timers.now()
    metrics.heard(action)
    if (action === 'kill' && STOP_SIGNALS.has(event.signal)) {
      this.#stopping.set(id, now + STOPPING_MS)
      this.#with.onChange()
    } else if (action === 'start') {
      // One that has died counts as stopping until it is looked at: the picture still says that it runs.
      this.#stopping.delete(id)
    }
    const known = this.#dirty.get(id)
    const firstMs = known?.firstMs ?? now
    // Podman tells of both before it has written them down.
    const delayMs = product === 'docker' && URGENT.has(action) ? 0 : this.#options.debounceMs
    const isDue = known !== undefined && known.dueMs <= now
    const dueMs = isDue ? known.dueMs : Math.min(now + delayMs, firstMs + this.#options.debounceMsMax)
    const again = (known?.again ?? false) || (product === 'podman' && action === 'health_status')
    this.#dirty.set(id, { firstMs, dueMs, again, isRetry: false })
    if (this.#dirty.size > DIRTY_MAX) {
      this.#dirty.clear()
      this.#resyncAtMs = now
    }
    this.#wake()
  }

  async #lookAtAll(signal: AbortSignal): Promise<void> {
    const { engine, timers, random, metrics } = this.#with
    const heard = idsHeard(this.#dirty)
    // What is heard from now on is newer than the list.
    this.#dirty.clear()
    const ids = await engine.list(signal)
    const error = await this.#look(ids, heard, signal)
    if (error !== null) throw error
    const listed = new Set(ids)
    for (const id of [...this.#containers.keys()]) if (!listed.has(id)) this.#containers.delete(id)
    this.#resyncAtMs = timers.now() + this.#options.resyncMs * (0.9 + 0.2 * random())
    metrics.resynced()
    this.#with.onChange()
  }

  async #lookAtDirty(signal: AbortSignal): Promise<void> {
    const now = this.#with.timers.now()
    const due = [...this.#dirty].filter(([, { dueMs }]) => dueMs <= now)
    if (due.length === 0) return
    for (const [id, { again }] of due) {
      if (again) this.#dirty.set(id, lookAgain(now, false))
      else this.#dirty.delete(id)
    }
    const heard = idsHeard(due)
    const ids = due.map(([id]) => id)
    const error = await this.#look(ids, heard, signal)
    if (error !== null && heard.size > 0) throw error
    this.#with.onChange()
  }

  /**
   * Answers the error of the last one if no inspection at all could be made: one container that is stuck is not the engine.
   * @param heard of these something was heard, so they are looked at once more where it fails
   */
  async #look(ids: readonly string[], heard: ReadonlySet<string>, signal: AbortSignal): Promise<unknown> {
    const { engine, log, timers } = this.#with
    const queue = [...ids]
    let failed = 0
    let lastError: unknown = null
    const work = async () => {
      for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
        try {
          const container = await engine.inspect(id, signal)
          if (container === null) this.#containers.delete(id)
          else this.#containers.set(id, container)
          if (container?.state !== 'running') this.#stopping.delete(id)
        } catch (error) {
          signal.throwIfAborted()
          failed += 1
          lastError = error
          if (heard.has(id) && !this.#dirty.has(id)) this.#dirty.set(id, lookAgain(timers.now(), true))
          log.debug({ err: error, container: id }, 'a container could not be inspected')
        }
      }
    }
    await Promise.all(Array.from({ length: INSPECTIONS_AT_ONCE }, work))
    return failed > 0 && failed === ids.length ? lastError : null
  }

  /** When there is something to do next if nothing is heard. */
  #nextMs(): number {
    const due = [...this.#dirty.values()].map(({ dueMs }) => dueMs)
    return Math.min(this.#resyncAtMs, ...due, ...this.#stopping.values())
  }

  #forgetStopping(): void {
    const now = this.#with.timers.now()
    const late = [...this.#stopping].filter(([, untilMs]) => untilMs <= now)
    for (const [id] of late) this.#stopping.delete(id)
    if (late.length > 0) this.#with.onChange()
  }

  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = this.#with.timers.after(ms, resolve)
      this.#wake = () => {
        timer.cancel()
        resolve()
      }
    })
  }
}

function lookAgain(now: number, isRetry: boolean): Dirty {
  return { firstMs: now + AGAIN_MS, dueMs: now + AGAIN_MS, again: false, isRetry }
}

function idsHeard(dirty: Iterable<readonly [string, Dirty]>): ReadonlySet<string> {
  return new Set([...dirty].flatMap(([id, { isRetry }]) => (isRetry ? [] : [id])))
}
