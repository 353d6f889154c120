import type { Timer, Timers } from './timers.ts'

/** Bounds of the queue. */
export interface ProbeQueueOptions {
  /** Probes under way that answer quickly. Default 64. */
  readonly quickMax?: number
  /** Probes under way that are slow: they wait for a target and cost little else. Default 256. */
  readonly slowMax?: number
  /** A probe that takes longer is slow, and so is the next one of its check. Default 500. */
  readonly slowAfterMs?: number
}

/** One check's probes, as the queue sees them. */
export interface ProbeJob {
  /** What is probed: one target gets at most a quarter of the places. */
  readonly target: string
  /** One probe. Never rejects. */
  run(): Promise<void>
}

/** One target may take this share of a lane. */
const TARGET_SHARE = 1 / 4

/**
 * Bounds how many probes run at once so that slow targets delay no others. There are two lanes with places of their own. A
 * probe begins in the quick lane unless the last one of its check was slow; when it has run for `slowAfterMs` it moves on to the
 * slow lane. So hanging targets hold a quick place for half a second once, and after that wait only for each other. Within a
 * lane the order is that of arrival, but no target gets more than a quarter of it.
 */
export class ProbeQueue {
  readonly #timers: Timers
  readonly #slowAfterMs: number
  readonly #quick: Lane
  readonly #slow: Lane
  readonly #wasSlow = new WeakSet<ProbeJob>()

  constructor(options: ProbeQueueOptions, collaborators: { readonly timers: Timers }) {
    this.#timers = collaborators.timers
    this.#slowAfterMs = options.slowAfterMs ?? 500
    this.#quick = new Lane(options.quickMax ?? 64)
    this.#slow = new Lane(options.slowMax ?? 256)
  }

  /** Probes under way. */
  get running(): number {
    return this.#quick.busy + this.#slow.busy
  }

  /** Those of them that are slow. */
  get slow(): number {
    return this.#slow.busy
  }

  /** Probes that are due and have no place yet. A job waits at most once, so the number of checks bounds it. */
  get waiting(): number {
    return this.#quick.waiting.size + this.#slow.waiting.size
  }

  /** Runs the job when there is a place for it: at once, if there is one now. */
  add(job: ProbeJob): void {
    const lane = this.#wasSlow.has(job) ? this.#slow : this.#quick
    lane.waiting.add(job)
    this.#drain(lane)
  }

  /** Forgets a job that waits. One that runs is for the caller to end. */
  remove(job: ProbeJob): void {
    this.#quick.waiting.delete(job)
    this.#slow.waiting.delete(job)
  }

  #drain(lane: Lane): void {
    for (const job of lane.waiting) {
      if (lane.full) return
      if (lane.takes(job.target)) {
        lane.waiting.delete(job)
        void this.#run(job, lane)
      }
    }
  }

  async #run(job: ProbeJob, first: Lane): Promise<void> {
    let lane = first
    lane.enter(job.target)
    let slow = false
    const timer: Timer = this.#timers.after(this.#slowAfterMs, () => {
      slow = true
      // Without a place there it keeps the one it has: the sum of both is a bound that always holds.
      if (lane !== this.#quick || !this.#slow.takes(job.target)) return
      lane.leave(job.target)
      lane = this.#slow
      lane.enter(job.target)
      this.#drain(this.#quick)
    })
    try {
      await job.run()
    } finally {
      timer.cancel()
      lane.leave(job.target)
      if (slow) this.#wasSlow.add(job)
      else this.#wasSlow.delete(job)
      this.#drain(lane)
    }
  }
}

/** The places of one lane, and who waits for one. */
class Lane {
  readonly waiting = new Set<ProbeJob>()
  readonly #max: number
  readonly #targetMax: number
  readonly #byTarget = new Map<string, number>()
  busy = 0

  constructor(max: number) {
    this.#max = max
    this.#targetMax = Math.max(1, Math.ceil(max * TARGET_SHARE))
  }

  get full(): boolean {
    return this.busy >= this.#max
  }

  takes(target: string): boolean {
    return !this.full && (this.#byTarget.get(target) ?? 0) < this.#targetMax
  }

  enter(target: string): void {
    this.busy += 1
    this.#byTarget.set(target, (this.#byTarget.get(target) ?? 0) + 1)
  }

  leave(target: string): void {
    this.busy -= 1
    const left = (this.#byTarget.get(target) ?? 1) - 1
    if (left === 0) this.#byTarget.delete(target)
    else this.#byTarget.set(target, left)
  }
}
