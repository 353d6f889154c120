import type { Logger } from 'pino'
import type { Part } from './compose/parts.ts'

/**
 * How long there must be no reason to stand back before a node takes part again, in ms: the other cluster, which has taken over
 * meanwhile, has to see the same first.
 */
const AGAIN_MS = 30_000

/** Ends what only one node of one cluster may do while this node has to stand back, and begins it again afterwards. */
export class StandBack {
  readonly #parts: readonly Part[]
  readonly #log: Logger
  readonly #now: () => number
  #standsBack = false
  #reasonAt = Number.NEGATIVE_INFINITY
  #turning: Promise<void> | null = null
  #over = false

  /** @param parts run already, and may be stopped by others too. */
  constructor(parts: readonly Part[], { log, now }: { readonly log: Logger; readonly now: () => number }) {
    this.#parts = parts
    this.#log = log
    this.#now = now
  }

  /** Called again and again with whether there is a reason to stand back now. */
  check(hasReason: boolean): void {
    if (hasReason) this.#reasonAt = this.#now()
    const back = hasReason || (this.#standsBack && this.#now() - this.#reasonAt < AGAIN_MS)
    if (back === this.#standsBack || this.#turning !== null || this.#over) return
    this.#standsBack = back
    this.#turning = this.#turn(back).finally(() => {
      this.#turning = null
    })
  }

  /** Nothing is begun again from now on. */
  async stop(): Promise<void> {
    this.#over = true
    await this.#turning
  }

  async #turn(back: boolean): Promise<void> {
    if (!back) this.#log.info('no other cluster is in sight any more: this node may hold leases again')
    const turned = await Promise.allSettled(this.#parts.map((part) => (back ? part.stop() : part.start())))
    for (const result of turned) {
      if (result.status === 'rejected')
        this.#log.warn({ err: result.reason }, `standing back ${back ? 'failed' : 'could not be ended'}`)
    }
  }
}
