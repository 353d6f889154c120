import { type SimResult, simulate } from './simulation.ts'

/** Sums over many runs. */
export interface Totals {
  readonly runs: number
  readonly failures: readonly SimResult[]
  readonly coverage: ReadonlyMap<string, number>
  readonly virtualMs: number
  readonly acknowledgedWrites: number
  readonly answeredReads: number
}

/**
 * Runs seeds one after the other. `onRun` hears of each and answers whether to go on; `print` gets every trace line.
 */
export async function runSeeds(
  first: number,
  count: number,
  onRun: (result: SimResult, totals: Totals) => boolean,
  print: ((line: string) => void) | null = null,
): Promise<Totals> {
  const failures: SimResult[] = []
  const coverage = new Map<string, number>()
  let totals: Totals = {
    runs: 0,
    failures,
    coverage,
    virtualMs: 0,
    acknowledgedWrites: 0,
    answeredReads: 0,
  }
  for (let seed = first; seed < first + count; seed++) {
    const result = await simulate(seed, print)
    for (const [event, times] of result.coverage) coverage.set(event, (coverage.get(event) ?? 0) + times)
    if (result.failure !== null) failures.push(result)
    totals = {
      runs: totals.runs + 1,
      failures,
      coverage,
      virtualMs: totals.virtualMs + result.virtualMs,
      acknowledgedWrites: totals.acknowledgedWrites + result.acknowledgedWrites,
      answeredReads: totals.answeredReads + result.answeredReads,
    }
    if (!onRun(result, totals)) break
  }
  return totals
}

/** What somebody needs who has to find out why a run failed. */
export function failureReport({ seed, failure, lastLines }: SimResult, mutant: string | undefined): string {
  const flags = mutant === undefined ? '' : ` --mutant ${mutant}`
  return [
    ...lastLines,
    '',
    `seed ${seed} failed: ${failure?.message}`,
    `replay: npm run sim -- --seed ${seed} --trace${flags}`,
  ].join('\n')
}
