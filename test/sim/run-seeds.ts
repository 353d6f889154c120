import { Worker } from 'node:worker_threads'
import { type SimResult, simulate } from './simulation.ts'

/** Sums over many runs. */
export interface Totals {
  readonly runs: number
  /** In the order of their seeds. */
  readonly failures: readonly SimResult[]
  readonly coverage: ReadonlyMap<string, number>
  readonly virtualMs: number
  readonly acknowledgedWrites: number
  readonly answeredReads: number
  /** Every seed below it has been run: where to go on after an interruption. */
  readonly nextSeed: number
}

/** How seeds are run. */
export interface RunOptions {
  readonly first: number
  readonly count: number
  /** Threads. With one, everything happens in this one. */
  readonly jobs: number
  /** Hears of each run and answers whether to go on. Those under way are finished. */
  readonly onRun: (result: SimResult, totals: Totals) => boolean
  /** Gets every trace line, with one job only. */
  readonly print?: ((line: string) => void) | null
}

/** Adds up what the runs came to. */
class Tally {
  #totals: Totals
  readonly #coverage = new Map<string, number>()
  readonly #ahead = new Set<number>()

  constructor(first: number) {
    this.#totals = {
      runs: 0,
      failures: [],
      coverage: this.#coverage,
      virtualMs: 0,
      acknowledgedWrites: 0,
      answeredReads: 0,
      nextSeed: first,
    }
  }

  get totals(): Totals {
    return this.#totals
  }

  add(result: SimResult): Totals {
    const { runs, virtualMs, acknowledgedWrites, answeredReads, failures } = this.#totals
    for (const [event, times] of result.coverage)
      this.#coverage.set(event, (this.#coverage.get(event) ?? 0) + times)
    this.#ahead.add(result.seed)
    let { nextSeed } = this.#totals
    while (this.#ahead.delete(nextSeed)) nextSeed++
    this.#totals = {
      runs: runs + 1,
      failures: result.failure === null ? failures : [...failures, result].sort((a, b) => a.seed - b.seed),
      coverage: this.#coverage,
      virtualMs: virtualMs + result.virtualMs,
      acknowledgedWrites: acknowledgedWrites + result.acknowledgedWrites,
      answeredReads: answeredReads + result.answeredReads,
      nextSeed,
    }
    return this.#totals
  }
}

/** Runs seeds, on threads if wanted. Rejects if the simulator itself breaks, which says nothing of what it simulates. */
export async function runSeeds(options: RunOptions): Promise<Totals> {
  const { first, count, jobs, onRun, print = null } = options
  const tally = new Tally(first)
  let next = first
  let goesOn = true
  const take = () => (goesOn && next < first + count ? next++ : undefined)
  const done = (result: SimResult) => {
    goesOn = onRun(result, tally.add(result)) && goesOn
  }
  if (jobs === 1) {
    for (let seed = take(); seed !== undefined; seed = take()) done(await simulate(seed, print))
  } else {
    const threads = Math.min(jobs, count)
    await Promise.all(Array.from({ length: threads }, () => runThread(take, done)))
  }
  return tally.totals
}

async function runThread(take: () => number | undefined, done: (result: SimResult) => void): Promise<void> {
  const worker = new Worker(new URL('./seed-worker.ts', import.meta.url))
  try {
    for (let seed = take(); seed !== undefined; seed = take()) {
      const { promise, resolve, reject } = Promise.withResolvers<SimResult>()
      worker.once('message', resolve).once('error', reject)
      worker.postMessage(seed)
      done(await promise)
      worker.off('error', reject)
    }
  } finally {
    await worker.terminate()
  }
}

/** What somebody needs who has to find out why a run failed. */
export function failureReport({ seed, failure, lastLines }: SimResult, mutant: string | undefined): string {
  const flags = mutant === undefined ? '' : ` --mutant ${mutant}`
  return [
    ...lastLines,
    '',
    `seed ${seed} failed: ${failure?.message}`,
    `replay: ${replayCommand(seed)}${flags}`,
  ].join('\n')
}

/** The command that shows the whole of a run. */
export function replayCommand(seed: number): string {
  return `npm run sim -- --seed ${seed} --trace`
}
