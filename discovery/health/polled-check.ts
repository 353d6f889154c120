import type { Logger } from 'pino'
import type { CheckStatus } from '../catalog/types.ts'
import type { CheckState } from './check-state.ts'
import { countdown } from './countdown.ts'
import { type ProbeLimits, type ProbeResult, ProbeTimeoutError, reason } from './probe.ts'
import type { ProbeJob, ProbeQueue } from './probe-queue.ts'
import { type Probe, probeTarget } from './prober.ts'
import { ThresholdCounter } from './thresholds.ts'
import type { Timer, Timers } from './timers.ts'
import type { PolledKind } from './types.ts'

/** What the polled checks share. `random` is in [0, 1). */
export interface PolledCheckCollaborators {
  readonly timers: Timers
  readonly random: () => number
  readonly queue: ProbeQueue
  readonly probe: Probe
  readonly log: Logger
  /** A run has ended. */
  readonly onRun: (type: PolledKind['type'], status: CheckStatus) => void
}

/** Consul's timeouts of checks that name none. */
const TIMEOUT_MS_DEFAULT = 10_000
const PROGRAM_TIMEOUT_MS_DEFAULT = 30_000
const INTERVAL_MS_MIN = 1_000
/** A run comes up to this share of its interval early or late, so that checks of one interval spread out. */
const JITTER = 0.1
const TIMEOUT_SLICE_MS = 250

/** Runs a check at once and then every interval. It never overlaps itself: the next run waits for the end of the last. */
export class PolledCheck implements ProbeJob {
  readonly target: string
  readonly #kind: PolledKind
  readonly #state: CheckState
  readonly #shared: PolledCheckCollaborators
  readonly #thresholds: ThresholdCounter
  #nextRun: Timer | null = null
  #probe: AbortController | null = null
  #stopped = false
  /** What the probe threw last: it is told once, not with every run. */
  #thrown: string | null = null

  constructor(kind: PolledKind, state: CheckState, collaborators: PolledCheckCollaborators) {
    this.target = probeTarget(kind)
    this.#kind = kind
    this.#state = state
    this.#shared = collaborators
    this.#thresholds = new ThresholdCounter(state.definition.thresholds)
  }

  start(): void {
    this.#shared.queue.add(this)
  }

  /** Ends the run that is under way; its result is dropped. */
  stop(): void {
    this.#stopped = true
    this.#nextRun?.cancel()
    this.#shared.queue.remove(this)
    this.#probe?.abort(new Error('the check was removed'))
  }

  async run(): Promise<void> {
    const { timers } = this.#shared
    const { intervalMs, timeoutMs, outputMax } = this.#state.definition
    const startedAtMs = timers.now()
    const limitMs = timeoutMs > 0 ? timeoutMs : defaultTimeoutMs(this.#kind)
    const controller = new AbortController()
    this.#probe = controller
    const timeout = countdown(timers, limitMs, TIMEOUT_SLICE_MS, () =>
      controller.abort(new ProbeTimeoutError(limitMs)),
    )
    const result = await this.#ask({ signal: controller.signal, timeoutMs: limitMs, outputMax })
    timeout.cancel()
    this.#probe = null
    if (this.#stopped) return
    this.#shared.onRun(this.#kind.type, result.status)
    const status = this.#thresholds.judge(result.status, this.#state.status)
    if (status !== null) this.#state.apply({ status, output: result.output })
    // Applying it may have ended this check: its service was critical for too long.
    if (this.#stopped) return
    const spread = 1 - JITTER + 2 * JITTER * this.#shared.random()
    const periodMs = Math.max(intervalMs, INTERVAL_MS_MIN) * spread
    const restMs = Math.max(periodMs - (timers.now() - startedAtMs), 0)
    this.#nextRun = timers.after(restMs, () => this.#shared.queue.add(this))
  }

  /** One probe. It does not throw; if one does all the same, that costs this run and not the agent. */
  async #ask(limits: ProbeLimits): Promise<ProbeResult> {
    try {
      const result = await this.#shared.probe(this.#kind, limits)
      this.#thrown = null
      return result
    } catch (error) {
      const text = reason(error)
      if (text !== this.#thrown) {
        this.#thrown = text
        this.#shared.log.error({ err: error, check: this.#state.definition.id }, 'a check could not be run')
      }
      return { status: 'critical', output: `the check could not be run: ${text}` }
    }
  }
}

/** What a check that names no timeout is given, in milliseconds. */
export function defaultTimeoutMs(kind: PolledKind): number {
  return kind.type === 'script' || kind.type === 'docker' ? PROGRAM_TIMEOUT_MS_DEFAULT : TIMEOUT_MS_DEFAULT
}
