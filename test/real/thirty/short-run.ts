import { resolve } from 'node:path'
import type { Test } from 'tap'
import { runCommand } from '../command.ts'
import { executable } from '../executable.ts'
import type { RunResult } from './run.ts'

const MAIN = resolve(import.meta.dirname, 'main.ts')

/** Longest time for a run of the command in a test, in milliseconds. */
export const RUN_MS = 170_000

/** Runs the command as a user does. */
export async function runThirty(t: Test, args: readonly string[]): Promise<RunResult> {
  const flags = ['--json', '--repeat', '1', '--patience', '60', '--executable', await executable(), ...args]
  const { code, out, err } = await runCommand(process.execPath, [MAIN, ...flags], { timeoutMs: RUN_MS })
  t.comment(err)
  t.equal(code, 0)
  return JSON.parse(out) as RunResult
}
