import { parseArgs } from 'node:util'
import fc from 'fast-check'
import { CATALOG_PROPERTIES, floodCatalog, hurtCatalog } from './decoders/catalog.ts'
import { MESH_PROPERTIES } from './decoders/mesh.ts'
import type { NamedProperty } from './decoders/property.ts'
import { hurtLeader } from './decoders/proposals.ts'
import { STATE_PROPERTIES } from './decoders/state.ts'
import { TEXT_PROPERTIES } from './decoders/texts.ts'
import { DNS_PROPERTIES } from './dns/parser.ts'
import { hurtDnsServer } from './dns/sockets.ts'
import { nameOf } from './operations.ts'
import { CLASSES, findingText, fuzz } from './run.ts'
import { Subject } from './subject.ts'

const HELP = `Sends inputs no client should send to every route that the server describes, and to the decoders behind them.

  npm run fuzz -- [options]

  --minutes M       how long (default 5)
  --seed S          draws the inputs (default 1); every pass takes the next seed
  --runs N          inputs of each class for each operation in one pass (default 50)
  --classes a,b     only these classes of input: ${CLASSES.map(({ name }) => name).join(', ')}, decoders, dns
  --routes TEXT     only operations whose name has this in it, such as "PUT /v1/kv"
  --json            print the result as JSON
  --help            print this

Examples:
  npm run fuzz -- --minutes 30 --seed 7
  npm run fuzz -- --classes decoders --minutes 20
  npm run fuzz -- --routes /v1/session --classes bodies --runs 1000 --minutes 1

Exit code 0: nothing found; 1: something was, with the seed of its pass and the bytes that show it; 64: wrong usage.
`

const DECODERS = 'decoders'
const DNS = 'dns'
const DECODER_RUNS = 20
const FLOOD = 5000
const FLOOD_BYTES_MAX = 2 * 1024 * 1024
const DECODER_PROPERTIES: readonly NamedProperty[] = [
  ...STATE_PROPERTIES,
  ...TEXT_PROPERTIES,
  ...MESH_PROPERTIES,
  ...CATALOG_PROPERTIES,
]
const USAGE = 64

interface Settings {
  readonly ms: number
  readonly seed: number
  readonly runs: number
  readonly classes: readonly string[]
  readonly routes: string
}

/** What a run gave. */
interface Result {
  passes: number
  requests: number
  /** Inputs of decoders. */
  decoded: number
  readonly statuses: Record<string, number>
  readonly findings: string[]
}

class UsageError extends Error {}

function positive(text: string, flag: string): number {
  const number = Number(text)
  if (!(number > 0) || !Number.isFinite(number))
    throw new UsageError(`${flag} takes a number greater than 0, not ${text}`)
  return number
}

async function run({ ms, seed, runs, classes, routes }: Settings): Promise<Result> {
  const result: Result = { passes: 0, requests: 0, decoded: 0, statuses: {}, findings: [] }
  const signal = AbortSignal.timeout(Math.ceil(ms))
  while (!signal.aborted && result.findings.length === 0) {
    const now = seed + result.passes++
    process.stderr.write(`pass ${result.passes}, seed ${now}, ${result.requests} requests so far\n`)
    await routesPass(result, { seed: now, runs, classes, routes, signal })
    if (classes.includes(DECODERS)) {
      await decodersPass(result, { seed: now, numRuns: runs * DECODER_RUNS, signal })
    }
    if (classes.includes(DNS)) await dnsPass(result, { seed: now, numRuns: runs * DECODER_RUNS })
  }
  return result
}

async function routesPass(
  result: Result,
  options: Omit<Settings, 'ms'> & { readonly signal: AbortSignal },
): Promise<void> {
  const chosen = CLASSES.filter(({ name }) => options.classes.includes(name))
  if (chosen.length === 0) return
  // A new server for each pass, so that what one finds does not rest on the passes before.
  const subject = await Subject.start()
  try {
    const { requests, findings, statuses } = await fuzz(subject, {
      ...options,
      classes: chosen,
      operations: (operation) => nameOf(operation).includes(options.routes),
    })
    result.requests += requests
    for (const [status, count] of statuses) result.statuses[status] = (result.statuses[status] ?? 0) + count
    for (const finding of findings) result.findings.push(`seed ${options.seed}: ${findingText(finding)}`)
  } finally {
    await subject.close()
  }
}

async function decodersPass(
  result: Result,
  options: { readonly seed: number; readonly numRuns: number; readonly signal: AbortSignal },
): Promise<void> {
  for (const { name, property } of DECODER_PROPERTIES) {
    if (options.signal.aborted) return
    const details = await fc.check(property, options)
    result.decoded += details.numRuns
    if (details.failed) result.findings.push(`${name}: ${fc.defaultReportMessage(details)}`)
  }
  for (const hurt of [hurtLeader, hurtCatalog]) {
    await hurt(options).catch((error: Error) => result.findings.push(error.message))
    result.decoded += options.numRuns
  }
  try {
    floodCatalog({ messages: FLOOD, bytesMax: FLOOD_BYTES_MAX })
  } catch (error) {
    result.findings.push((error as Error).message)
  }
}

async function dnsPass(
  result: Result,
  options: { readonly seed: number; readonly numRuns: number },
): Promise<void> {
  for (const { name, property } of DNS_PROPERTIES) {
    const details = await fc.check(property, options)
    result.decoded += details.numRuns
    if (details.failed) result.findings.push(`${name}: ${fc.defaultReportMessage(details)}`)
  }
  await hurtDnsServer(options).catch((error: Error) =>
    result.findings.push(`${error.message}: ${String(error.cause)}`),
  )
  result.decoded += options.numRuns
}

async function main(args: string[]): Promise<number> {
  const all = [...CLASSES.map(({ name }) => name), DECODERS, DNS]
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: 'string', default: '5' },
      seed: { type: 'string', default: '1' },
      runs: { type: 'string', default: '50' },
      classes: { type: 'string', default: all.join() },
      routes: { type: 'string', default: '' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const classes = values.classes.split(',')
  const unknown = classes.filter((name) => !all.includes(name))
  if (unknown.length > 0)
    throw new UsageError(`no such class: ${unknown.join(', ')}; there are ${all.join(', ')}`)
  const seed = Number(values.seed)
  if (!Number.isSafeInteger(seed)) throw new UsageError('--seed takes a whole number')
  const result = await run({
    ms: positive(values.minutes, '--minutes') * 60_000,
    seed,
    runs: Math.ceil(positive(values.runs, '--runs')),
    classes,
    routes: values.routes,
  })
  const { passes, requests, decoded, statuses, findings } = result
  if (values.json) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`)
  else {
    const answers = Object.entries(statuses).map(
      ([status, count]) => `${count} × ${status === '0' ? 'waited' : status}`,
    )
    process.stdout.write(
      `${passes} passes, ${requests} requests: ${answers.join(', ')}; ${decoded} inputs of decoders\n`,
    )
    for (const finding of findings) process.stdout.write(`WRONG ${finding}\n`)
    process.stdout.write(findings.length === 0 ? 'nothing found\n' : 'FAILED\n')
  }
  return findings.length === 0 ? 0 : 1
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const isUsage =
    error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')
  process.stderr.write(`${isUsage ? (error as Error).message : (error as Error).stack}\n`)
  process.exitCode = isUsage ? USAGE : 1
}
