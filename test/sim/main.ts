import { parseArgs } from 'node:util'
import { judgeAll, runMutant } from './mutant-tree.ts'
import { mutants } from './mutants/all.ts'
import type { FoundBy, Mutant } from './mutants/mutant.ts'
import { failureReport, replayCommand, runSeeds, type Totals } from './run-seeds.ts'

const HELP = `Simulates clusters of the consensus core under faults, one per seed. docs/simulation.md says what that means.

  npm run sim -- [options]

  --seed S        first seed (default 1)
  --seeds N       how many seeds (default 100; 1 with --trace)
  --jobs J        threads (default 1)
  --trace         print every event; one thread
  --coverage      print how often each fault happened
  --keep-going    go on after a failure and count them
  --json          print the summary as one JSON document
  --mutant NAME   run with this bug put into a copy of the sources
  --mutants [NAME …]
                  check that such bugs are found, all or those named, J at a time
  --list-mutants  print the bugs
  --help          print this

Examples:
  npm run sim -- --seeds 20000 --jobs 2 --keep-going    a long run; interrupted, it says where to go on
  npm run sim -- --seed 1363 --trace                    one run, event by event
  npm run sim -- --mutant commit-old-term --seeds 300   the bug is found

The summary goes to standard output, progress and failures to standard error. Exit code 1 if a property was violated (or,
with --mutants, a bug was not found), 64 for a wrong command line. The same seed gives the same run.
`

const PROGRESS_EVERY_MS = 5000

interface Flags {
  readonly first: number
  readonly count: number
  readonly jobs: number
  readonly trace: boolean
  readonly coverage: boolean
  readonly keepGoing: boolean
  readonly json: boolean
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** One line about what has been run. */
function sentence(totals: Totals, count: number, elapsedMs: number): string {
  const { runs, failures, virtualMs, acknowledgedWrites, answeredReads } = totals
  return (
    `${runs} of ${count} seeds, ${((runs * 1000) / elapsedMs).toFixed(1)} seeds/s, ` +
    `${Math.round(virtualMs / 1000)} s of virtual time, ${acknowledgedWrites} writes acknowledged, ` +
    `${answeredReads} reads answered, ${failures.length} failed`
  )
}

function document(totals: Totals, { first, count }: Flags, elapsedMs: number): string {
  const { failures, coverage, ...sums } = totals
  return JSON.stringify({
    first,
    count,
    ...sums,
    elapsedMs: Math.round(elapsedMs),
    failures: failures.map(({ seed, failure }) => ({ seed, ...failure, replay: replayCommand(seed) })),
    coverage: Object.fromEntries([...coverage].sort()),
  })
}

async function run(flags: Flags): Promise<boolean> {
  const { first, count, jobs, keepGoing } = flags
  // Set for the child that runs a mutant, so that its replay command names it.
  const mutant = process.env.SIM_MUTANT
  const started = performance.now()
  let toldAt = started
  let interrupted = false
  process.once('SIGINT', () => {
    interrupted = true
  })
  const totals = await runSeeds({
    first,
    count,
    jobs: flags.trace ? 1 : jobs,
    print: flags.trace ? print : null,
    onRun: (result, soFar) => {
      const { seed, failure } = result
      if (failure !== null)
        tell(
          keepGoing
            ? `seed ${seed} failed: ${failure.message.split('\n')[0]}`
            : failureReport(result, mutant),
        )
      const now = performance.now()
      if (now - toldAt > PROGRESS_EVERY_MS) {
        toldAt = now
        tell(sentence(soFar, count, now - started))
      }
      return !interrupted && (failure === null || keepGoing)
    },
  })
  const elapsedMs = performance.now() - started
  if (flags.json) print(document(totals, flags, elapsedMs))
  else print(sentence(totals, count, elapsedMs))
  if (flags.coverage && !flags.json)
    for (const [event, times] of [...totals.coverage].sort()) print(`${String(times).padStart(9)}  ${event}`)
  const rest = first + count - totals.nextSeed
  if (interrupted && rest > 0) tell(`interrupted; go on with --seed ${totals.nextSeed} --seeds ${rest}`)
  return totals.failures.length === 0 && !interrupted
}

function describe(foundBy: FoundBy): string {
  return 'test' in foundBy ? foundBy.test : `the simulator, within ${foundBy.seeds} seeds`
}

async function runMutants(list: readonly Mutant[], jobs: number): Promise<boolean> {
  let missed = 0
  await judgeAll(list, jobs, ({ mutant: { name, foundBy }, found, how, output }) => {
    if (!found) missed++
    print(`${found ? 'found' : 'MISSED'}  ${name.padEnd(34)}${found ? how.slice(0, 120) : describe(foundBy)}`)
    if (!found) tell(output.slice(-2000))
  })
  print(`${list.length - missed} of ${list.length} mutants found`)
  return missed === 0
}

function wholeNumber(text: string, least: number): number | null {
  const value = Number(text)
  return Number.isSafeInteger(value) && value >= least ? value : null
}

async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      seed: { type: 'string', default: '1' },
      seeds: { type: 'string' },
      jobs: { type: 'string', default: '1' },
      trace: { type: 'boolean', default: false },
      coverage: { type: 'boolean', default: false },
      'keep-going': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      mutant: { type: 'string' },
      mutants: { type: 'boolean', default: false },
      'list-mutants': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const { mutant, trace, coverage, json } = values
  if (values.help) {
    print(HELP)
    return 0
  }
  if (values['list-mutants']) {
    for (const { name, catalogue, sentence: wrong } of mutants)
      print(`${name.padEnd(34)}${catalogue.padEnd(5)}${wrong}`)
    return 0
  }
  const first = wholeNumber(values.seed, 0)
  const count = wholeNumber(values.seeds ?? (trace ? '1' : '100'), 1)
  const jobs = wholeNumber(values.jobs, 1)
  if (first === null || count === null || jobs === null) {
    tell('--seed, --seeds and --jobs are whole numbers')
    return 64
  }
  const named = values.mutants ? positionals : mutant === undefined ? [] : [mutant]
  const unknown = named.find((name) => !mutants.some((known) => known.name === name))
  if (unknown !== undefined) {
    tell(`there is no mutant ${unknown}; see --list-mutants`)
    return 64
  }
  if (values.mutants) {
    const list = mutants.filter(({ name }) => named.length === 0 || named.includes(name))
    return (await runMutants(list, jobs)) ? 0 : 1
  }
  if (positionals.length > 0) {
    tell(`unexpected ${positionals.join(' ')}; see --help`)
    return 64
  }
  const keepGoing = values['keep-going']
  if (mutant === undefined)
    return (await run({ first, count, jobs, trace, coverage, keepGoing, json })) ? 0 : 1
  const flags = Object.entries({ trace, coverage, 'keep-going': keepGoing, json })
    .filter(([, on]) => on)
    .map(([name]) => `--${name}`)
  const numbers = ['--seed', String(first), '--seeds', String(count), '--jobs', String(jobs)]
  return runMutant(mutant, [...numbers, ...flags], (text) => process.stdout.write(text))
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if ((error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') !== true) throw error
  tell((error as Error).message)
  process.exitCode = 64
}
