import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { generateClusterKey } from '../../discovery/mesh/cluster-key.ts'
import { executable } from '../../test/real/executable.ts'
import type { Site } from '../../test/real/thirty/fabric.ts'
import {
  enterNamespace,
  isInNamespace,
  NamespaceFabric,
  namespacesUnavailable,
} from '../../test/real/thirty/namespaces.ts'
import { median } from '../../test/real/thirty/table.ts'
import { type Contender, constellation, FOUNDERS, KEY_FILE, serf } from './contenders.ts'
import { Crowd } from './crowd.ts'

const HELP = `Membership beside serf, in one run: until all know all, until all know of a death and of a leave, and what an idle agent
costs. Every agent of either has a network namespace of its own on one bridge. Needs root, ip, nft and serf.

  npm run bench:membership -- [options]

  --nodes A,B       how many agents (default 10,30)
  --repeat N        how often one is killed and one leaves (default 3)
  --only NAME       constellation or serf alone
  --executable F    the program (default dist/constellation, built if it is old)
  --json            print what was measured as JSON instead of a table in Markdown
  --help            print this

Examples:
  npm run bench:membership
  npm run bench:membership -- --nodes 3,10 --repeat 1
`

const SETTLE_MS = 20_000
const IDLE_MS = 30_000
/** Of the times in /proc; Linux has no other for programs. */
const TICKS_PER_SECOND = 100

/** What was measured of one program at one size. Durations in ms. */
interface Measured {
  readonly contender: string
  readonly nodes: number
  /** From the start of all to the last word about the last member. */
  readonly allKnowAll: number
  /** Per agent, by then. */
  readonly startCpuSeconds: number
  /** From the signal to the word of each of the others, over all repetitions. */
  readonly failed: readonly number[]
  readonly left: readonly number[]
  /** Per agent, idle: share of one core, bytes, and what goes over its interface in both directions. */
  readonly cpuShare: number
  readonly rssBytes: number
  readonly bytesPerSecond: number
  readonly packetsPerSecond: number
}

const open = new Set<Crowd>()

async function measure(contender: Contender, nodes: number, repetitions: number): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'constellation-membership-'))
  writeFileSync(join(folder, KEY_FILE), `${generateClusterKey()}\n`, { mode: 0o600 })
  const fabric = await NamespaceFabric.create(Array.from({ length: nodes }, (_, i) => `n${i + 1}`))
  const crowd = new Crowd(contender, fabric.sites, folder)
  open.add(crowd)
  try {
    const from = Date.now()
    for (const site of fabric.sites) crowd.start(site)
    const allKnowAll = Math.max(...(await crowd.heard('alive', fabric.sites, from)))
    const startCpuSeconds = crowd.pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0) / nodes
    await delay(SETTLE_MS)
    const idle = await idleCost(crowd, fabric)
    const failed: number[] = []
    const left: number[] = []
    for (let i = 0; i < repetitions; i++) {
      const site = fabric.sites[(FOUNDERS + i) % nodes] as Site
      for (const [signal, what, into] of [
        ['SIGKILL', 'failed', failed],
        [contender.leaveSignal, 'left', left],
      ] as const) {
        const { at, ended } = await crowd.end(site, signal)
        into.push(...(await crowd.heard(what, [site], at)))
        await ended
        const again = Date.now()
        crowd.start(site)
        await crowd.heard('alive', [site], again)
        await delay(SETTLE_MS / 4)
      }
    }
    return { contender: contender.name, nodes, allKnowAll, startCpuSeconds, failed, left, ...idle }
  } finally {
    await crowd.close()
    open.delete(crowd)
    await fabric.close()
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  }
}

async function idleCost(crowd: Crowd, fabric: NamespaceFabric) {
  const totals = async () => {
    const traffic = [...(await fabric.traffic()).values()]
    return {
      at: performance.now(),
      cpuSeconds: crowd.pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0),
      bytes: traffic.reduce((sum, { bytes }) => sum + bytes, 0),
      packets: traffic.reduce((sum, { packets }) => sum + packets, 0),
    }
  }
  const before = await totals()
  await delay(IDLE_MS)
  const after = await totals()
  const agentSeconds = (crowd.pids.length * (after.at - before.at)) / 1000
  return {
    cpuShare: (after.cpuSeconds - before.cpuSeconds) / agentSeconds,
    rssBytes: crowd.pids.reduce((sum, pid) => sum + rssBytes(pid), 0) / crowd.pids.length,
    bytesPerSecond: (after.bytes - before.bytes) / agentSeconds,
    packetsPerSecond: (after.packets - before.packets) / agentSeconds,
  }
}

/** User and system time of a process, in seconds (proc(5), fields 14 and 15). */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

function rssBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) * 1024
}

const ROWS: readonly (readonly [string, (measured: Measured) => number, (value: number) => string])[] = [
  ['all start: all know all', ({ allKnowAll }) => allKnowAll, seconds],
  [
    'all start: CPU time of an agent',
    ({ startCpuSeconds }) => startCpuSeconds,
    (value) => `${value.toFixed(2)} s`,
  ],
  ['kill -9: a node knows (p50)', ({ failed }) => median(failed), seconds],
  ['kill -9: all know (max)', ({ failed }) => Math.max(...failed), seconds],
  ['leave: a node knows (p50)', ({ left }) => median(left), seconds],
  ['leave: all know (max)', ({ left }) => Math.max(...left), seconds],
  ['idle CPU of an agent', ({ cpuShare }) => cpuShare, (value) => `${(value * 100).toFixed(2)} %`],
  [
    'resident memory of an agent',
    ({ rssBytes: bytes }) => bytes,
    (value) => `${(value / 2 ** 20).toFixed(0)} MiB`,
  ],
  ['bytes per second of an agent', ({ bytesPerSecond }) => bytesPerSecond, (value) => value.toFixed(0)],
  ['packets per second of an agent', ({ packetsPerSecond }) => packetsPerSecond, (value) => value.toFixed(1)],
]

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}

/** The results as a table in Markdown, with the ratio of ours to serf's. */
function tableText(results: readonly Measured[]): string {
  const lines = ['| nodes | | constellation | serf | ratio |', '|---|---|---|---|---|']
  for (const nodes of new Set(results.map((each) => each.nodes))) {
    const [ours, theirs] = ['constellation', 'serf'].map((name) =>
      results.find((each) => each.nodes === nodes && each.contender === name),
    )
    if (ours === undefined || theirs === undefined) continue
    for (const [what, value, text] of ROWS) {
      const ratio = (value(ours) / value(theirs)).toFixed(2)
      lines.push(`| ${nodes} | ${what} | ${text(value(ours))} | ${text(value(theirs))} | ${ratio} |`)
    }
  }
  return lines.join('\n')
}

function serfUnavailable(): string | null {
  return spawnSync('serf', ['version']).status === 0 ? null : 'needs the program serf'
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '10,30' },
      repeat: { type: 'string', default: '3' },
      only: { type: 'string' },
      executable: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const unavailable = namespacesUnavailable() ?? serfUnavailable()
  if (unavailable !== null) {
    process.stderr.write(`${unavailable}\n`)
    return 1
  }
  // Before the namespace, in which no loopback interface is up: the build needs one.
  const program = values.executable === undefined ? await executable() : resolve(values.executable)
  if (!isInNamespace()) return enterNamespace()
  const contenders = [constellation(program), serf].filter(
    ({ name }) => values.only === undefined || name === values.only,
  )
  const results: Measured[] = []
  for (const nodes of values.nodes.split(',').map(Number)) {
    for (const contender of contenders) {
      process.stderr.write(`${contender.name}, ${nodes} nodes\n`)
      const measured = await measure(contender, nodes, Number(values.repeat))
      process.stderr.write(
        `${ROWS.map(([what, value, text]) => `  ${what}: ${text(value(measured))}\n`).join('')}`,
      )
      results.push(measured)
    }
  }
  process.stdout.write(`${values.json ? JSON.stringify(results, null, 2) : tableText(results)}\n`)
  return 0
}

process.on('exit', () => {
  for (const crowd of open) crowd.killNow()
})
process.exitCode = await main()
