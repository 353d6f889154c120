import { type Happening, percentile, type Spread } from './measurements.ts'
import type { RunResult } from './run.ts'

/** Runs of one scenario with the same number of nodes, put together. */
export interface Group {
  readonly scenario: string
  readonly nodes: number
  readonly transport: string
  readonly loss: number
  readonly runs: number
  readonly virtualMs: number
  readonly wallMs: number
  readonly cpuMs: number
  readonly nodeHours: number
  readonly falseDeaths: number
  readonly falseVerdicts: number
  readonly falseSuspicions: number
  readonly bytesPerNodeSecond: number
  readonly messagesPerNodeSecond: number
  readonly bytesByKind: Readonly<Record<string, number>>
  readonly spreads: Readonly<Partial<Record<Happening, Quantiles>>>
  readonly convergenceMs: Readonly<{ p50: number; max: number; count: number }>
  readonly healedMs: Readonly<{ p50: number; max: number }>
  readonly violations: readonly { readonly seed: number; readonly violation: string }[]
}

/** Times in ms: until the first knows, until one of the others knows, until all know. */
export interface Quantiles {
  readonly count: number
  readonly unfinished: number
  readonly firstP50: number
  readonly eachP50: number
  readonly eachP99: number
  readonly allP50: number
  readonly allP99: number
  readonly allMax: number
}

/** Puts runs of one group together. @throws RangeError if there are none */
export function groupOf(results: readonly RunResult[]): Group {
  const [first] = results
  if (!first) throw new RangeError('no runs')
  const sum = (of: (result: RunResult) => number) => results.reduce((total, result) => total + of(result), 0)
  const nodeSeconds = sum((r) => r.nodeHours) * 3600
  const kinds = [...new Set(results.flatMap((r) => Object.keys(r.bytes)))].sort()
  const bytesByKind = Object.fromEntries(
    kinds.map((kind) => [kind, sum((r) => r.bytes[kind] ?? 0) / nodeSeconds]),
  )
  const { nodes, scenario, transport, loss } = first.options
  const convergences = results.flatMap((r) => r.convergencesMs)
  const healed = results.map((r) => r.healedMs)
  return {
    scenario,
    nodes,
    transport,
    loss,
    runs: results.length,
    virtualMs: sum((r) => r.virtualMs),
    wallMs: sum((r) => r.wallMs),
    cpuMs: sum((r) => r.cpuMs),
    nodeHours: sum((r) => r.nodeHours),
    falseDeaths: sum((r) => r.falseDeaths),
    falseVerdicts: sum((r) => r.falseVerdicts),
    falseSuspicions: sum((r) => r.falseSuspicions),
    bytesPerNodeSecond: Object.values(bytesByKind).reduce((total, bytes) => total + bytes, 0),
    messagesPerNodeSecond: sum((r) => Object.values(r.messages).reduce((a, b) => a + b, 0)) / nodeSeconds,
    bytesByKind,
    spreads: spreadsOf(results),
    convergenceMs: {
      p50: percentile(convergences, 0.5),
      max: percentile(convergences, 1),
      count: convergences.length,
    },
    healedMs: { p50: percentile(healed, 0.5), max: percentile(healed, 1) },
    violations: results.flatMap(({ options, violation }) =>
      violation === null ? [] : [{ seed: options.seed, violation }],
    ),
  }
}

function spreadsOf(results: readonly RunResult[]): Partial<Record<Happening, Quantiles>> {
  const happenings = ['join', 'meta', 'leave', 'kill', 'hang'] as const
  const out: Partial<Record<Happening, Quantiles>> = {}
  for (const happening of happenings) {
    const spreads = results.flatMap((r) => r.spreads[happening] ?? [])
    if (spreads.length > 0) out[happening] = quantilesOf(spreads)
  }
  return out
}

function quantilesOf(spreads: readonly Spread[]): Quantiles {
  const first = spreads.flatMap((s) => s.first)
  const last = spreads.flatMap((s) => s.last)
  const each = spreads.reduce<number[]>((all, s) => all.concat(s.each), [])
  return {
    count: last.length,
    unfinished: spreads.reduce((total, s) => total + s.unfinished, 0),
    firstP50: percentile(first, 0.5),
    eachP50: percentile(each, 0.5),
    eachP99: percentile(each, 0.99),
    allP50: percentile(last, 0.5),
    allP99: percentile(last, 0.99),
    allMax: percentile(last, 1),
  }
}

type Column = readonly [title: string, value: (group: Group) => string]

const COLUMNS: readonly Column[] = [
  ['scenario', ({ scenario, transport, loss }) => `${scenario}, ${transport}, ${loss * 100} %`],
  ['nodes', ({ nodes }) => String(nodes)],
  ['runs', ({ runs }) => String(runs)],
  ['node-hours', ({ nodeHours }) => nodeHours.toFixed(1)],
  ...(['join', 'meta', 'leave', 'kill', 'hang'] as const).map<Column>((happening) => [
    `${happening}: all know (s) p50 / p99 / max`,
    ({ spreads }) => {
      const spread = spreads[happening]
      if (!spread || spread.count === 0) return ''
      return [spread.allP50, spread.allP99, spread.allMax].map(seconds).join(' / ')
    },
  ]),
  ['false deaths', ({ falseDeaths }) => String(falseDeaths)],
  ['suspicions per node-hour', (g) => (g.falseSuspicions / g.nodeHours).toFixed(3)],
  [
    'partition heals (s) p50 / max',
    ({ convergenceMs: c }) => (c.count === 0 ? '' : `${seconds(c.p50)} / ${seconds(c.max)}`),
  ],
  ['agreed after (s) p50 / max', ({ healedMs }) => `${seconds(healedMs.p50)} / ${seconds(healedMs.max)}`],
  ['messages/s', (g) => g.messagesPerNodeSecond.toFixed(2)],
  ['B/s', (g) => g.bytesPerNodeSecond.toFixed(0)],
  ['of it sync', (g) => (g.bytesByKind.sync ?? 0).toFixed(0)],
  ['CPU (s)', (g) => (g.cpuMs / 1000).toFixed(1)],
]

/** A table in Markdown; columns that are empty for every group are left out. */
export function table(groups: readonly Group[]): string {
  const columns = COLUMNS.filter(([, value]) => groups.some((group) => value(group) !== ''))
  const rows = [
    columns.map(([title]) => title),
    columns.map(() => '---'),
    ...groups.map((group) => columns.map(([, value]) => value(group))),
  ]
  return rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function seconds(ms: number): string {
  return Number.isNaN(ms) ? '–' : (ms / 1000).toFixed(ms < 9950 ? 2 : 1)
}
