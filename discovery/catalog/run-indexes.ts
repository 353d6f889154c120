/** Which numbers the indexes of one run of an agent have. */
export interface RunIndexes {
  readonly first: number
  /** From one to the next. */
  readonly step: number
}

/** Indexes that are counted from 1, for one run that nobody compares with another. */
export const COUNTED: RunIndexes = { first: 1, step: 1 }

const STEP = 1024
const EPOCH_MS = Date.UTC(2024)

/**
 * The catalogue is every agent's own view, and so are its indexes; but clients take the one an agent gave them to its next run, and
 * to other agents. So those of a run are greater than all of the runs before, by the time of its start (with less than one change
 * in a millisecond, on average), and are told from those of other agents by their remainder, which is drawn.
 * @param wallMs time of day; a clock that is wrong costs the order, not the remainder
 * @param random uniform in [0, 1)
 */
export function runIndexes(wallMs: number, random: number): RunIndexes {
  return { first: Math.max(1, Math.floor(wallMs - EPOCH_MS)) * STEP + Math.floor(random * STEP), step: STEP }
}

/** False for an index that another run gave. */
export function isOfRun({ first, step }: RunIndexes, index: number): boolean {
  return index >= first && (index - first) % step === 0
}
