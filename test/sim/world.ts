import { type Action, EventQueue } from './event-queue.ts'
import type { SimOptions } from './options.ts'
import { Random } from './random.ts'
import { Trace } from './trace.ts'

/** A violated property of the system under simulation. */
export class SimFailure extends Error {
  /** Short name of the property. */
  readonly property: string

  constructor(property: string, detail: string, options?: ErrorOptions) {
    super(`${property}: ${detail}`, options)
    this.name = 'SimFailure'
    this.property = property
  }
}

/** Throws SimFailure unless `condition` holds. The detail is made only when it is needed. */
export function check(condition: boolean, property: string, detail: () => string): asserts condition {
  if (!condition) throw new SimFailure(property, detail())
}

/** Time, chance, trace and counters of one simulation. Times are virtual milliseconds. */
export class World {
  now = 0
  readonly options: SimOptions
  readonly random: Random
  readonly trace: Trace
  /** How often each fault or rare event happened. */
  readonly coverage = new Map<string, number>()
  /** False once the run has entered its healed phase. */
  faulty = true
  readonly #queue = new EventQueue()

  constructor(options: SimOptions, print: ((line: string) => void) | null) {
    this.options = options
    this.random = new Random(options.seed ^ 0x5eed)
    this.trace = new Trace(print)
  }

  /** Runs `run` after `delayMs`. */
  after(delayMs: number, run: Action): void {
    this.#queue.push(this.now + delayMs, run)
  }

  count(event: string): void {
    this.coverage.set(event, (this.coverage.get(event) ?? 0) + 1)
  }

  log(node: string, event: string, ...values: (number | string)[]): void {
    this.trace.add(this.now, node, event, ...values)
  }

  /** Lets everything happen that is due up to `until`. */
  async runUntil(until: number): Promise<void> {
    while (this.#queue.nextAt <= until) {
      const event = this.#queue.pop()
      if (event === undefined) break
      this.now = event.at
      const done = event.run()
      if (done !== undefined) await done
    }
    this.now = until
  }
}
