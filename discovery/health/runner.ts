import type { Logger } from 'pino'
import { Counter, Gauge, type Registry } from 'prom-client'
import type { CheckStatus, HealthCheck, LocalCatalog } from '../catalog/types.ts'
import { DefinitionStore } from './definition-store.ts'
import { formatGoDuration } from './duration.ts'
import { probeHttp } from './http-probe.ts'
import { cutOutput, type ProbeResult } from './probe.ts'
import { probeTcp } from './tcp-probe.ts'
import { systemTimers, type Timer, type Timers } from './timers.ts'
import type { CheckDefinition, HealthRunner } from './types.ts'

/** Settings of the runner. */
export interface CheckRunnerOptions {
  /** Where `checks.json` lives. */
  readonly dataDir: string
  /** Most probes under way at a time; the others wait their turn. Default 64. */
  readonly maxConcurrent?: number
}

/** What the runner works with. `timers` and `random` (in [0, 1)) default to the machine's. */
export interface CheckRunnerCollaborators {
  readonly local: LocalCatalog
  readonly log: Logger
  readonly metrics?: Registry
  readonly timers?: Timers
  readonly random?: () => number
}

/** Timeout of a check that names none (Consul's default). */
const TIMEOUT_MS_DEFAULT = 10_000
const INTERVAL_MS_MIN = 1_000
/** A run comes up to this share of its interval early or late, so that checks of one interval spread out. */
const JITTER = 0.1
/** A new output without a new status reaches the catalogue no sooner than this after the last write: each write is gossip. */
const OUTPUT_WRITE_MS = 60_000

/** A check that is being run, and its newest result. */
interface Entry {
  readonly definition: CheckDefinition
  status: CheckStatus
  output: string
  /** Output of the last report of a ttl check. */
  reported: string
  /** Next run, or expiry of a ttl check. */
  timer: Timer | null
  /** Pending write of an output that changed without the status. */
  outputTimer: Timer | null
  writtenAtMs: number
  probe: AbortController | null
}

/**
 * Runs the checks of this node (http, tcp, ttl) as Consul's agent does and writes their results into the node's own
 * catalogue record. A probe never overlaps itself, and one that hangs is ended by its timeout and delays no other.
 */
export class CheckRunner implements HealthRunner {
  readonly #local: LocalCatalog
  readonly #log: Logger
  readonly #timers: Timers
  readonly #random: () => number
  readonly #maxConcurrent: number
  readonly #store: DefinitionStore
  readonly #runs: Counter<'type' | 'status'> | null
  readonly #entries = new Map<string, Entry>()
  /** Due and waiting for a free place. An entry is in it at most once, so its bound is the number of checks. */
  readonly #due = new Set<Entry>()
  #probing = 0
  #starting: Promise<void> | null = null
  #started = false
  #saved: Promise<void> = Promise.resolve()

  constructor(options: CheckRunnerOptions, collaborators: CheckRunnerCollaborators) {
    this.#local = collaborators.local
    this.#log = collaborators.log
    this.#timers = collaborators.timers ?? systemTimers
    this.#random = collaborators.random ?? Math.random
    this.#maxConcurrent = options.maxConcurrent ?? 64
    this.#store = new DefinitionStore(options)
    this.#runs = collaborators.metrics ? this.#register(collaborators.metrics) : null
  }

  /**
   * Loads the definitions of the last run and begins. Checks keep the status the catalogue has of them until their
   * first result, so a restart of the agent makes nothing flap; those of a service that is gone are dropped.
   * @throws HealthError `HLT_FILE_DAMAGED`, `HLT_FILE_FAILED`.
   */
  start(): Promise<void> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  /** Ends every probe and timer and waits until the definitions are on disk. Results that arrive later are dropped. */
  async stop(): Promise<void> {
    if (this.#starting === null) return
    await this.#starting.catch(() => undefined)
    this.#started = false
    for (const entry of this.#entries.values()) this.#halt(entry)
    this.#entries.clear()
    await this.flush().catch(() => undefined)
    this.#starting = null
  }

  /**
   * Adds or replaces a check and runs it at once. Its service must be in the catalogue already. A replaced check keeps
   * its last status until the new definition has a result, so that registering again changes nothing.
   */
  put(definition: CheckDefinition): void {
    const previous = this.#entries.get(definition.id)
    if (previous !== undefined) this.#halt(previous)
    const entry = this.#entry(definition)
    this.#entries.set(definition.id, entry)
    if (!this.#started) return
    this.#save()
    this.#begin(entry)
  }

  remove(id: string): boolean {
    const entry = this.#entries.get(id)
    if (entry === undefined) return false
    this.#halt(entry)
    this.#entries.delete(id)
    this.#local.removeCheck(id)
    if (this.#started) this.#save()
    return true
  }

  definitions(): readonly CheckDefinition[] {
    return [...this.#entries.values()].map((entry) => entry.definition)
  }

  report(id: string, status: CheckStatus, output: string): 'ok' | 'unknown' | 'not-ttl' {
    const entry = this.#entries.get(id)
    if (entry === undefined) return 'unknown'
    const { kind } = entry.definition
    if (kind.type !== 'ttl') return 'not-ttl'
    entry.reported = cutOutput(output)
    this.#apply(entry, { status, output })
    if (this.#started) this.#armTtl(entry, kind.ttlMs)
    return 'ok'
  }

  /** The newest output of a check; the catalogue may show an older one for up to a minute. Undefined if unknown. */
  output(id: string): string | undefined {
    return this.#entries.get(id)?.output
  }

  /** Resolves when every change so far is on disk. @throws HealthError `HLT_FILE_FAILED`. */
  flush(): Promise<void> {
    return this.#saved
  }

  async #start(): Promise<void> {
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
      this.#entries.set(definition.id, this.#entry(definition))
    }
    this.#started = true
    if (before > 0 || dropped > 0) this.#save()
    for (const entry of this.#entries.values()) this.#begin(entry)
  }

  #entry(definition: CheckDefinition): Entry {
    const known = this.#local.record().checks.get(definition.id)
    const same = known?.serviceId === definition.serviceId && known.type === definition.kind.type
    return {
      definition,
      status: same ? known.status : definition.initialStatus,
      output: same ? known.output : '',
      reported: same && definition.kind.type === 'ttl' ? known.output : '',
      timer: null,
      outputTimer: null,
      writtenAtMs: Number.NEGATIVE_INFINITY,
      probe: null,
    }
  }

  #begin(entry: Entry): void {
    this.#write(entry)
    // The first result says what the check found: it does not wait for the minute to pass.
    entry.writtenAtMs = Number.NEGATIVE_INFINITY
    const { kind } = entry.definition
    if (kind.type === 'ttl') this.#armTtl(entry, kind.ttlMs)
    else this.#enqueue(entry)
  }

  #halt(entry: Entry): void {
    entry.timer?.cancel()
    entry.outputTimer?.cancel()
    entry.probe?.abort(new Error('the check was removed'))
    this.#due.delete(entry)
  }

  #armTtl(entry: Entry, ttlMs: number): void {
    entry.timer?.cancel()
    entry.timer = this.#timers.after(ttlMs, () => {
      const output =
        entry.reported === ''
          ? 'TTL expired'
          : `TTL expired (last output before timeout follows): ${entry.reported}`
      this.#apply(entry, { status: 'critical', output })
    })
  }

  #enqueue(entry: Entry): void {
    this.#due.add(entry)
    this.#drain()
  }

  #drain(): void {
    for (const entry of this.#due) {
      if (this.#probing >= this.#maxConcurrent) return
      this.#due.delete(entry)
      void this.#run(entry)
    }
  }

  async #run(entry: Entry): Promise<void> {
    const { kind, intervalMs, timeoutMs } = entry.definition
    const startedAtMs = this.#timers.now()
    const limitMs = timeoutMs > 0 ? timeoutMs : TIMEOUT_MS_DEFAULT
    const probe = new AbortController()
    entry.probe = probe
    this.#probing += 1
    const timeout = this.#timers.after(limitMs, () =>
      probe.abort(new Error(`no answer within ${formatGoDuration(limitMs)}`)),
    )
    const result = await runProbe(kind, probe.signal)
    timeout.cancel()
    this.#probing -= 1
    entry.probe = null
    if (this.#entries.get(entry.definition.id) === entry && this.#started) {
      this.#runs?.inc({ type: kind.type, status: result.status })
      this.#apply(entry, result)
      const spread = 1 - JITTER + 2 * JITTER * this.#random()
      const periodMs = Math.max(intervalMs, INTERVAL_MS_MIN) * spread
      const restMs = Math.max(periodMs - (this.#timers.now() - startedAtMs), 0)
      entry.timer = this.#timers.after(restMs, () => this.#enqueue(entry))
    }
    this.#drain()
  }

  /** Takes over a result: a new status is written at once, a new output when the last write is a minute old. */
  #apply(entry: Entry, result: ProbeResult): void {
    const output = cutOutput(result.output)
    const changed = result.status !== entry.status
    if (!changed && output === entry.output) return
    if (changed) {
      this.#log.info(
        {
          check: entry.definition.id,
          service: entry.definition.serviceId,
          from: entry.status,
          to: result.status,
        },
        'check changed',
      )
    }
    entry.status = result.status
    entry.output = output
    if (!this.#started) return
    const waitMs = entry.writtenAtMs + OUTPUT_WRITE_MS - this.#timers.now()
    if (changed || waitMs <= 0) this.#publish(entry)
    else entry.outputTimer ??= this.#timers.after(waitMs, () => this.#publish(entry))
  }

  /** `#write` for callers that have nobody to throw to: a run or a timer. */
  #publish(entry: Entry): void {
    try {
      this.#write(entry)
    } catch (error) {
      this.#log.error(
        { err: error, check: entry.definition.id },
        'the result of a check is not in the catalogue',
      )
    }
  }

  #write(entry: Entry): void {
    entry.outputTimer?.cancel()
    entry.outputTimer = null
    const { definition } = entry
    const { services, checks } = this.#local.record()
    // Between the removal of a service and of its checks: a result must not bring the check back.
    if (definition.serviceId !== '' && !services.has(definition.serviceId)) return
    const check: HealthCheck = {
      id: definition.id,
      name: definition.name,
      status: entry.status,
      notes: definition.notes,
      output: entry.output,
      serviceId: definition.serviceId,
      type: definition.kind.type,
      interval: definition.intervalText,
      timeout: definition.timeoutText,
    }
    entry.writtenAtMs = this.#timers.now()
    if (!sameCheck(checks.get(check.id), check)) this.#local.putCheck(check)
  }

  #save(): void {
    this.#saved = this.#store.save(this.definitions())
    this.#saved.catch((error: unknown) =>
      this.#log.error({ err: error }, 'check definitions are not on disk'),
    )
  }

  #register(metrics: Registry): Counter<'type' | 'status'> {
    const probing = () => this.#probing
    const due = () => this.#due.size
    const registers = [metrics]
    new Gauge({
      name: 'constellation_health_probes',
      help: 'Health probes under way.',
      registers,
      collect() {
        this.set(probing())
      },
    })
    new Gauge({
      name: 'constellation_health_probes_waiting',
      help: 'Health probes that are due and wait for a free place.',
      registers,
      collect() {
        this.set(due())
      },
    })
    return new Counter({
      name: 'constellation_health_runs_total',
      help: 'Finished runs of health checks by type and result.',
      labelNames: ['type', 'status'],
      registers,
    })
  }
}

async function runProbe(kind: CheckDefinition['kind'], signal: AbortSignal): Promise<ProbeResult> {
  switch (kind.type) {
    case 'http':
      return probeHttp(kind, signal)
    case 'tcp':
      return probeTcp(kind.address, signal)
    case 'ttl':
      throw new Error('a ttl check is reported, not run')
  }
}

function sameCheck(a: HealthCheck | undefined, b: HealthCheck): boolean {
  if (a === undefined) return false
  return (Object.keys(b) as (keyof HealthCheck)[]).every((key) => a[key] === b[key])
}
