import { median } from '../../test/real/thirty/table.ts'

/** One change, once. Milliseconds, from the command and from the event of the engine. */
export interface Sample {
  readonly title: string
  readonly event: string
  readonly commandToEvent: number
  readonly commandToAll: number
  /** To the node that reads the engine. */
  readonly eventToFirst: number
  readonly eventToAll: number
}

/** All changes with so many agents, and the load average of the machine before and after them. */
export interface Measured {
  readonly nodes: number
  readonly loadBefore: number
  readonly loadAfter: number
  readonly samples: readonly Sample[]
}

/** The results as a table in Markdown. */
export function tableText(results: readonly Measured[]): string {
  const lines = [
    '| nodes | | event of the engine | command to event | event to its own node | event to all nodes | command to all nodes |',
    '|---|---|---|---|---|---|---|',
  ]
  for (const { nodes, samples } of results) {
    for (const title of new Set(samples.map((each) => each.title))) {
      const of = samples.filter((each) => each.title === title)
      const cell = (value: (each: Sample) => number) => durations(of.map(value))
      const cells = [
        cell(({ commandToEvent }) => commandToEvent),
        cell(({ eventToFirst }) => eventToFirst),
        cell(({ eventToAll }) => eventToAll),
        cell(({ commandToAll }) => commandToAll),
      ]
      lines.push(`| ${nodes} | ${title} | \`${of[0]?.event}\` | ${cells.join(' | ')} |`)
    }
  }
  const loads = results.map(
    ({ nodes, loadBefore, loadAfter }) =>
      `${nodes} nodes: ${loadBefore.toFixed(1)} before, ${loadAfter.toFixed(1)} after`,
  )
  return [...lines, '', 'Each cell: p50, max. Load average of the machine: ', ...loads].join('\n')
}

function durations(values: readonly number[]): string {
  return `${Math.round(median(values))}, ${Math.round(Math.max(...values))} ms`
}
