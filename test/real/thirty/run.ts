import { Burn } from './burn.ts'
import { Fleet, type FleetOptions } from './fleet.ts'
import type { Step } from './steps.ts'

/** What to do with a fleet. */
export interface RunOptions extends FleetOptions {
  readonly steps: readonly Step[]
  readonly repetitions: number
  /** Percent of the packets between agents. */
  readonly lossPercent: number
  /** Processes that take all the CPU they get meanwhile. */
  readonly burn: number
  readonly patienceMs: number
  /** Steps between the first and the last are done again until this is over. */
  readonly ms: number
  readonly tell: (line: string) => void
  readonly signal: AbortSignal
  readonly keep: boolean
}

/** What a run saw. */
export interface RunResult {
  readonly nodes: number
  readonly network: string
  readonly lossPercent: number
  readonly burn: number
  readonly passed: boolean
  readonly seconds: number
  readonly rounds: number
  readonly packetsLost: number
  /** Durations in ms by what was measured, in the order in which they first came. */
  readonly measured: Readonly<Record<string, readonly number[]>>
  readonly falseDeaths: readonly string[]
  readonly problems: readonly string[]
  /** Logs and data, if they were kept. */
  readonly folder: string | null
}

interface Owned {
  readonly fleet: Fleet
  readonly burn: Burn | null
}

const open = new Set<Owned>()

/** Has these end with this process, however that ends, until the function it answers is called. */
export function track(owned: Owned): () => void {
  open.add(owned)
  return () => open.delete(owned)
}

/** Kills every process of runs that have not ended. */
export function endEverything(): void {
  for (const { fleet, burn } of open) {
    fleet.killNow()
    burn?.stop()
  }
  open.clear()
}

/** Runs the steps: the first, then those between again and again until the time is over, then the last. Stops at the first that fails. */
export async function runFleet(options: RunOptions): Promise<RunResult> {
  const { count, steps, lossPercent, tell, signal } = options
  const fleet = await Fleet.create(options)
  const burn = options.burn > 0 ? new Burn(options.burn) : null
  const untrack = track({ fleet, burn })
  const began = performance.now()
  const seconds = (): number => Math.round((performance.now() - began) / 1000)
  const measured = new Map<string, number[]>()
  const problems: string[] = []
  const look = setInterval(() => fleet.verdicts.read(), 1000)
  let rounds = 0
  const run = async (step: Step): Promise<void> => {
    if (problems.length > 0 || signal.aborted) return
    const from = performance.now()
    try {
      await step.run({
        fleet,
        repetitions: options.repetitions,
        patienceMs: options.patienceMs,
        measure: (what, durations) => measured.set(what, [...(measured.get(what) ?? []), ...durations]),
      })
    } catch (error) {
      problems.push(`${step.name}: ${(error as Error).message}`)
    }
    for (const death of fleet.falseDeaths())
      if (!problems.includes(death)) problems.push(`${step.name}: ${death}`)
    problems.push(...fleet.crashes)
    const result = problems.length === 0 ? '' : `: ${problems.length} problems`
    tell(`${seconds()} s ${step.name} took ${((performance.now() - from) / 1000).toFixed(1)} s${result}`)
  }
  let packetsLost = 0
  try {
    if (lossPercent > 0) await fleet.fabric.lose(lossPercent)
    tell(`${count} agents, ${fleet.fabric.title}; files in ${fleet.folder}`)
    const [first, ...others] = steps
    const last = others.pop()
    if (first !== undefined) await run(first)
    do {
      for (const step of others) await run(step)
      rounds++
    } while (performance.now() - began < options.ms && problems.length === 0 && !signal.aborted)
    if (last !== undefined) await run(last)
    packetsLost = await fleet.fabric.lost()
  } finally {
    clearInterval(look)
    burn?.stop()
    untrack()
  }
  if (signal.aborted) problems.push('stopped before its time')
  const falseDeaths = fleet.falseDeaths()
  const keep = options.keep || problems.length > 0
  await fleet.close(keep)
  return {
    nodes: count,
    network: fleet.fabric.title,
    lossPercent,
    burn: options.burn,
    passed: problems.length === 0,
    seconds: seconds(),
    rounds,
    packetsLost,
    measured: Object.fromEntries(measured),
    falseDeaths,
    problems,
    folder: keep ? fleet.folder : null,
  }
}
