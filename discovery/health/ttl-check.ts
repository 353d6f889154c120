import type { CheckStatus } from '../catalog/types.ts'
import type { CheckState } from './check-state.ts'
import { countdown } from './countdown.ts'
import { cutOutput } from './probe.ts'
import type { Timer, Timers } from './timers.ts'

/** A report is kept again when the one that is kept is older than this share of the TTL, within these bounds. */
const KEEP_SHARE = 1 / 8
const KEEP_MS_MIN = 1_000
const KEEP_MS_MAX = 300_000
/** While no agent was there its program could not report: a new agent waits this long for the next report. */
const RESTART_GRACE_MS = 10_000

/** How many parts a TTL is counted down in: a stall of this process costs a program at most one of them. */
const SLICES = 4

/** A check that its program reports to; critical when no report has come for the TTL. */
export class TtlCheck {
  readonly #ttlMs: number
  readonly #state: CheckState
  readonly #timers: Timers
  readonly #onReport: () => void
  #reported: string
  #expiry: Timer | null = null
  /** When the last report is no longer valid; a later expiry is grace. */
  #validUntilMs: number
  #keptAtMs = Number.NEGATIVE_INFINITY

  /**
   * @param options `reported`: output of the last report, or of its expiry, "" if there was none; `restMs`: how long a report to an earlier agent is still
   * valid; a whole TTL if absent
   * @param collaborators `onReport`: a report that should outlive this process
   */
  constructor(
    options: { readonly ttlMs: number; readonly reported: string; readonly restMs?: number },
    collaborators: { readonly state: CheckState; readonly timers: Timers; readonly onReport: () => void },
  ) {
    this.#ttlMs = options.ttlMs
    this.#reported = beforeExpiry(options.reported)
    this.#state = collaborators.state
    this.#timers = collaborators.timers
    this.#onReport = collaborators.onReport
    this.#validUntilMs = this.#timers.now() + Math.min(options.restMs ?? this.#ttlMs, this.#ttlMs)
  }

  /** Milliseconds until its last report is no longer valid; 0 if it is not. */
  get restMs(): number {
    return Math.max(0, this.#validUntilMs - this.#timers.now())
  }

  start(): void {
    // It expired before this process began, and is shown as that.
    if (this.restMs === 0) return
    this.#arm(Math.max(this.restMs, Math.min(this.#ttlMs, RESTART_GRACE_MS)))
  }

  stop(): void {
    this.#expiry?.cancel()
    this.#expiry = null
  }

  /** Takes a report; with `running` the TTL begins anew. */
  report(status: CheckStatus, output: string, running: boolean): void {
    this.#reported = cutOutput(output, this.#state.definition.outputMax)
    const nowMs = this.#timers.now()
    this.#validUntilMs = nowMs + this.#ttlMs
    this.#state.apply({ status, output })
    if (!running) return
    this.#arm(this.#ttlMs)
    const keepMs = Math.min(Math.max(this.#ttlMs * KEEP_SHARE, KEEP_MS_MIN), KEEP_MS_MAX)
    if (nowMs - this.#keptAtMs < keepMs) return
    this.#keptAtMs = nowMs
    this.#onReport()
  }

  #arm(restMs: number): void {
    this.#expiry?.cancel()
    this.#expiry = countdown(this.#timers, restMs, this.#ttlMs / SLICES, () => {
      this.#expiry = null
      this.#state.apply({ status: 'critical', output: expiredText(this.#reported) })
    })
  }
}

const EXPIRED = 'TTL expired'
const EXPIRED_WITH = `${EXPIRED} (last output before timeout follows): `

/** Output of a ttl check that expired, in Consul's words. @param reported output of its last report */
export function expiredText(reported: string): string {
  return reported === '' ? EXPIRED : EXPIRED_WITH + reported
}

/** The last report in an output that may be that of a check that expired. */
function beforeExpiry(output: string): string {
  if (output === EXPIRED) return ''
  return output.startsWith(EXPIRED_WITH) ? output.slice(EXPIRED_WITH.length) : output
}
