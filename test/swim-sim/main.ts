import { parseArgs } from 'node:util'
import type { Transport } from './network.ts'
import { type RunResult, runSwim } from './run.ts'
import { type Scenario, scenarios } from './scenarios.ts'
import { groupOf, table } from './totals.ts'

const HELP = `Simulates clusters of the membership core under faults, one per seed. docs/membership-simulation.md says what that means.

  npm run swim-sim -- [options]

  --nodes N[,N…]     how many members (default 100)
  --scenario S[,S…]  ${scenarios.map(({ name }) => name).join(', ')} (default all)
  --seed S           first seed (default 1)
  --seeds N          how many seeds (default 1)
  --seconds S        how long the faults last, in virtual seconds (default 300)
  --transport T      stream: a lost packet delays, as on the connections of the mesh (default);
                     datagram: it is gone, and a dead process closes no connection
  --connections N    with more members than this, each keeps connections to some of the others (default 128, as
                     mesh.connections_max)
  --loss P           percentage of packets that are lost (default 0)
  --json             print the groups as one JSON document
  --help             print this

Scenarios:
${scenarios.map(({ name, sentence }) => `  ${name.padEnd(10)} ${sentence}`).join('\n')}

Examples:
  npm run swim-sim -- --nodes 10,100,1000 --scenario events --seeds 3
  npm run swim-sim -- --nodes 300 --scenario loss --loss 5 --transport datagram
  NODE_OPTIONS=--max-old-space-size=17000 npm run swim-sim -- --nodes 10000 --scenario events --seconds 20

The table goes to standard output, progress and failures to standard error. Exit code 1 if a property was violated, 64 for a
wrong command line. The same seed gives the same run. Memory grows with the square of the number of members: 10,000 take 14 GB.
`

const PROGRESS_EVERY_MS = 5000

interface Flags {
  readonly nodes: readonly number[]
  readonly played: readonly Scenario[]
  readonly first: number
  readonly seeds: number
  readonly ms: number
  readonly transport: Transport
  readonly loss: number
  readonly connectionsMax: number
  readonly json: boolean
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** The command that shows a run again. */
function replay({
  options: { scenario, nodes, seed, transport, loss, connectionsMax, ms },
}: RunResult): string {
  return (
    `npm run swim-sim -- --scenario ${scenario} --nodes ${nodes} --seed ${seed} --seconds ${ms / 1000} ` +
    `--transport ${transport} --loss ${loss * 100} --connections ${connectionsMax}`
  )
}

function runOne(flags: Flags, scenario: Scenario, nodes: number, seed: number): RunResult {
  let toldAt = performance.now()
  const result = runSwim({
    nodes,
    seed,
    scenario,
    transport: flags.transport,
    loss: flags.loss,
    connectionsMax: flags.connectionsMax,
    ms: flags.ms,
    onProgress: (nowMs) => {
      if (performance.now() - toldAt < PROGRESS_EVERY_MS) return
      toldAt = performance.now()
      tell(`${scenario.name}, ${nodes} nodes, seed ${seed}: ${Math.round(nowMs / 1000)} virtual seconds`)
    },
  })
  if (result.violation !== null) tell(`seed ${seed} failed: ${result.violation}\nreplay: ${replay(result)}`)
  return result
}

function run(flags: Flags): boolean {
  const groups = []
  for (const scenario of flags.played) {
    for (const nodes of flags.nodes) {
      const seeds = Array.from({ length: flags.seeds }, (_, i) => flags.first + i)
      groups.push(groupOf(seeds.map((seed) => runOne(flags, scenario, nodes, seed))))
    }
  }
  print(flags.json ? JSON.stringify({ first: flags.first, seeds: flags.seeds, groups }) : table(groups))
  return groups.every(({ violations }) => violations.length === 0)
}

function number(text: string, least: number, whole: boolean): number | null {
  const value = text === '' ? Number.NaN : Number(text)
  return value >= least && (whole ? Number.isSafeInteger(value) : Number.isFinite(value)) ? value : null
}

function main(args: string[]): number {
  const { values } = parseArgs({
    args,
    options: {
      nodes: { type: 'string', default: '100' },
      scenario: { type: 'string', default: 'all' },
      seed: { type: 'string', default: '1' },
      seeds: { type: 'string', default: '1' },
      seconds: { type: 'string', default: '300' },
      transport: { type: 'string', default: 'stream' },
      loss: { type: 'string', default: '0' },
      connections: { type: 'string', default: '128' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    print(HELP)
    return 0
  }
  const nodes = values.nodes.split(',').map((text) => number(text, 2, true))
  const played = values.scenario.split(',').map((name) => scenarios.find((s) => s.name === name))
  const first = number(values.seed, 0, true)
  const seeds = number(values.seeds, 1, true)
  const seconds = number(values.seconds, 1, false)
  const loss = number(values.loss, 0, false)
  const connectionsMax = number(values.connections, 2, true)
  const { transport, json } = values
  if (nodes.includes(null)) return usage('--nodes takes whole numbers from 2 on')
  if (played.includes(undefined)) return usage('there is no such scenario; see --help')
  if (first === null || seeds === null || seconds === null)
    return usage('--seed, --seeds and --seconds are numbers')
  if (connectionsMax === null) return usage('--connections is a number from 2 on')
  if (loss === null || loss > 90) return usage('--loss is a percentage up to 90')
  if (transport !== 'stream' && transport !== 'datagram') return usage('--transport is stream or datagram')
  const given = {
    nodes: nodes.filter((n) => n !== null),
    played: played.filter((s) => s !== undefined),
  }
  return run({
    ...given,
    first,
    seeds,
    ms: seconds * 1000,
    transport,
    loss: loss / 100,
    connectionsMax,
    json,
  })
    ? 0
    : 1
}

function usage(sentence: string): number {
  tell(sentence)
  return 64
}

try {
  process.exitCode = main(process.argv.slice(2))
} catch (error) {
  if ((error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') !== true) throw error
  tell((error as Error).message)
  process.exitCode = 64
}
