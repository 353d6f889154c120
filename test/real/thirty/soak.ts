import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { AgentProcess } from '../agent-process.ts'
import { Churn, type ChurnCounts } from './churn.ts'
import { Fleet, type FleetOptions } from './fleet.ts'
import { type Resources, resourcesOf } from './resources.ts'
import { track } from './run.ts'
import { isFlat, type Slope, slopeOf } from './slope.ts'
import { STEPS } from './steps.ts'

/** What to watch, for how long. */
export interface SoakOptions extends Omit<FleetOptions, 'program'> {
  readonly executable: string
  readonly ms: number
  readonly sampleMs: number
  readonly seed: number
  readonly patienceMs: number
  readonly tell: (line: string) => void
  readonly signal: AbortSignal
  readonly keep: boolean
}

/** What a soak saw. */
export interface SoakResult {
  readonly nodes: number
  readonly passed: boolean
  readonly minutes: number
  readonly churn: ChurnCounts
  /** Samples of each agent that was not restarted: [minutes, what it held]. */
  readonly samples: Readonly<Record<string, readonly (readonly [number, Resources])[]>>
  /** By agent and resource, after the warm-up. */
  readonly slopes: Readonly<Record<string, Readonly<Record<string, Slope>>>>
  readonly falseDeaths: readonly string[]
  readonly problems: readonly string[]
  readonly folder: string | null
}

/** Share of the time after which what is held should have settled. */
const WARM_UP = 0.25
const RISE_SHARE = 0.05
/** From this length on, everything that can happen must have happened. */
const FULL_MS = 5 * 60_000
/** A rise below this is none: bytes, or counts. */
const OBJECTS = 'objectBytes'
const LEAST: Readonly<Record<string, number>> = {
  [OBJECTS]: 1 << 20,
  fds: 3,
  sockets: 3,
  timers: 3,
  streams: 3,
}

/**
 * What an entry of the log, and the change of a key that is remembered with it, take in the heap: 735 bytes were measured with small
 * values, 650 are in a snapshot of the heap. Both are bounded, but grow for longer than a soak takes, so the heap is judged without.
 */
const LOG_ENTRY_BYTES = 700

/** Agents that collect their garbage when they are asked to. */
export function collecting(executable: string): Required<Pick<FleetOptions, 'program' | 'env'>> {
  const collect = join(import.meta.dirname, 'collect.ts')
  return {
    program: { path: executable, args: [] },
    env: { NODE_OPTIONS: `--require ${JSON.stringify(collect)}` },
  }
}

/** Keeps a fleet busy and measures what the agents that are not restarted hold: after a warm-up it must not rise. */
export async function runSoak(options: SoakOptions): Promise<SoakResult> {
  const { tell, signal } = options
  const { program, env } = collecting(options.executable)
  const fleet = await Fleet.create({ ...options, program, env: { ...options.env, ...env } })
  const untrack = track({ fleet, burn: null })
  let began = performance.now()
  const minutes = (): number => (performance.now() - began) / 60_000
  // The founders are left alone, so that there is a leader all the time, and one that joined.
  const restarted = fleet.agents.slice(4)
  const watched = fleet.agents.slice(0, 4)
  const samples = new Map(watched.map(({ name }) => [name, [] as [number, Resources][]]))
  const problems: string[] = []
  const churn = new Churn(fleet, restarted, options.seed)
  try {
    const [join_] = STEPS
    await join_?.run({ fleet, repetitions: 1, patienceMs: options.patienceMs, measure: () => {} })
    began = performance.now()
    churn.start()
    while (performance.now() - began < options.ms && !signal.aborted && fleet.crashes.length === 0) {
      await delay(options.sampleMs, null, { signal }).catch(() => null)
      await sample(watched, samples, minutes())
      tell(line(minutes(), samples, churn.counts))
    }
    await churn.stop()
  } catch (error) {
    problems.push((error as Error).message)
  } finally {
    untrack()
  }
  const slopes = slopesOf(samples, options.ms / 60_000)
  problems.push(
    ...fleet.crashes,
    ...fleet.falseDeaths(),
    ...rises(slopes),
    ...undone(churn.counts, options.ms),
  )
  if (signal.aborted) problems.push('stopped before its time')
  const keep = options.keep || problems.length > 0
  const falseDeaths = fleet.falseDeaths()
  await churn.stop()
  await fleet.close(keep)
  return {
    nodes: options.count,
    passed: problems.length === 0,
    minutes: Math.round(minutes() * 10) / 10,
    churn: churn.counts,
    samples: Object.fromEntries(samples),
    slopes,
    falseDeaths,
    problems,
    folder: keep ? fleet.folder : null,
  }
}

async function sample(
  agents: readonly AgentProcess[],
  samples: ReadonlyMap<string, [number, Resources][]>,
  at: number,
): Promise<void> {
  for (const agent of agents) samples.get(agent.name)?.push([at, await resourcesOf(agent)])
}

function slopesOf(
  samples: ReadonlyMap<string, readonly (readonly [number, Resources])[]>,
  minutes: number,
): Readonly<Record<string, Record<string, Slope>>> {
  return Object.fromEntries(
    [...samples].map(([name, all]) => {
      const settled = all.filter(([at]) => at >= minutes * WARM_UP)
      const keys = Object.keys(all[0]?.[1] ?? {}) as (keyof Resources)[]
      return [
        name,
        Object.fromEntries([
          ...keys.map((key) => [key, slopeOf(settled.map(([at, held]) => [at, held[key]] as const))]),
          [OBJECTS, slopeOf(settled.map(([at, held]) => [at, objectBytes(held)] as const))],
        ]),
      ]
    }),
  )
}

/** The heap without compiled code and without the log. */
function objectBytes({ heapBytes, codeBytes, logEntries }: Resources): number {
  return heapBytes - codeBytes - logEntries * LOG_ENTRY_BYTES
}

function rises(slopes: SoakResult['slopes']): readonly string[] {
  return Object.entries(slopes).flatMap(([name, of]) =>
    Object.entries(LEAST).flatMap(([key, least]) => {
      const slope = of[key]
      if (slope === undefined || isFlat(slope, RISE_SHARE, least)) return []
      return [
        `${key} of ${name} rises: by ${Math.round(slope.rise)}, mean ${Math.round(slope.mean)}, ${slope.significance.toFixed(1)} standard errors`,
      ]
    }),
  )
}

/** A soak in which something never happened says nothing about it. */
function undone(counts: ChurnCounts, ms: number): readonly string[] {
  if (ms < FULL_MS) return []
  const { refused: _, ...wanted } = counts
  return Object.entries(wanted).flatMap(([what, count]) => (count > 0 ? [] : [`no ${what} in all that time`]))
}

function line(
  at: number,
  samples: ReadonlyMap<string, readonly (readonly [number, Resources])[]>,
  counts: ChurnCounts,
): string {
  const held = [...samples].map(([name, all]) => {
    const { heapBytes, fds, timers, streams } = all.at(-1)?.[1] ?? {
      heapBytes: 0,
      fds: 0,
      timers: 0,
      streams: 0,
    }
    return `${name} ${(heapBytes / 2 ** 20).toFixed(1)} MiB ${fds} fds ${streams} streams ${timers} timers`
  })
  return `${at.toFixed(1)} min: ${held.join('; ')}; ${counts.changes} changes, ${counts.answers} answers, ${counts.restarts} restarts, ${counts.refused} refused`
}

/** A soak for people. */
export function soakText(result: SoakResult): string {
  const { nodes, minutes, churn, slopes } = result
  const rows = Object.entries(slopes).flatMap(([name, of]) =>
    Object.entries(of).map(([key, { mean, rise, significance }]) => {
      const isBytes = key.endsWith('Bytes')
      const number = (value: number): string =>
        isBytes ? `${(value / 2 ** 20).toFixed(2)} MiB` : value.toFixed(1)
      return `${name.padEnd(5)}${key.padEnd(15)}${number(mean).padStart(12)}${number(rise).padStart(12)}${significance.toFixed(1).padStart(8)}`
    }),
  )
  return [
    `${nodes} agents, ${minutes} minutes; ${Object.entries(churn)
      .map(([what, count]) => `${count} ${what}`)
      .join(', ')}`,
    `${'node'.padEnd(5)}${'what'.padEnd(15)}${'mean'.padStart(12)}${'rise'.padStart(12)}${'errors'.padStart(8)}`,
    ...rows,
    `false deaths: ${result.falseDeaths.length}`,
    ...result.problems.map((problem) => `WRONG ${problem}`),
    ...(result.folder === null ? [] : [`files: ${result.folder}`]),
    result.passed ? 'passed' : 'FAILED',
  ].join('\n')
}
