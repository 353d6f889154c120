import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { NemesisError } from './errors.ts'
import type { Fault } from './fault.ts'
import { FAULTS } from './faults.ts'
import type { Program } from './nodes.ts'
import { endEverything, type RunResult, runNemesis } from './run.ts'
import { resultText } from './table.ts'

const ROOT = resolve(import.meta.dirname, '../..')

const HELP = `Runs real agents on loopback under faults and checks everything that clients saw.

  npm run nemesis -- [options]

  --minutes M       how long, over all clusters (default 5)
  --nodes 3,5       sizes of the clusters, one after the other (default 3,5)
  --seed S          draws the faults (default 1); processes keep their own time, so a seed repeats the faults, not the run
  --faults a,b      only these (default all)
  --list-faults     print them
  --executable F    run this instead of agent/main.ts, such as dist/constellation
  --env NAME=VALUE  a setting for every agent, such as CONSTELLATION_CLUSTER_LEASE_READS=true; may be repeated
  --keep            keep logs although all went well
  --json            print the results as JSON
  --help            print this

Examples:
  npm run nemesis -- --minutes 30
  npm run nemesis -- --nodes 3 --minutes 1 --faults kill-leader,partition-leader
  npm run nemesis -- --executable dist/constellation --json > nemesis.json

Progress goes to standard error. Exit code 0: passed; 1: something is wrong, or a fault was not seen to have its
effect; the folder with logs and the history of the last round is printed. 64: wrong usage.
`

interface Settings {
  readonly minutes: number
  readonly sizes: readonly number[]
  readonly seed: number
  readonly faults: readonly Fault[]
  readonly program: Program
  readonly env: Readonly<Record<string, string>>
}

function usage(message: string): never {
  throw new NemesisError('NEM_USAGE', message)
}

function positive(text: string, flag: string): number {
  const number = Number(text)
  if (!(number > 0) || !Number.isFinite(number)) usage(`${flag} takes a number greater than 0, not ${text}`)
  return number
}

function setting(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) usage(`--env takes NAME=VALUE, not ${text}`)
  return [text.slice(0, at), text.slice(at + 1)]
}

function settingsOf(values: Values): Settings {
  const sizes = values.nodes.split(',').map((text) => positive(text, '--nodes'))
  // Faults count on every node being a voter: of four only three are, of seven only five.
  if (sizes.some((size) => size !== 3 && size !== 5)) usage('--nodes takes 3, 5 or both')
  const seed = Number(values.seed)
  if (!Number.isSafeInteger(seed)) usage('--seed takes a whole number')
  const names = values.faults?.split(',')
  const unknown = names?.filter((name) => !FAULTS.some((fault) => fault.name === name)) ?? []
  if (unknown.length > 0) usage(`no such fault: ${unknown.join(', ')}; see --list-faults`)
  const { executable } = values
  return {
    minutes: positive(values.minutes, '--minutes'),
    sizes,
    seed,
    faults: FAULTS.filter(({ name }) => names?.includes(name) ?? true),
    program:
      executable === undefined
        ? { path: process.execPath, args: [resolve(ROOT, 'agent/main.ts')] }
        : { path: resolve(executable), args: [] },
    env: Object.fromEntries(values.env.map(setting)),
  }
}

interface Values {
  readonly minutes: string
  readonly nodes: string
  readonly seed: string
  readonly faults?: string | undefined
  readonly executable?: string | undefined
  readonly env: readonly string[]
}

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: 'string', default: '5' },
      nodes: { type: 'string', default: '3,5' },
      seed: { type: 'string', default: '1' },
      faults: { type: 'string' },
      'list-faults': { type: 'boolean', default: false },
      executable: { type: 'string' },
      env: { type: 'string', multiple: true, default: [] },
      keep: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  if (values['list-faults']) {
    for (const { name, sentence } of FAULTS) process.stdout.write(`${name.padEnd(20)}${sentence}\n`)
    return 0
  }
  const { minutes, sizes, seed, faults, program, env } = settingsOf(values)
  const stop = new AbortController()
  // The first asks for an orderly end, which may have to wait for a round; the second does not wait.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(130)
      process.stderr.write(`${signal}: ending after this round; once more ends at once\n`)
      stop.abort()
    })
  }
  const results: RunResult[] = []
  for (const nodes of sizes) {
    const ms = (minutes * 60_000) / sizes.length
    const tell = (line: string) => process.stderr.write(`${line}\n`)
    const result = await runNemesis({
      nodes,
      faults,
      program,
      env,
      seed,
      ms,
      tell,
      signal: stop.signal,
      keep: values.keep,
    })
    results.push(result)
    if (!values.json) process.stdout.write(`${resultText(result)}\n\n`)
    if (!result.passed) break
  }
  if (values.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`)
  return results.every(({ passed }) => passed) ? 0 : 1
}

process.on('exit', endEverything)
try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const isUsage =
    error instanceof NemesisError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')
  process.stderr.write(`${isUsage ? (error as Error).message : (error as Error).stack}\n`)
  process.exitCode = isUsage ? 64 : 1
}
