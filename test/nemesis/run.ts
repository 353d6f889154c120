import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Random } from '../sim/random.ts'
import { mountSmallDisk, type SmallDisk } from '../small-disk.ts'
import { NemesisError } from './errors.ts'
import type { Fault } from './fault.ts'
import { Leadership } from './leadership.ts'
import { LeaseObserver } from './lease-observer.ts'
import { addCounts, LOCK_SETTINGS, type LockCounts, noCounts } from './lock-workload.ts'
import { makeFolder, Nodes, type Program, removeFolder } from './nodes.ts'
import { type RoundResult, runRound } from './round.ts'

/** What to do. */
export interface RunOptions {
  readonly nodes: number
  readonly faults: readonly Fault[]
  readonly program: Program
  /** Settings of every agent, as variables of its environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly seed: number
  /** How long rounds are begun. */
  readonly ms: number
  /** One line for people, now and then. */
  readonly tell: (line: string) => void
  /** Ends the run early, with its result so far. */
  readonly signal: AbortSignal
  /** Keep folder and logs although all went well. */
  readonly keep?: boolean
}

/** How often a fault happened and how often it was seen to have its effect. */
export interface FaultCount {
  readonly name: string
  times: number
  seen: number
  /** What it did the last time. */
  last: string
}

/** Everything a run says about itself. */
export interface RunResult {
  readonly nodes: number
  readonly seed: number
  readonly passed: boolean
  readonly seconds: number
  readonly rounds: number
  readonly faults: readonly FaultCount[]
  /** Faults that were asked for and cannot happen here, with the reason. */
  readonly skipped: readonly string[]
  readonly operations: { ok: number; failed: number; unknown: number }
  readonly keys: number
  readonly watchAnswers: number
  readonly leases: { looks: number; tokens: number; writes: number; refused: number }
  readonly locks: LockCounts
  /** Refusals and errors that clients met, by their text. */
  readonly answers: Readonly<Record<string, number>>
  readonly problems: readonly string[]
  /** Histories and logs, if something was wrong. */
  readonly folder: string | null
}

const DISK_MB = 64
const OVERLAP = 0.25
const PROGRESS_MS = 60_000
const FATAL_LEVEL = 60

/** What ends with this process, however that ends. */
const open = new Set<{ nodes: Nodes | null; disk: SmallDisk | null }>()

/** Kills every agent and removes every disk of runs that have not ended. */
export function endEverything(): void {
  for (const { nodes, disk } of open) {
    nodes?.killNow()
    disk?.remove()
  }
  open.clear()
}

/**
 * Runs one cluster under a sequence of faults drawn from the seed until the time is over or something is wrong. Every
 * fault that can happen here must have been seen to have its effect at least once, or the run has failed: `ms` is
 * exceeded as far as that needs.
 */
export async function runNemesis(options: RunOptions): Promise<RunResult> {
  const folder = makeFolder()
  const owned: { nodes: Nodes | null; disk: SmallDisk | null } = { nodes: null, disk: null }
  open.add(owned)
  try {
    const disk = options.faults.some(({ name }) => name === 'disk-full') ? mountSmallDisk(DISK_MB) : null
    owned.disk = typeof disk === 'string' ? null : disk
    if (typeof disk === 'string') options.tell(disk)
    const random = new Random(options.seed)
    const { nodes: count, program, env = {} } = options
    const settings = { ...LOCK_SETTINGS, ...env }
    owned.nodes = await Nodes.create({ count, program, env: settings, folder, disk: owned.disk, random })
    const result = await new Run(options, owned.nodes, owned.disk, random, folder).run()
    if (result.passed && options.keep !== true) removeFolder(folder)
    return result
  } finally {
    await owned.nodes?.close()
    // An agent may still have had files open on it.
    owned.disk?.remove()
    open.delete(owned)
  }
}

class Run {
  readonly #options: RunOptions
  readonly #nodes: Nodes
  readonly #disk: SmallDisk | null
  readonly #random: Random
  readonly #folder: string
  readonly #problems: string[] = []
  readonly #faults: readonly Fault[]
  readonly #skipped: string[] = []
  readonly #counts = new Map<string, FaultCount>()
  readonly #operations = { ok: 0, failed: 0, unknown: 0 }
  readonly #answers = new Map<string, number>()
  readonly #locks = noCounts()
  #rounds = 0
  #keys = 0
  #watchAnswers = 0
  #deck: Fault[] = []
  readonly #began = performance.now()

  constructor(options: RunOptions, nodes: Nodes, disk: SmallDisk | null, random: Random, folder: string) {
    this.#options = options
    this.#nodes = nodes
    this.#disk = disk
    this.#random = random
    this.#folder = folder
    const possible: Fault[] = []
    for (const fault of options.faults) {
      const reason = fault.unavailable?.({ nodes, random, disk }) ?? null
      if (reason === null) possible.push(fault)
      else this.#skipped.push(`${fault.name}: ${reason}`)
    }
    this.#faults = possible
    for (const { name } of possible) this.#counts.set(name, { name, times: 0, seen: 0, last: '' })
  }

  async run(): Promise<RunResult> {
    const { tell, signal, ms } = this.#options
    if (this.#faults.length === 0) throw new NemesisError('NEM_USAGE', 'none of these faults can happen here')
    await this.#nodes.start()
    tell(`${this.#nodes.places.length} nodes are ready after ${this.#seconds()} s; files in ${this.#folder}`)
    const leases = new LeaseObserver(this.#nodes.places)
    const leadership = new Leadership(this.#nodes)
    const progress = setInterval(() => tell(this.#progressLine()), PROGRESS_MS)
    try {
      while (this.#problems.length === 0 && !signal.aborted) {
        const isOver = performance.now() - this.#began > ms
        if (isOver && [...this.#counts.values()].every(({ seen }) => seen > 0)) break
        await this.#round(leadership)
        this.#problems.push(...leases.check())
        this.#problems.push(...this.#nodes.crashes.map(({ node, how }) => `${node} ended by itself: ${how}`))
      }
    } finally {
      clearInterval(progress)
      await Promise.all([leases.stop(), leadership.stop()])
    }
    if (signal.aborted) this.#problems.push('stopped before its time')
    this.#judge()
    const { looks, writes, refused } = leases.counts
    return {
      nodes: this.#nodes.places.length,
      seed: this.#options.seed,
      passed: this.#problems.length === 0,
      seconds: this.#seconds(),
      rounds: this.#rounds,
      faults: [...this.#counts.values()],
      skipped: this.#skipped,
      operations: this.#operations,
      keys: this.#keys,
      watchAnswers: this.#watchAnswers,
      leases: { looks, tokens: leases.tokens, writes, refused },
      locks: this.#locks,
      answers: Object.fromEntries([...this.#answers].sort(([, a], [, b]) => b - a)),
      problems: this.#problems,
      folder: this.#problems.length === 0 && this.#options.keep !== true ? null : this.#folder,
    }
  }

  /** What only shows at the end: faults nobody saw, and what the agents themselves call fatal. */
  #judge(): void {
    if (this.#problems.length > 0) return
    for (const { name, seen } of this.#counts.values())
      if (seen === 0) this.#problems.push(`${name} never happened`)
    for (const { agent } of this.#nodes.places) {
      const fatal = agent.log().find(({ level }) => level >= FATAL_LEVEL)
      if (fatal !== undefined) this.#problems.push(`${agent.name} logged: ${fatal.msg}`)
    }
  }

  async #round(leadership: Leadership): Promise<void> {
    const faults = this.#draw()
    const name = `round-${String(++this.#rounds).padStart(4, '0')}`
    const context = { nodes: this.#nodes, random: this.#random, disk: this.#disk, leadership }
    const result = await runRound(context, name, faults)
    this.#add(result)
    if (result.problems.length === 0) return
    this.#problems.push(
      ...result.problems.map((problem) => `${name} (${result.faults.join(' + ')}): ${problem}`),
    )
    // Before the folder is looked at, what was seen is in it.
    writeFileSync(join(this.#folder, `${name}.json`), JSON.stringify(result.history, null, 1))
  }

  /** Every fault comes once before any comes again; sometimes one of the links comes on top. */
  #draw(): Fault[] {
    if (this.#deck.length === 0) this.#deck = this.#random.shuffle(this.#faults)
    const fault = this.#deck.pop()
    if (fault === undefined) return []
    const extra = this.#faults.filter(
      ({ name, isBackground }) => isBackground === true && name !== fault.name,
    )
    const isMixed = extra.length > 0 && this.#random.chance(OVERLAP)
    return isMixed ? [fault, this.#random.pick(extra)] : [fault]
  }

  #add({ faults, evidence, counts, locks, keys, watchAnswers, notes }: RoundResult): void {
    for (const name of faults) {
      const count = this.#counts.get(name)
      if (count === undefined) continue
      count.times++
      const seen = evidence.find((line) => line.startsWith(`${name}: `))
      if (seen === undefined) continue
      count.seen++
      count.last = seen.slice(name.length + 2)
    }
    this.#operations.ok += counts.ok
    this.#operations.failed += counts.failed
    this.#operations.unknown += counts.unknown
    addCounts(this.#locks, locks)
    this.#keys += keys
    this.#watchAnswers += watchAnswers
    for (const [note, times] of notes) this.#answers.set(note, (this.#answers.get(note) ?? 0) + times)
    for (const line of evidence) this.#options.tell(`  ${this.#seconds()} s ${line}`)
  }

  #seconds(): number {
    return Math.round((performance.now() - this.#began) / 1000)
  }

  #progressLine(): string {
    const { ok, failed, unknown } = this.#operations
    return `${this.#seconds()} s: ${this.#rounds} rounds, ${ok} operations ok, ${failed} failed, ${unknown} unknown, ${this.#keys} keys checked`
  }
}
