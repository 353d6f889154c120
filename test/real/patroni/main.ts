import { parseArgs } from 'node:util'
import { FAULTS, type Fault } from './faults.ts'
import { findPrograms, type Programs } from './programs.ts'
import { judgeEnd, runFault } from './round.ts'
import { Scene } from './scene.ts'
import { DEFAULT_TIMING, type Timing } from './settings.ts'
import { type LongResult, type LongRow, longText } from './table.ts'

const HELP = `Runs Patroni with PostgreSQL on three agents, lets one fault after the other happen while rows are written, and
checks that there is one primary at a time, that no acknowledged row is lost, and that failovers are in time.

  npm run patroni -- [options]

  --minutes M          how long at least, after the bootstrap (default 10); the last fault is finished
  --faults a,b         only these, in this order (default all)
  --list-faults        print them
  --ttl S              Patroni's ttl (default 30)
  --loop-wait S        Patroni's loop_wait (default 10)
  --retry-timeout S    Patroni's retry_timeout (default 10)
  --env NAME=VALUE     a setting for every agent, such as CONSTELLATION_SESSIONS_TTL_MIN=1s; may be repeated
  --json               print the result as JSON
  --help               print this

Needs Debian's packages patroni, postgresql-15, python3-consul and python3-psycopg2. The executable is built first;
TEST_EXECUTABLE names another one. Ctrl-C ends after the fault under way, a second time at once.

Examples:
  npm run patroni -- --minutes 20
  npm run patroni -- --ttl 15 --loop-wait 5 --retry-timeout 5 --env CONSTELLATION_SESSIONS_TTL_MIN=1s
  npm run patroni -- --minutes 1 --faults kill-primary

Progress goes to standard error. Exit code 0: all is well; 1: something is wrong; 64: wrong usage.
`

interface Wanted {
  readonly programs: Programs
  readonly minutes: number
  readonly faults: readonly Fault[]
  readonly timing: Timing
  readonly env: Readonly<Record<string, string>>
}

/** Wrongly asked for. */
class UsageError extends Error {}

function positive(text: string, flag: string, whole: boolean): number {
  const number = Number(text)
  if (!(number > 0) || !Number.isFinite(number) || (whole && !Number.isInteger(number)))
    throw new UsageError(`${flag} takes a ${whole ? 'whole ' : ''}number greater than 0, not ${text}`)
  return number
}

function setting(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw new UsageError(`--env takes NAME=VALUE, not ${text}`)
  return [text.slice(0, at), text.slice(at + 1)]
}

function faultsNamed(names: string): readonly Fault[] {
  return names.split(',').map((name) => {
    const fault = FAULTS.find((one) => one.name === name)
    if (fault === undefined) throw new UsageError(`no such fault: ${name}; see --list-faults`)
    return fault
  })
}

const tell = (line: string) => process.stderr.write(`${line}\n`)

/** Fault after fault until the time is over, or something is wrong. */
async function run(wanted: Wanted, signal: AbortSignal): Promise<LongResult> {
  const { programs, minutes, faults, timing, env } = wanted
  const scene = await Scene.make({ programs, timing, env })
  const started = performance.now()
  const since = () => Math.round((performance.now() - started) / 1000)
  try {
    await scene.start()
    const bootstrapS = since()
    tell(`three members after ${bootstrapS} s`)
    const rounds: LongRow[] = []
    const wrong: string[] = []
    for (
      let i = 0;
      !signal.aborted && wrong.length === 0 && since() < bootstrapS + minutes * 60;
      i = (i + 1) % faults.length
    ) {
      const fault = faults[i]
      if (fault === undefined) break
      const atS = since()
      tell(`${atS} s: ${fault.name}: ${fault.sentence}`)
      const row = { atS, ...(await runFault(scene, fault)) }
      rounds.push(row)
      wrong.push(...row.wrong)
    }
    wrong.push(...(await judgeEnd(scene)))
    if (wrong.length > 0) tell(scene.lastWords())
    const count = (kind: string) => scene.probe.lines.filter((line) => line.kind === kind).length
    return {
      ...{
        patroni: programs.patroni,
        postgres: programs.postgres,
        timing,
        bootstrapS,
        seconds: since(),
        rounds,
      },
      ...{
        rowsAcknowledged: count('acknowledged'),
        rowsUnknown: count('unknown'),
        primariesSeen: count('primary'),
      },
      wrong,
    }
  } catch (error) {
    tell(scene.lastWords())
    throw error
  } finally {
    await scene.close()
  }
}

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: 'string', default: '10' },
      faults: { type: 'string', default: FAULTS.map(({ name }) => name).join(',') },
      'list-faults': { type: 'boolean', default: false },
      ttl: { type: 'string', default: String(DEFAULT_TIMING.ttl) },
      'loop-wait': { type: 'string', default: String(DEFAULT_TIMING.loopWait) },
      'retry-timeout': { type: 'string', default: String(DEFAULT_TIMING.retryTimeout) },
      env: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  if (values['list-faults']) {
    for (const { name, sentence } of FAULTS) process.stdout.write(`${name.padEnd(24)}${sentence}\n`)
    return 0
  }
  const wanted = {
    minutes: positive(values.minutes, '--minutes', false),
    faults: faultsNamed(values.faults),
    timing: {
      ttl: positive(values.ttl, '--ttl', true),
      loopWait: positive(values['loop-wait'], '--loop-wait', true),
      retryTimeout: positive(values['retry-timeout'], '--retry-timeout', true),
    },
    env: Object.fromEntries(values.env.map(setting)),
  }
  const programs = findPrograms()
  if (typeof programs === 'string') {
    tell(programs)
    return 1
  }
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(130)
      tell(`${signal}: ending after this fault; once more ends at once`)
      stop.abort()
    })
  }
  const result = await run({ programs, ...wanted }, stop.signal)
  process.stdout.write(`${values.json ? JSON.stringify(result, null, 2) : longText(result)}\n`)
  return result.wrong.length === 0 ? 0 : 1
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const isUsage =
    error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')
  tell((isUsage ? (error as Error).message : (error as Error).stack) ?? String(error))
  process.exitCode = isUsage ? 64 : 1
}
