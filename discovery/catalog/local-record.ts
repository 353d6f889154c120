import type { Logger } from 'pino'
import type { PeerId } from '../mesh/types.ts'
import { sameEntry } from './delta.ts'
import { CatalogError } from './errors.ts'
import { LIMITS } from './limits.ts'
import { ServicesFile } from './services-file.ts'
import { readCheck, readService } from './shapes.ts'
import type { HealthCheck, LocalCatalog, NodeRecord, ServiceInstance } from './types.ts'

/** Whose record it is. `incarnation` must be higher than in any earlier run. */
export interface LocalIdentity {
  readonly id: PeerId
  readonly name: string
  /** Host part of the mesh address. */
  readonly address: string
  readonly meta: Readonly<Record<string, string>>
  readonly incarnation: number
}

/** What the check with this id found last, in the run of the agent before; undefined if that is not known. */
export type LastResult = (id: string) => Pick<HealthCheck, 'status' | 'output'> | undefined

/** Characters all outputs may share, so that a node with many checks still has room for their results. */
const OUTPUTS_CHARS_MAX = 128 * 1024
const OUTPUT_CHARS_MIN = 128

/** How long a check may say something new with the same status before others are told: a text that changes at every run is no news. */
export const OUTPUT_INTERVAL_MS = 10_000

/** What {@link LocalRecord} works with. */
export interface LocalRecordCollaborators {
  readonly log: Logger
  /** Without it every check is critical until it has run. */
  readonly lastResult?: LastResult
  /** Calls `fire` once after `delayMs`; answers how to prevent that. Default: a timer that keeps no process alive. */
  readonly after?: (delayMs: number, fire: () => void) => () => void
}

/** Settings of {@link LocalRecord}. */
export interface LocalRecordOptions {
  readonly dataDir: string
  /** Default {@link OUTPUT_INTERVAL_MS}. */
  readonly outputIntervalMs?: number
}

/**
 * This node's own record. Every change makes a new immutable {@link NodeRecord} with the next sequence number. Others are told
 * at once, but of new outputs of checks whose status stays only every ten seconds, all together.
 */
export class LocalRecord implements LocalCatalog {
  readonly #outputIntervalMs: number
  readonly #after: NonNullable<LocalRecordCollaborators['after']>
  readonly #file: ServicesFile
  readonly #listeners = new Set<(record: NodeRecord) => void>()
  readonly #bytes = new Map<string, number>()
  readonly #lastResult: LastResult
  #record: NodeRecord | null = null
  #published: NodeRecord | null = null
  #cancelLater: (() => void) | null = null
  #bytesTotal = 0

  constructor(options: LocalRecordOptions, collaborators: LocalRecordCollaborators) {
    this.#outputIntervalMs = options.outputIntervalMs ?? OUTPUT_INTERVAL_MS
    this.#after = collaborators.after ?? afterTimer
    this.#file = new ServicesFile(options, collaborators)
    this.#lastResult = collaborators.lastResult ?? (() => undefined)
  }

  /**
   * Loads what was registered in earlier runs. Their checks stand as they did last, or as critical if that is not known,
   * until the runner replaces them.
   * @throws CatalogError `CAT_FILE_DAMAGED` or `CAT_FILE_FAILED`
   */
  async open(identity: LocalIdentity): Promise<void> {
    const { services, checks: kept } = await this.#file.load()
    const checks = this.#withLastResults(
      kept,
      [...services, ...kept].map(sizeOf).reduce((a, b) => a + b, 0),
    )
    const { id, name, address, meta, incarnation } = identity
    this.#bytes.clear()
    this.#bytesTotal = 0
    for (const service of services) this.#count(serviceKey(service.id), service)
    for (const check of checks) this.#count(checkKey(check.id), check)
    this.#record = Object.freeze({
      id,
      name,
      address,
      meta,
      version: Object.freeze({ incarnation, sequence: 0 }),
      services: new Map(services.map((service) => [service.id, service])),
      checks: new Map(checks.map((check) => [check.id, check])),
    })
    this.#published = this.#record
  }

  /** Forgets what was to be told later. */
  close(): void {
    this.#cancelLater?.()
    this.#cancelLater = null
  }

  /** As it is now. @throws CatalogError `CAT_NOT_STARTED` */
  record(): NodeRecord {
    if (!this.#record) throw new CatalogError('CAT_NOT_STARTED', 'the catalogue has not started')
    return this.#record
  }

  /** As others are told: without the newest outputs of checks whose status stayed. @throws CatalogError `CAT_NOT_STARTED` */
  published(): NodeRecord {
    return this.#published ?? this.record()
  }

  /** @param bytes of everything without the outputs */
  #withLastResults(kept: readonly HealthCheck[], bytes: number): readonly HealthCheck[] {
    const outputChars = outputCharsMax(kept.length)
    let bytesLeft = LIMITS.recordBytes - bytes
    return kept.map((check) => {
      const last = this.#lastResult(check.id)
      if (last === undefined) return check
      const output = last.output.slice(0, outputChars)
      bytesLeft -= sizeOf(output)
      return readCheck({ ...check, status: last.status, output: bytesLeft > 0 ? output : '' })
    })
  }

  /** Adds or replaces an instance. @throws CatalogError `CAT_INVALID` or `CAT_TOO_LARGE`; nothing is changed. */
  putService(service: ServiceInstance): void {
    const next = readService(service)
    const record = this.record()
    if (sameEntry(record.services.get(next.id), next)) return
    this.#reserve(serviceKey(next.id), next, `service ${next.id}`)
    this.#commit({ ...record, services: new Map(record.services).set(next.id, next) }, true)
  }

  removeService(id: string): boolean {
    const record = this.record()
    if (!record.services.has(id)) return false
    const services = new Map(record.services)
    const checks = new Map(record.checks)
    services.delete(id)
    this.#release(serviceKey(id))
    for (const check of record.checks.values()) {
      if (check.serviceId !== id) continue
      checks.delete(check.id)
      this.#release(checkKey(check.id))
    }
    this.#commit({ ...record, services, checks }, true)
    return true
  }

  /**
   * Adds or replaces a check. Its output is cut to 4,096 characters, to less on a node with many checks, and left out
   * when there is no room for it: the result matters more than its text.
   * @throws CatalogError `CAT_UNKNOWN_SERVICE`, `CAT_INVALID`, `CAT_TOO_LARGE`
   */
  putCheck(check: HealthCheck): void {
    const record = this.record()
    const before = record.checks.get(check.id)
    const outputChars = outputCharsMax(record.checks.size + (before ? 0 : 1))
    const next = readCheck({ ...check, output: String(check.output).slice(0, outputChars) })
    if (next.serviceId !== '' && !record.services.has(next.serviceId)) {
      throw new CatalogError(
        'CAT_UNKNOWN_SERVICE',
        `check ${next.id} belongs to the service ${next.serviceId}, which is not registered`,
      )
    }
    const silent = withoutOutput(next)
    if (sameEntry(before, next)) return
    let checks = record.checks
    if (!this.#fits(checkKey(next.id), next)) checks = this.#shorten(checks, outputChars)
    const fitting = this.#fits(checkKey(next.id), next) ? next : silent
    if (checks === record.checks && sameEntry(before, fitting)) return
    try {
      this.#reserve(checkKey(next.id), fitting, `check ${next.id}`)
    } catch (error) {
      // Nothing is changed: the other outputs are as long as they were.
      if (checks !== record.checks)
        for (const other of record.checks.values()) this.#count(checkKey(other.id), other)
      throw error
    }
    const kept = before !== undefined && sameEntry(registrationOf(before), registrationOf(fitting))
    // A first output is news: nobody knows yet what the check has found.
    const isOutput =
      before !== undefined && before.output !== '' && sameEntry(withoutOutput(before), withoutOutput(fitting))
    this.#commit({ ...record, checks: new Map(checks).set(next.id, fitting) }, !kept, isOutput)
  }

  removeCheck(id: string): boolean {
    const record = this.record()
    const checks = new Map(record.checks)
    if (!checks.delete(id)) return false
    this.#release(checkKey(id))
    this.#commit({ ...record, checks }, true)
    return true
  }

  /** Others hold a record of this node that is newer than its own: the file with the incarnation was lost. Go beyond it. */
  raise(incarnation: number): void {
    const record = this.record()
    if (incarnation < record.version.incarnation) return
    const version = Object.freeze({ incarnation: incarnation + 1, sequence: 0 })
    this.#publish({ ...record, version })
  }

  /** Fires when others are to be told, with what. Returns the way to stop. */
  onChange(listener: (record: NodeRecord) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Resolves when every registration so far is on disk. @throws CatalogError `CAT_FILE_FAILED` */
  async flush(): Promise<void> {
    await this.#file.flush()
  }

  /**
   * @param registered whether what is kept on disk changed; results of checks are not.
   * @param isOutput whether only the output of a check did.
   */
  #commit(record: NodeRecord, registered: boolean, isOutput = false): void {
    const { incarnation, sequence } = record.version
    const next = { ...record, version: Object.freeze({ incarnation, sequence: sequence + 1 }) }
    if (isOutput) {
      this.#record = Object.freeze(next)
      this.#cancelLater ??= this.#after(this.#outputIntervalMs, () => this.#publish(this.record()))
    } else this.#publish(next)
    if (registered) this.#file.save(() => this.record())
  }

  #publish(record: NodeRecord): void {
    this.close()
    this.#record = Object.freeze(record)
    this.#published = this.#record
    for (const listener of [...this.#listeners]) listener(this.#record)
  }

  /** Cuts the outputs that were taken while there were fewer checks. The same map if there is nothing to cut. */
  #shorten(checks: ReadonlyMap<string, HealthCheck>, chars: number): ReadonlyMap<string, HealthCheck> {
    const long = [...checks.values()].filter((check) => check.output.length > chars)
    if (long.length === 0) return checks
    const out = new Map(checks)
    for (const check of long) {
      const shorter = Object.freeze({ ...check, output: check.output.slice(0, chars) })
      out.set(check.id, shorter)
      this.#count(checkKey(check.id), shorter)
    }
    return out
  }

  #fits(key: string, entry: unknown): boolean {
    return this.#totalWith(key, entry) <= LIMITS.recordBytes
  }

  #totalWith(key: string, entry: unknown): number {
    return this.#bytesTotal - (this.#bytes.get(key) ?? 0) + sizeOf(entry)
  }

  #reserve(key: string, entry: unknown, what: string): void {
    if (!this.#fits(key, entry)) {
      throw new CatalogError(
        'CAT_TOO_LARGE',
        `${what} does not fit: with it the services and checks of this node would have ${this.#totalWith(key, entry)} bytes as JSON, the limit is ${LIMITS.recordBytes}`,
      )
    }
    this.#count(key, entry)
  }

  #count(key: string, entry: unknown): void {
    this.#release(key)
    const bytes = sizeOf(entry)
    this.#bytes.set(key, bytes)
    this.#bytesTotal += bytes
  }

  #release(key: string): void {
    this.#bytesTotal -= this.#bytes.get(key) ?? 0
    this.#bytes.delete(key)
  }
}

function outputCharsMax(checks: number): number {
  return Math.min(LIMITS.textChars, Math.max(OUTPUT_CHARS_MIN, Math.floor(OUTPUTS_CHARS_MAX / checks)))
}

/** The part of a check that is kept on disk. */
function registrationOf({ status: _status, output: _output, ...rest }: HealthCheck): unknown {
  return rest
}

function withoutOutput(check: HealthCheck): HealthCheck {
  return Object.freeze({ ...check, output: '' })
}

function afterTimer(delayMs: number, fire: () => void): () => void {
  const timer = setTimeout(fire, delayMs).unref()
  return () => clearTimeout(timer)
}

function serviceKey(id: string): string {
  return `s ${id}`
}

function checkKey(id: string): string {
  return `c ${id}`
}

function sizeOf(entry: unknown): number {
  return Buffer.byteLength(JSON.stringify(entry)) + 1
}
