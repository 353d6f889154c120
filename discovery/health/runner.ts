import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { CheckStatus, LocalCatalog } from '../catalog/types.ts'
import { AliasCheck, type AliasSource } from './alias-check.ts'
import { CheckState } from './check-state.ts'
import { DefinitionStore } from './definition-store.ts'
import { PolledCheck } from './polled-check.ts'
import { ProbeQueue, type ProbeQueueOptions } from './probe-queue.ts'
import { type Probe, type ProberOptions, systemProbe } from './prober.ts'
import { type KeptResult, ResultStore } from './result-store.ts'
import { RunnerMetrics } from './runner-metrics.ts'
import { systemTimers, type Timer, type Timers } from './timers.ts'
import { TtlCheck } from './ttl-check.ts'
import type { CheckDefinition, HealthRunner } from './types.ts'

/** Settings of the runner. */
export interface CheckRunnerOptions extends ProberOptions {
  /** Where `checks.json` and `check-results.json` live. */
  readonly dataDir: string
  /** How many probes run at a time. */
  readonly queue?: ProbeQueueOptions
}

/** What the runner works with. `timers`, `random` (in [0, 1)) and `probe` default to the machine's. */
export interface CheckRunnerCollaborators {
  readonly local: LocalCatalog
  /** What alias checks follow. */
  readonly catalog: AliasSource
  readonly log: Logger
  readonly metrics?: Registry
  /** Shared with the catalogue, so that its record begins with the results of the last run. Default: a store of its own. */
  readonly results?: ResultStore
  readonly timers?: Timers
  readonly random?: () => number
  readonly probe?: Probe
}

/** Reports to ttl checks make the results be written no more often than this: each write goes to the disk. */
const KEEP_MS = 1_000

/** A check that is being run: its newest result and what makes the results. */
interface Entry {
  readonly state: CheckState
  readonly driver: PolledCheck | TtlCheck | AliasCheck
}

/**
 * Runs the checks of this node as Consul's agent does and writes their results into the node's own catalogue record.
 * A probe never overlaps itself, and one that hangs is ended by its timeout and delays no other.
 */
export class CheckRunner implements HealthRunner {
  readonly #local: LocalCatalog
  readonly #catalog: AliasSource
  readonly #log: Logger
  readonly #timers: Timers
  readonly #random: () => number
  readonly #probe: Probe
  readonly #queue: ProbeQueue
  readonly #store: DefinitionStore
  readonly #results: ResultStore
  readonly #metrics: RunnerMetrics
  readonly #entries = new Map<string, Entry>()
  #starting: Promise<void> | null = null
  #started = false
  #keepTimer: Timer | null = null
  #keptAtMs = Number.NEGATIVE_INFINITY

  constructor(options: CheckRunnerOptions, collaborators: CheckRunnerCollaborators) {
    const { local, catalog, log } = collaborators
    this.#local = local
    this.#catalog = catalog
    this.#log = log
    this.#timers = collaborators.timers ?? systemTimers
    this.#random = collaborators.random ?? Math.random
    this.#probe = collaborators.probe ?? systemProbe(options)
    this.#queue = new ProbeQueue(options.queue ?? {}, { timers: this.#timers })
    this.#store = new DefinitionStore(options, { log })
    this.#results = collaborators.results ?? new ResultStore(options, { log })
    this.#metrics = new RunnerMetrics(collaborators.metrics, this.#queue)
  }

  /**
   * Loads the definitions of the last run and begins. Checks keep the status they had then until their first result, so a
   * restart of the agent makes nothing flap; those of a service that is gone are dropped.
   * @throws HealthError `HLT_FILE_DAMAGED`, `HLT_FILE_FAILED`.
   */
  start(): Promise<void> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  /** Ends every probe and timer and waits until definitions and results are on disk. Results that arrive later are dropped. */
  async stop(): Promise<void> {
    if (this.#starting === null) return
    await this.#starting.catch(() => undefined)
    const wasStarted = this.#started
    this.#started = false
    this.#keepTimer?.cancel()
    this.#keepTimer = null
    const results = this.#currentResults()
    for (const entry of this.#entries.values()) halt(entry)
    this.#entries.clear()
    await this.flush().catch(() => undefined)
    if (wasStarted) {
      await this.#results.close(results).catch((error: unknown) => {
        this.#log.warn({ err: error }, 'the results of the checks are not on disk')
      })
    }
    this.#starting = null
  }

  /**
   * Adds or replaces a check and runs it at once. Its service must be in the catalogue already. A replaced check keeps
   * its last status until the new definition has a result, so that registering again changes nothing.
   */
  put(definition: CheckDefinition): void {
    const previous = this.#entries.get(definition.id)
    if (previous !== undefined) halt(previous)
    const entry = this.#entry(definition)
    this.#entries.set(definition.id, entry)
    if (!this.#started) return
    this.#save()
    // What it was registered with counts until its first result, also for the next run of the agent.
    this.#saveResults()
    begin(entry)
  }

  remove(id: string): boolean {
    const entry = this.#entries.get(id)
    if (entry === undefined) return false
    halt(entry)
    this.#entries.delete(id)
    this.#local.removeCheck(id)
    if (this.#started) this.#save()
    return true
  }

  definitions(): readonly CheckDefinition[] {
    return [...this.#entries.values()].map(({ state }) => state.definition)
  }

  report(id: string, status: CheckStatus, output: string): 'ok' | 'unknown' | 'not-ttl' {
    const entry = this.#entries.get(id)
    if (entry === undefined) return 'unknown'
    if (!(entry.driver instanceof TtlCheck)) return 'not-ttl'
    entry.driver.report(status, output, this.#started)
    return 'ok'
  }

  output(id: string): string | undefined {
    return this.#entries.get(id)?.state.output
  }

  /** Resolves when every change so far is on disk. @throws HealthError `HLT_FILE_FAILED`. */
  flush(): Promise<void> {
    return this.#store.flush()
  }

  async #start(): Promise<void> {
    await this.#results.load()
    const saved = await this.#store.load().catch((error: unknown) => {
      this.#starting = null
      throw error
    })
    const { services } = this.#local.record()
    const before = this.#entries.size
    let dropped = 0
    for (const definition of saved) {
      // Registered while the file was being read: newer than the file.
      if (this.#entries.has(definition.id)) continue
      if (definition.serviceId !== '' && !services.has(definition.serviceId)) {
        this.#log.warn(
          { check: definition.id, service: definition.serviceId },
          'dropped a check: its service is gone',
        )
        this.#local.removeCheck(definition.id)
        dropped += 1
        continue
      }
      this.#entries.set(definition.id, this.#entry(definition, this.#results.restMs(definition.id)))
    }
    this.#started = true
    if (before > 0 || dropped > 0) this.#save()
    for (const entry of this.#entries.values()) begin(entry)
  }

  /** @param restMs how long what a ttl check was told by an earlier run is still valid; undefined if that is not known */
  #entry(definition: CheckDefinition, restMs?: number): Entry {
    const known = this.#local.record().checks.get(definition.id)
    const same = known?.serviceId === definition.serviceId && known.type === definition.kind.type
    const state = new CheckState(
      definition,
      same ? known : { status: definition.initialStatus, output: '' },
      {
        local: this.#local,
        log: this.#log,
        timers: this.#timers,
        onStatus: () => this.#saveResults(),
        onCriticalTooLong: (check) => this.#deregister(check),
      },
    )
    return { state, driver: this.#driver(state, same ? known.output : '', restMs) }
  }

  #driver(state: CheckState, reported: string, restMs?: number): Entry['driver'] {
    const { kind } = state.definition
    switch (kind.type) {
      case 'ttl':
        return new TtlCheck(
          { ttlMs: kind.ttlMs, reported, ...(restMs === undefined ? {} : { restMs }) },
          { state, timers: this.#timers, onReport: () => this.#keepSoon() },
        )
      case 'alias':
        return new AliasCheck(kind, { state, catalog: this.#catalog, self: this.#local.record().name })
      default:
        return new PolledCheck(kind, state, {
          timers: this.#timers,
          random: this.#random,
          queue: this.#queue,
          probe: this.#probe,
          log: this.#log,
          onRun: (type, status) => this.#metrics.ran(type, status),
        })
    }
  }

  /** A service whose check has been critical for as long as its registration allows goes, with all its checks. */
  #deregister({ id, serviceId, deregisterAfterMs }: CheckDefinition): void {
    this.#log.warn(
      { service: serviceId, check: id, afterMs: deregisterAfterMs },
      'deregistered a critical service',
    )
    for (const [other, entry] of this.#entries) {
      if (entry.state.definition.serviceId !== serviceId) continue
      halt(entry)
      this.#entries.delete(other)
    }
    this.#local.removeService(serviceId)
    this.#metrics.deregistered()
    this.#save()
  }

  #currentResults(): readonly KeptResult[] {
    return [...this.#entries.values()].map(({ state, driver }) => ({
      id: state.definition.id,
      status: state.status,
      output: state.output,
      ...(driver instanceof TtlCheck ? { validMs: driver.restMs } : {}),
    }))
  }

  #saveResults(): void {
    this.#results.save(() => this.#currentResults())
  }

  /** Keeps the results, of all reports within a while together. The first does not wait: the process may not live that long. */
  #keepSoon(): void {
    if (this.#keepTimer !== null) return
    const waitMs = this.#keptAtMs + KEEP_MS - this.#timers.now()
    if (waitMs <= 0) this.#keep()
    else this.#keepTimer = this.#timers.after(waitMs, () => this.#keep())
  }

  #keep(): void {
    this.#keepTimer = null
    this.#keptAtMs = this.#timers.now()
    this.#saveResults()
  }

  #save(): void {
    this.#store.save(this.definitions())
  }
}

function begin({ state, driver }: Entry): void {
  state.begin()
  driver.start()
}

function halt({ state, driver }: Entry): void {
  driver.stop()
  state.end()
}
