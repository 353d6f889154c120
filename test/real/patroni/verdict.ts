/** A member was a primary at some moment between `from` and `to`, in milliseconds of CLOCK_MONOTONIC. */
export interface SeenPrimary {
  readonly kind: 'primary'
  readonly member: string
  readonly timeline: number
  readonly from: number
  readonly to: number
}

/** A member acknowledged a row that was sent at `from`. */
export interface Acknowledged {
  readonly kind: 'acknowledged'
  readonly member: string
  readonly timeline: number
  readonly id: string
  readonly from: number
  readonly to: number
}

/** A row that may be there or not. */
export interface Unknown {
  readonly kind: 'unknown'
  readonly member: string
  readonly id: string
  readonly from: number
  readonly to: number
  readonly why: string
}

/** A line of probe.py. */
export type Line = SeenPrimary | Acknowledged | Unknown

/**
 * Every sign of two primaries at a time. PostgreSQL begins a new timeline with every promotion, so what is wrong is
 * this: two members on one timeline as primaries; or one that was a primary, or took a row, on a timeline after a later
 * timeline had been seen to exist. Both use only what surely came before what: an answer that arrived before a question was sent.
 */
export function doublePrimaries(lines: readonly Line[]): readonly string[] {
  const seen = lines.filter((line) => line.kind !== 'unknown')
  const wrong = new Set<string>()
  const memberOf = new Map<number, string>()
  for (const { timeline, member } of seen) {
    const first = memberOf.get(timeline) ?? member
    memberOf.set(timeline, first)
    if (first !== member) wrong.add(`${first} and ${member} were both primary on timeline ${timeline}`)
  }
  const byEnd = seen.toSorted((a, b) => a.to - b.to)
  let next = 0
  let latest: SeenPrimary | Acknowledged | null = null
  for (const line of seen.toSorted((a, b) => a.from - b.from)) {
    for (let ended = byEnd[next]; ended !== undefined && ended.to < line.from; ended = byEnd[++next])
      if (latest === null || ended.timeline > latest.timeline) latest = ended
    if (latest === null || latest.timeline <= line.timeline) continue
    const did = line.kind === 'primary' ? 'was primary' : 'took a row'
    wrong.add(
      `${line.member} ${did} on timeline ${line.timeline} after ${latest.member} was primary on ${latest.timeline}`,
    )
  }
  return [...wrong]
}

/** Rows that were acknowledged and are not there. */
export function lostRows(lines: readonly Line[], present: ReadonlySet<string>): readonly string[] {
  return lines
    .filter((line) => line.kind === 'acknowledged')
    .map(({ id }) => id)
    .filter((id) => !present.has(id))
}

interface Acknowledgements {
  readonly rows: number
  /** Longest time without one, from the beginning of the period or the one before. Milliseconds. */
  readonly gapMs: number
}

/** What was acknowledged from `from` to `to`. */
export function acknowledgements(lines: readonly Line[], from: number, to: number): Acknowledgements {
  const ends = lines
    .filter((line) => line.kind === 'acknowledged' && line.to > from && line.to <= to)
    .map((line) => line.to)
    .toSorted((a, b) => a - b)
  let [last, gapMs] = [from, 0]
  for (const end of [...ends, to]) {
    gapMs = Math.max(gapMs, end - last)
    last = end
  }
  return { rows: ends.length, gapMs }
}
