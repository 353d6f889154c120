import type { RunResult } from './run.ts'

/** The value that half of them do not exceed; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN
}

/** A duration in ms as seconds for people. */
export function secondsText(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}

/** A run for people. */
export function resultText(result: RunResult): string {
  const { nodes, network, lossPercent, burn, seconds, rounds, packetsLost, measured } = result
  const rows = Object.entries(measured)
  const width = Math.max(...rows.map(([what]) => what.length), 8)
  return [
    `${nodes} agents, ${network}, ${lossPercent} % loss (${packetsLost} packets lost on purpose), ${burn} busy loops; ${seconds} s, ${rounds} rounds`,
    `${'what'.padEnd(width)}  ${'p50'.padStart(9)}  ${'max'.padStart(9)}  ${'times'.padStart(6)}`,
    ...rows.map(([what, durations]) => {
      const cells = [secondsText(median(durations)), secondsText(Math.max(...durations))]
      return `${what.padEnd(width)}  ${cells.map((cell) => cell.padStart(9)).join('  ')}  ${String(durations.length).padStart(6)}`
    }),
    `false deaths: ${result.falseDeaths.length}`,
    ...result.problems.map((problem) => `WRONG ${problem}`),
    ...(result.folder === null ? [] : [`files: ${result.folder}`]),
    result.passed ? 'passed' : 'FAILED',
  ].join('\n')
}
