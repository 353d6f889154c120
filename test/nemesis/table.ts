import type { RunResult } from './run.ts'

/** A run for people. */
export function resultText(result: RunResult): string {
  const { nodes, seed, seconds, rounds, faults, skipped, operations, keys, watchAnswers, leases, locks } =
    result
  const { ok, failed, unknown } = operations
  const width = Math.max(...faults.map(({ name }) => name.length), 5)
  return [
    `${nodes} nodes, seed ${seed}, ${seconds} s, ${rounds} rounds`,
    `${'fault'.padEnd(width)}  times  seen  last`,
    ...faults.map(
      ({ name, times, seen, last }) =>
        `${name.padEnd(width)}  ${String(times).padStart(5)}  ${String(seen).padStart(4)}  ${last}`,
    ),
    ...skipped.map((reason) => `skipped ${reason}`),
    `operations: ${ok} ok, ${failed} failed, ${unknown} of unknown outcome; ${keys} keys checked`,
    `watches: ${watchAnswers} answers; leases: ${leases.looks} looks, ${leases.tokens} tokens, ${leases.writes} fenced writes seen, ${leases.refused} refused`,
    `locks: ${locks.acquired} acquired; ${locks.released} released, ${locks.destroyed} sessions destroyed, ${locks.expired} of ${locks.abandoned} left to expire seen to be gone (${locks.judged} looks judged); ${locks.writes} fenced writes, ${locks.refused} refused`,
    ...Object.entries(result.answers).map(([text, times]) => `  ${String(times).padStart(6)} × ${text}`),
    ...result.problems.map((problem) => `WRONG ${problem}`),
    ...(result.folder === null ? [] : [`files: ${result.folder}`]),
    result.passed ? 'passed' : 'FAILED',
  ].join('\n')
}
