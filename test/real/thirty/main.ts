import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { executable } from '../executable.ts'
import { enterNamespace, isInNamespace, namespacesUnavailable } from './namespaces.ts'
import { endEverything, runFleet } from './run.ts'
import { runSoak, soakText } from './soak.ts'
import { STEPS } from './steps.ts'
import { resultText } from './table.ts'

const HELP = `Runs many real agents on one machine and does to them what happens to a cluster: all nodes must agree in the end,
and nobody may call a node failed that runs and can be reached.

  npm run thirty -- [options]

  --nodes N         how many agents (default 30)
  --loss P          percent of the packets between agents that are lost (default 0; needs root)
  --burn N          processes that take all the CPU they get meanwhile (default 0)
  --minutes M       repeat the steps between the first and the last for so long (default 0: each once)
  --soak M          instead of the steps: for so many minutes services come and go, checks flap, clients wait, look up and write,
                    agents from the fifth on are restarted; what the first four hold after a collection must not rise
  --seed S          draws what happens in a soak (default 1)
  --repeat N        how often a step repeats what it measures (default 2)
  --only a,b        only these steps; join comes first and agree last in any case
  --list            print the steps
  --network KIND    namespaces (needs root, ip and nft) or loopback; default: namespaces where they work
  --patience S      longest wait for anything, in seconds (default 90)
  --executable F    the program (default dist/constellation, built if it is old)
  --env NAME=VALUE  a setting for every agent; may be repeated
  --keep            keep logs although all went well
  --json            print the result as JSON
  --help            print this

Examples:
  npm run thirty
  npm run thirty -- --nodes 10 --only kill,hang --repeat 5
  npm run thirty -- --loss 5 --burn 4
  npm run thirty -- --soak 30 --nodes 8
  npm run thirty -- --nodes 12 --network loopback --json > thirty.json

Progress goes to standard error. Exit code 0: passed; 1: something is wrong, and the folder with the logs is printed; 64: wrong usage.
`

const SAMPLE_MS = 60_000

class UsageError extends Error {}

function number(text: string, flag: string, min: number): number {
  const value = Number(text)
  if (!(value >= min) || !Number.isFinite(value))
    throw new UsageError(`${flag} takes a number from ${min} on, not ${text}`)
  return value
}

function setting(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw new UsageError(`--env takes NAME=VALUE, not ${text}`)
  return [text.slice(0, at), text.slice(at + 1)]
}

function chosenSteps(only: string | undefined) {
  const names = only?.split(',')
  const unknown = names?.filter((name) => !STEPS.some((step) => step.name === name)) ?? []
  if (unknown.length > 0) throw new UsageError(`no such step: ${unknown.join(', ')}; see --list`)
  return STEPS.filter(
    ({ name }) => names === undefined || name === 'join' || name === 'agree' || names.includes(name),
  )
}

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      nodes: { type: 'string', default: '30' },
      loss: { type: 'string', default: '0' },
      burn: { type: 'string', default: '0' },
      minutes: { type: 'string', default: '0' },
      soak: { type: 'string' },
      seed: { type: 'string', default: '1' },
      repeat: { type: 'string', default: '2' },
      only: { type: 'string' },
      list: { type: 'boolean', default: false },
      network: { type: 'string' },
      patience: { type: 'string', default: '90' },
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
  if (values.list) {
    for (const { name, sentence } of STEPS) process.stdout.write(`${name.padEnd(18)}${sentence}\n`)
    return 0
  }
  const unavailable = namespacesUnavailable()
  const network = values.network ?? (unavailable === null ? 'namespaces' : 'loopback')
  if (network !== 'namespaces' && network !== 'loopback')
    throw new UsageError(`--network takes namespaces or loopback, not ${network}`)
  const lossPercent = number(values.loss, '--loss', 0)
  if (network === 'namespaces' && unavailable !== null) throw new UsageError(`no namespaces: ${unavailable}`)
  if (network === 'loopback' && lossPercent > 0)
    throw new UsageError(`--loss needs namespaces: ${unavailable ?? 'see --network'}`)
  const options = {
    count: number(values.nodes, '--nodes', 4),
    network,
    lossPercent,
    burn: number(values.burn, '--burn', 0),
    ms: number(values.minutes, '--minutes', 0) * 60_000,
    repetitions: number(values.repeat, '--repeat', 1),
    patienceMs: number(values.patience, '--patience', 1) * 1000,
    steps: chosenSteps(values.only),
    env: Object.fromEntries(values.env.map(setting)),
    keep: values.keep,
    seed: number(values.seed, '--seed', 0),
  } as const
  const soakMs = values.soak === undefined ? null : number(values.soak, '--soak', 0.1) * 60_000
  // Before the namespace, in which no loopback interface is up: the build needs one.
  const path = values.executable === undefined ? await executable() : resolve(values.executable)
  if (network === 'namespaces' && !isInNamespace()) return enterNamespace()
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(130)
      process.stderr.write(`${signal}: ending after this step; once more ends at once\n`)
      stop.abort()
    })
  }
  const tell = (line: string): void => void process.stderr.write(`${line}\n`)
  const { signal } = stop
  if (soakMs !== null) {
    const result = await runSoak({
      ...options,
      executable: path,
      ms: soakMs,
      sampleMs: Math.min(SAMPLE_MS, soakMs / 10),
      tell,
      signal,
    })
    process.stdout.write(values.json ? `${JSON.stringify(result, null, 2)}\n` : `${soakText(result)}\n`)
    return result.passed ? 0 : 1
  }
  const result = await runFleet({ ...options, program: { path, args: [] }, tell, signal })
  process.stdout.write(values.json ? `${JSON.stringify(result, null, 2)}\n` : `${resultText(result)}\n`)
  return result.passed ? 0 : 1
}

process.on('exit', endEverything)
try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const isUsage =
    error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')
  process.stderr.write(`${isUsage ? (error as Error).message : (error as Error).stack}\n`)
  process.exitCode = isUsage ? 64 : 1
}
