import type { CheckStatus } from '../catalog/types.ts'
import type { CheckState } from './check-state.ts'
import { countdown } from './countdown.ts'
import { cutOutput } from './probe.ts'
import type { Timer, Timers } from './timers.ts'

/** How many parts a TTL is counted down in: a stall of this process costs a program at most one of them. */
const SLICES = 4

/** A check that its program reports to; critical when no report has come for the TTL. */
export class TtlCheck {
  readonly #ttlMs: number
  readonly #state: CheckState
  readonly #timers: Timers
  #reported: string
  #expiry: Timer | null = null
  #armedAtMs = 0

  /** @param reported output of the last report, "" if there was none */
  constructor(
    options: { readonly ttlMs: number; readonly reported: string },
    collaborators: { readonly state: CheckState; readonly timers: Timers },
  ) {
    this.#ttlMs = options.ttlMs
    this.#reported = options.reported
    this.#state = collaborators.state
    this.#timers = collaborators.timers
  }

  /** Milliseconds until it expires; 0 if it has. */
  get restMs(): number {
    return this.#expiry === null ? 0 : Math.max(0, this.#armedAtMs + this.#ttlMs - this.#timers.now())
  }

  start(): void {
    this.#arm()
  }

  stop(): void {
    this.#expiry?.cancel()
    this.#expiry = null
  }

  /** Takes a report; with `running` the TTL begins anew. */
  report(status: CheckStatus, output: string, running: boolean): void {
    this.#reported = cutOutput(output, this.#state.definition.outputMax)
    this.#state.apply({ status, output })
    if (running) this.#arm()
  }

  #arm(): void {
    this.#expiry?.cancel()
    this.#armedAtMs = this.#timers.now()
    this.#expiry = countdown(this.#timers, this.#ttlMs, this.#ttlMs / SLICES, () => {
      this.#expiry = null
      this.#state.apply({ status: 'critical', output: expiredText(this.#reported) })
    })
  }
}

/** Output of a ttl check that expired, in Consul's words. @param reported output of its last report */
export function expiredText(reported: string): string {
  return reported === '' ? 'TTL expired' : `TTL expired (last output before timeout follows): ${reported}`
}
