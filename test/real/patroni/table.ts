import type { RoundResult } from './round.ts'

/** A fault of a long run, with when it happened. */
export interface LongRow extends RoundResult {
  /** Seconds since the start of the run. */
  readonly atS: number
}

/** Everything a long run found. */
export interface LongResult {
  readonly patroni: string
  readonly postgres: string
  readonly timing: { readonly ttl: number; readonly loopWait: number; readonly retryTimeout: number }
  /** From the start of the first process until three members were settled. */
  readonly bootstrapS: number
  readonly seconds: number
  readonly rounds: readonly LongRow[]
  readonly rowsAcknowledged: number
  readonly rowsUnknown: number
  /** Times a member was seen to be a primary. */
  readonly primariesSeen: number
  readonly wrong: readonly string[]
}

const seconds = (ms: number): string => (ms / 1000).toFixed(1)

/** A long run as a Markdown table and a few sentences. */
export function longText(result: LongResult): string {
  const {
    patroni,
    postgres,
    timing,
    bootstrapS,
    rounds,
    rowsAcknowledged,
    rowsUnknown,
    primariesSeen,
    wrong,
  } = result
  return [
    `Patroni ${patroni}, ${postgres}; ttl ${timing.ttl}, loop_wait ${timing.loopWait}, retry_timeout ${timing.retryTimeout}; ${result.seconds} s`,
    `bootstrap of three members: ${bootstrapS} s`,
    '',
    '| fault | at | primary | taken over after | longest time without a row | rows | lost | double primaries |',
    '|---|---|---|---|---|---|---|---|',
    ...rounds.map(
      ({ fault, atS, primary, takenOverMs, gapMs, rows, lost, doublePrimaries }) =>
        `| ${fault} | ${atS} s | ${primary.before} → ${primary.after} | ${takenOverMs === null ? '' : `${seconds(takenOverMs)} s`} | ${seconds(gapMs)} s | ${rows} | ${lost} | ${doublePrimaries} |`,
    ),
    '',
    `${rowsAcknowledged} rows acknowledged, ${rowsUnknown} of unknown outcome; ${primariesSeen} times a primary was seen`,
    ...wrong.map((sentence) => `WRONG ${sentence}`),
    wrong.length === 0 ? 'passed' : 'FAILED',
  ].join('\n')
}
