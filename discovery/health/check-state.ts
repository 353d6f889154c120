import type { Logger } from 'pino'
import type { CheckStatus, HealthCheck, LocalCatalog } from '../catalog/types.ts'
import { countdown } from './countdown.ts'
import { cutOutput, type ProbeResult } from './probe.ts'
import type { Timer, Timers } from './timers.ts'
import type { CheckDefinition } from './types.ts'

/** What the states of all checks share. */
export interface CheckStateCollaborators {
  readonly local: LocalCatalog
  readonly log: Logger
  readonly timers: Timers
  /** The status of a check is another one than before. */
  readonly onStatus: () => void
  /** The service of this check has been critical for too long. */
  readonly onCriticalTooLong: (definition: CheckDefinition) => void
}

/** A new output without a new status reaches the catalogue no sooner than this after the last write: each write is gossip. */
const OUTPUT_WRITE_MS = 60_000
const REAP_SLICE_MS = 10_000

/** The newest result of a check, and its way into the catalogue: a new status at once, a new output within a minute. */
export class CheckState {
  readonly definition: CheckDefinition
  readonly #shared: CheckStateCollaborators
  #status: CheckStatus
  #output: string
  #live = false
  #writtenAtMs = Number.NEGATIVE_INFINITY
  /** Pending write of an output that changed without the status. */
  #outputTimer: Timer | null = null
  #reapTimer: Timer | null = null

  constructor(definition: CheckDefinition, before: ProbeResult, collaborators: CheckStateCollaborators) {
    this.definition = definition
    this.#shared = collaborators
    this.#status = before.status
    this.#output = before.output
  }

  get status(): CheckStatus {
    return this.#status
  }

  /** The newest output; the catalogue may show an older one for up to a minute. */
  get output(): string {
    return this.#output
  }

  /** Shows the check. @throws CatalogError if it does not fit. */
  begin(): void {
    this.#write()
    // The first result says what the check found: it does not wait for the minute to pass.
    this.#writtenAtMs = Number.NEGATIVE_INFINITY
    this.#live = true
    this.#watchCritical()
  }

  /** Nothing is written any more. */
  end(): void {
    this.#live = false
    this.#outputTimer?.cancel()
    this.#reapTimer?.cancel()
    this.#reapTimer = null
  }

  /** Takes over a result: a new status is written at once, a new output when the last write is a minute old. */
  apply(result: ProbeResult): void {
    const output = cutOutput(result.output, this.definition.outputMax)
    const changed = result.status !== this.#status
    if (!changed && output === this.#output) return
    const { id, serviceId } = this.definition
    if (changed) {
      const entry = { check: id, service: serviceId, from: this.#status, to: result.status }
      this.#shared.log.info(entry, 'check changed')
    }
    this.#status = result.status
    this.#output = output
    if (!this.#live) return
    if (changed) {
      this.#watchCritical()
      this.#shared.onStatus()
    }
    const waitMs = this.#writtenAtMs + OUTPUT_WRITE_MS - this.#shared.timers.now()
    if (changed || waitMs <= 0) this.#publish()
    else this.#outputTimer ??= this.#shared.timers.after(waitMs, () => this.#publish())
  }

  #watchCritical(): void {
    const { deregisterAfterMs, serviceId } = this.definition
    if (this.#status !== 'critical') {
      this.#reapTimer?.cancel()
      this.#reapTimer = null
    } else if (deregisterAfterMs > 0 && serviceId !== '') {
      this.#reapTimer ??= countdown(this.#shared.timers, deregisterAfterMs, REAP_SLICE_MS, () => {
        this.#reapTimer = null
        this.#shared.onCriticalTooLong(this.definition)
      })
    }
  }

  /** `#write` for callers that have nobody to throw to: a run or a timer. */
  #publish(): void {
    try {
      this.#write()
    } catch (error) {
      this.#shared.log.error(
        { err: error, check: this.definition.id },
        'the result of a check is not in the catalogue',
      )
    }
  }

  #write(): void {
    this.#outputTimer?.cancel()
    this.#outputTimer = null
    const { definition } = this
    const { services, checks } = this.#shared.local.record()
    // Between the removal of a service and of its checks: a result must not bring the check back.
    if (definition.serviceId !== '' && !services.has(definition.serviceId)) return
    const check = catalogCheck(definition, { status: this.#status, output: this.#output })
    this.#writtenAtMs = this.#shared.timers.now()
    if (!sameCheck(checks.get(check.id), check)) this.#shared.local.putCheck(check)
  }
}

/** A check as the catalogue shows it. */
export function catalogCheck(definition: CheckDefinition, result: ProbeResult): HealthCheck {
  return {
    id: definition.id,
    name: definition.name,
    status: result.status,
    notes: definition.notes,
    output: result.output,
    serviceId: definition.serviceId,
    type: definition.kind.type,
    interval: definition.intervalText,
    timeout: definition.timeoutText,
  }
}

function sameCheck(a: HealthCheck | undefined, b: HealthCheck): boolean {
  if (a === undefined) return false
  return (Object.keys(b) as (keyof HealthCheck)[]).every((key) => a[key] === b[key])
}
