import { parseArgs } from 'node:util'
import { runMutant } from './mutant-tree.ts'
import { mutants } from './mutants.ts'
import { failureReport, runSeeds } from './run-seeds.ts'

const HELP = `Simulates clusters of the consensus core under faults, one per seed.

  npm run sim -- [options]

  --seed S        first seed (default 1)
  --seeds N       how many seeds, one after the other (default 100; 1 with --trace)
  --trace         print every event
  --coverage      print how often each fault happened
  --keep-going    go on after a failure and count them
  --mutant NAME   run with this bug put into a copy of the sources
  --list-mutants  print the mutants
  --help          print this

Exit code 1 if a property was violated. The same seed gives the same run.
`

const PROGRESS_EVERY = 50

interface Flags {
  readonly trace: boolean
  readonly coverage: boolean
  readonly keepGoing: boolean
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function run(first: number, count: number, flags: Flags): Promise<boolean> {
  // Set for the child that runs a mutant, so that its replay command names it.
  const mutant = process.env.SIM_MUTANT
  const started = performance.now()
  const totals = await runSeeds(
    first,
    count,
    (result, { runs, failures, virtualMs, acknowledgedWrites }) => {
      const { seed, failure } = result
      if (failure !== null) {
        print(
          flags.keepGoing
            ? `seed ${seed} failed: ${failure.message.split('\n')[0]}`
            : failureReport(result, mutant),
        )
      }
      const goesOn = failure === null || flags.keepGoing
      if (!goesOn || runs === count || runs % PROGRESS_EVERY === 0) {
        const perSecond = (runs * 1000) / (performance.now() - started)
        const virtual = Math.round(virtualMs / 1000)
        print(
          `${runs} of ${count} seeds, ${perSecond.toFixed(1)} seeds/s, ${virtual} s of virtual time, ` +
            `${acknowledgedWrites} writes acknowledged, ${failures.length} failed`,
        )
      }
      return goesOn
    },
    flags.trace ? print : null,
  )
  if (flags.coverage) {
    for (const [event, times] of [...totals.coverage].sort()) print(`${String(times).padStart(9)}  ${event}`)
  }
  return totals.failures.length === 0
}

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: 'string', default: '1' },
      seeds: { type: 'string' },
      trace: { type: 'boolean', default: false },
      coverage: { type: 'boolean', default: false },
      'keep-going': { type: 'boolean', default: false },
      mutant: { type: 'string' },
      'list-mutants': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const { mutant, trace, coverage } = values
  if (values.help) {
    print(HELP)
    return 0
  }
  if (values['list-mutants']) {
    for (const { name, catalogue, sentence } of mutants)
      print(`${name.padEnd(34)}${catalogue.padEnd(5)}${sentence}`)
    return 0
  }
  const seed = Number(values.seed)
  const seeds = Number(values.seeds ?? (trace ? 1 : 100))
  if (!Number.isSafeInteger(seed) || seed < 0 || !Number.isSafeInteger(seeds) || seeds < 1) {
    print('--seed and --seeds are whole numbers')
    return 64
  }
  const keepGoing = values['keep-going']
  if (mutant === undefined) return (await run(seed, seeds, { trace, coverage, keepGoing })) ? 0 : 1
  const flags = [trace ? ['--trace'] : [], coverage ? ['--coverage'] : [], keepGoing ? ['--keep-going'] : []]
  const rest = ['--seed', String(seed), '--seeds', String(seeds), ...flags.flat()]
  return runMutant(mutant, rest, (text) => process.stdout.write(text))
}

process.exitCode = await main(process.argv.slice(2))
