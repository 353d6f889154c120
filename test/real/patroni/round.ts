import { heldUpMs } from '../../held-up.ts'
import { until } from '../until.ts'
import type { Fault } from './faults.ts'
import { monotonicMs } from './probe.ts'
import type { Scene } from './scene.ts'
import { acknowledgements, doublePrimaries, lostRows } from './verdict.ts'

/** How much longer than allowed a failover is waited for, so that its time is known. Milliseconds. */
const LATE_MS = 30_000

/** What a fault did to the writers. */
export interface RoundResult {
  readonly fault: string
  /** From the fault to the first row that was sent after it and acknowledged, if another had to take over by that one. */
  readonly takenOverMs: number | null
  /** Longest time without an acknowledged row from the fault until everything was settled again. */
  readonly gapMs: number
  readonly rows: number
  /** Acknowledged rows, of the whole run, that are not on the primary after this. */
  readonly lost: number
  readonly doublePrimaries: number
  readonly primary: { readonly before: string; readonly after: string }
  /** Sentences; empty if all is well. */
  readonly wrong: readonly string[]
}

/** Lets a fault happen to a settled scene, waits until it has settled again, and judges everything seen since its start. */
export async function runFault(scene: Scene, fault: Fault): Promise<RoundResult> {
  const before = await scene.settled()
  await fault.arrange?.(scene, before)
  const allowedMs = (scene.timing.ttl + scene.timing.loopWait) * 1000
  const [timeline] = await timelineOf(scene)
  const from = monotonicMs()
  const heldUpBefore = heldUpMs()
  const struck = await fault.strike(scene, before)
  const moves = struck.moves === undefined ? fault.moves : struck.moves
  const first = await scene.probe.acknowledged(from, {
    ...(moves === true ? { not: before } : {}),
    timeoutMs: allowedMs + LATE_MS,
  })
  const heldUp = heldUpMs() - heldUpBefore
  await struck.heal()
  const after = await scene.settled()
  const { rows, gapMs } = acknowledgements(scene.probe.lines, from, monotonicMs())
  const wrong: string[] = []
  const takenOverMs = moves === true ? first.to - from : null
  if (takenOverMs !== null && takenOverMs - heldUp > allowedMs)
    wrong.push(`the failover took ${Math.round(takenOverMs)} ms, more than ttl + loop_wait = ${allowedMs} ms`)
  const [timelineAfter] = await timelineOf(scene)
  if (moves === false && (after !== before || timeline !== timelineAfter))
    wrong.push(`${before.name} on timeline ${timeline} became ${after.name} on ${timelineAfter}`)
  // Judged by what was said before the question: writers go on meanwhile.
  const asked = scene.probe.lines.length
  const present = new Set(await after.sql('select id from rows'))
  const lost = lostRows(scene.probe.lines.slice(0, asked), present)
  if (lost.length > 0) wrong.push(`${lost.length} acknowledged rows are lost: ${lost.slice(0, 5).join(', ')}`)
  const doubles = doublePrimaries(scene.probe.lines)
  wrong.push(...doubles)
  return {
    fault: fault.name,
    takenOverMs,
    gapMs,
    rows,
    lost: lost.length,
    doublePrimaries: doubles.length,
    primary: { before: before.name, after: after.name },
    wrong,
  }
}

async function timelineOf(scene: Scene): Promise<readonly string[]> {
  const primary = await scene.settled()
  return await primary.sql(
    "select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int",
  )
}

/**
 * Ends observers and writers and judges the whole: every member has every acknowledged row, there never were two primaries, and
 * every timeline that began since is one whose primary was seen.
 */
export async function judgeEnd(scene: Scene): Promise<readonly string[]> {
  const primary = await scene.settled()
  await scene.probe.end()
  const { lines } = scene.probe
  const wrong = [...doublePrimaries(lines)]
  const rows = await primary.sql('select id from rows order by id')
  for (const member of scene.members) {
    const lost = lostRows(
      lines,
      new Set(
        await until(`${member.name} has caught up`, async () => {
          const own = await member.sql('select id from rows order by id')
          return own.length === rows.length && own
        }),
      ),
    )
    if (lost.length > 0)
      wrong.push(`${member.name} has lost ${lost.length} acknowledged rows: ${lost.slice(0, 5)}`)
  }
  const seen = new Set(lines.flatMap((line) => (line.kind === 'unknown' ? [] : [line.timeline])))
  const [timeline] = await timelineOf(scene)
  // What happened before anybody looked does not count.
  const first = Math.min(...seen)
  for (const past of [...(await pastTimelines(scene, Number(timeline))), Number(timeline)])
    if (past > first && !seen.has(past)) wrong.push(`nobody was seen as the primary of timeline ${past}`)
  return wrong
}

/** Timelines the present one comes from, as PostgreSQL has written them down. */
async function pastTimelines(scene: Scene, timeline: number): Promise<readonly number[]> {
  if (timeline === 1) return []
  const primary = await scene.settled()
  const file = `pg_wal/${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`
  const history = await primary.sql(`select pg_read_file('${file}')`)
  return history.map((line) => Number(/^(\d+)\t/.exec(line)?.[1] ?? Number.NaN)).filter(Number.isFinite)
}
